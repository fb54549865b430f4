"""The average of persistence and seasonal naive, which often beats both."""

from __future__ import annotations

import numpy as np

from optimizer.core.panel import FloatArray
from optimizer.models.baselines.seasonal_naive import SeasonalNaive
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import ForecastTask


class PersistenceSeasonal(SeasonalNaive):
    """Forecast the mean of the value at t and of the value one season before the target.

    Parameters
    ----------
    season : str
        Length of the season, such as ``"24h"`` or ``"7d"``.

    Notes
    -----
    Where one of the two is a gap, the other stands alone.
    """

    def _points(self, samples: Dataset, task: ForecastTask) -> FloatArray:
        seasonal = super()._points(samples, task)
        now = samples.current(task.metric)[:, None]
        now, seasonal = (
            np.where(np.isnan(now), seasonal, now),
            np.where(np.isnan(seasonal), now, seasonal),
        )
        return (np.float32(0.5) * (now + seasonal)).astype(np.float32)
