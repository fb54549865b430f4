"""Runs and registered models in MLflow; no other room knows of it."""

from optimizer.training.tracking.mlflow_run import TrackedRun, track_run
from optimizer.training.tracking.registry import find_champion, load_trained

__all__ = [
    "TrackedRun",
    "find_champion",
    "load_trained",
    "track_run",
]
