"""What a command or an API asks for as a whole: back-test, simulation, recommendation."""

from optimizer.decisions.services.components import Decisions, build_decisions
from optimizer.decisions.services.recommend import recommend

__all__ = ["Decisions", "build_decisions", "recommend"]
