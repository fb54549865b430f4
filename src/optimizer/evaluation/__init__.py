"""How good a model is: figures, calibration, thresholds, intervals from resampled services."""

from optimizer.evaluation.settings import Evaluation

__all__ = ["Evaluation"]
