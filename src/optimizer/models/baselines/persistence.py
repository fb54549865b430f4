"""Persistence: the next hour will be as this one."""

from __future__ import annotations

import numpy as np

from optimizer.core.panel import FloatArray
from optimizer.models.baselines.event_rule import HeuristicClassifier
from optimizer.models.baselines.residual_quantiles import PointForecaster
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import EventTask, ForecastTask


class Persistence(HeuristicClassifier, PointForecaster):
    """Forecast the value at t for every horizon; score events by it.

    Notes
    -----
    Uses the metric at t only, or the last value observed before it where t is a gap.
    """

    def _score(self, samples: Dataset, task: EventTask) -> FloatArray:
        return samples.current(task.metric)

    def _points(self, samples: Dataset, task: ForecastTask) -> FloatArray:
        return np.repeat(samples.current(task.metric)[:, None], len(task.horizons), axis=1)
