"""A classifier of scale events: how often this hour of the day ended in one."""

from typing import ClassVar

import numpy as np
import pandas as pd

from optimizer.core.panel import FloatArray
from optimizer.core.state import Stateful
from optimizer.models.base import Runtime, TrainingLog
from optimizer.models.imbalance.base import ImbalanceStrategy
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import EventTask


class NearestHours(Stateful):
    """The share of events in the hours of the day around a row's own.

    Parameters
    ----------
    width : int
        Hours on both sides that count too.
    """

    fitted_attributes: ClassVar[tuple[str, ...]] = ("_rates",)

    def __init__(self, width: int = 1) -> None:
        self.width = width
        self._rates = np.zeros(24, dtype=np.float32)

    def fit_events(
        self,
        train: Dataset,
        valid: Dataset,
        task: EventTask,
        imbalance: ImbalanceStrategy,
        runtime: Runtime,
    ) -> TrainingLog:
        """Count the events of every hour of the day."""
        hours = _hours(train)
        events = np.bincount(hours, weights=train.y, minlength=24)
        rows = np.bincount(hours, minlength=24)
        around = range(-self.width, self.width + 1)
        counted = [sum(np.roll(values, shift) for shift in around) for values in (events, rows)]
        self._rates = (counted[0] / np.maximum(counted[1], 1)).astype(np.float32)
        return TrainingLog()

    def score_events(self, samples: Dataset) -> FloatArray:
        """Return the share of events around each row's hour, shape ``(n,)``."""
        return self._rates[_hours(samples)]


def _hours(samples: Dataset) -> np.ndarray:
    return pd.DatetimeIndex(samples.timestamps).hour.to_numpy()
