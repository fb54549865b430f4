"""The mean of the past days at the target's hour."""

from __future__ import annotations

import numpy as np

from optimizer.core.durations import count_steps
from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_count
from optimizer.models.baselines.event_rule import HeuristicClassifier
from optimizer.models.baselines.residual_quantiles import PointForecaster
from optimizer.models.lookback import DAY, same_hour_mean
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import EventTask, ForecastTask


class SameHourMean(HeuristicClassifier, PointForecaster):
    """Forecast the mean of the last days at the time of day of ``t + horizon``.

    Parameters
    ----------
    days : int
        Days to average, at least 1.

    Notes
    -----
    Reads ``t + h - k * 24 h`` for the ``days`` smallest k that put it at or before t; gaps are
    left out of the mean.
    """

    def __init__(self, days: int = 7) -> None:
        self.days = require_count("model.days", days, 1, fix=7)

    def _score(self, samples: Dataset, task: EventTask) -> FloatArray:
        return self._mean(samples, task.metric, task.horizon_steps)

    def _points(self, samples: Dataset, task: ForecastTask) -> FloatArray:
        columns = [self._mean(samples, task.metric, ahead) for ahead in task.horizon_steps]
        return np.stack(columns, axis=1)

    def _mean(self, samples: Dataset, metric: str, ahead: int) -> FloatArray:
        day = count_steps(DAY, samples.panel.step)
        grid = samples.panel.metric(metric)
        return same_hour_mean(grid, samples.service, samples.step, ahead, day, self.days)
