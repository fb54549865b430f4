"""Trainings as a whole, by kind of target, and what sweeps make of many of them."""

from optimizer.training.runs.opening import open_training
from optimizer.training.runs.rows import RowTraining
from optimizer.training.runs.surfaces import SurfaceTraining

__all__ = ["RowTraining", "SurfaceTraining", "open_training"]
