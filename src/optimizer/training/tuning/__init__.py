"""Studies with Optuna: the space, the study, its loop, and what is kept of it."""

from optimizer.training.tuning.settings import Search
from optimizer.training.tuning.space import Space

__all__ = ["Search", "Space"]
