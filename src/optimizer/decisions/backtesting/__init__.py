"""Policies replayed over the past and compared where they fail equally often."""

from optimizer.decisions.backtesting.replay import Replay

__all__ = ["Replay"]
