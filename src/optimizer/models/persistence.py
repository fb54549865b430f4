"""Persistence: the next hour will be as this one."""

from __future__ import annotations

import numpy as np

from optimizer.features.panel import FloatArray
from optimizer.models.residual_quantiles import PointForecaster
from optimizer.models.rules import EventRule
from optimizer.samples import EventTask, ForecastTask, Samples


class Persistence(EventRule, PointForecaster):
    """Forecast the value at t for every horizon; score events by it.

    Notes
    -----
    Uses the metric at t only, or the last value observed before it where t is a gap.
    """

    def _score(self, samples: Samples, task: EventTask) -> FloatArray:
        return samples.current(task.metric)

    def _points(self, samples: Samples, task: ForecastTask) -> FloatArray:
        return np.repeat(samples.current(task.metric)[:, None], len(task.horizons), axis=1)
