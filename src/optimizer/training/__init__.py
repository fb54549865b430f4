"""From panel, features and labels to a fitted, calibrated model that may become champion."""

from optimizer.training.experiment import build_components
from optimizer.training.predictor import TrainedModel

__all__ = ["TrainedModel", "build_components"]
