"""Seasonal naive: tomorrow will be as today was at that hour."""

from __future__ import annotations

import numpy as np

from optimizer.core.durations import count_steps, parse_duration
from optimizer.core.panel import FloatArray
from optimizer.models.baselines.residual_quantiles import PointForecaster
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import ForecastTask


class SeasonalNaive(PointForecaster):
    """Forecast the latest known value at the target's place in the season.

    Parameters
    ----------
    season : str
        Length of the season, such as ``"24h"`` or ``"7d"``.

    Notes
    -----
    For the target ``t + h`` it reads ``t + h - m * season`` with the smallest m of at least 1
    that makes this at or before t.

    References
    ----------
    Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd edition, section 5.2.
    """

    def __init__(self, season: str = "24h") -> None:
        self._season = parse_duration(season, "model.season")
        self.season = season

    def _points(self, samples: Dataset, task: ForecastTask) -> FloatArray:
        size = count_steps(self._season, samples.panel.step)
        back = [ahead - max(1, -(-ahead // size)) * size for ahead in task.horizon_steps]
        columns = [
            samples.panel.at(task.metric, samples.service, samples.step + shift) for shift in back
        ]
        return np.stack(columns, axis=1)
