"""What a model is asked to predict: an event within a horizon, or quantiles at horizons."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class EventTask:
    """An event task: will the service need scaling within the horizon.

    Parameters
    ----------
    metric : str
        The metric held against the ceiling.
    ceiling : float
        Fraction of capacity.
    horizon : pandas.Timedelta
        The label at t looks at the steps in ``(t, t + horizon]``.
    horizon_steps : int
        The horizon in steps.
    """

    metric: str
    ceiling: float
    horizon: pd.Timedelta
    horizon_steps: int


@dataclass(frozen=True)
class ForecastTask:
    """A forecast task: the metric at ``t + horizon``, as quantiles.

    Parameters
    ----------
    metric : str
        The metric to forecast.
    horizons : tuple of pandas.Timedelta
        Distances into the future.
    horizon_steps : tuple of int
        The horizons in steps.
    quantiles : tuple of float
        Levels in (0, 1), ascending, 0.5 among them.
    """

    metric: str
    horizons: tuple[pd.Timedelta, ...]
    horizon_steps: tuple[int, ...]
    quantiles: tuple[float, ...]


Task = EventTask | ForecastTask
