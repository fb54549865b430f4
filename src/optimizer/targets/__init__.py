"""What is to be predicted: labels, tasks, datasets of rows, folds in time."""

from optimizer.targets.base import Labels, RowTarget, Target
from optimizer.targets.splits import RollingOrigin

__all__ = ["Labels", "RollingOrigin", "RowTarget", "Target"]
