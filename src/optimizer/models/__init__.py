"""Models behind three protocols: events, forecasts, and shares of steps above a level."""

from optimizer.models.base import EventClassifier, ExceedanceModel, Forecaster, Runtime

__all__ = ["EventClassifier", "ExceedanceModel", "Forecaster", "Runtime"]
