"""What a model is asked to predict: an event within a horizon, or quantiles at horizons."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class EventTask:
    """An event task: will the service need scaling within the horizon.

    ``horizon``: the label at t looks at the steps in ``(t, t + horizon]``. ``horizon_steps``: the
    horizon in steps.
    """

    metric: str
    ceiling: float
    horizon: pd.Timedelta
    horizon_steps: int


@dataclass(frozen=True)
class ForecastTask:
    """A forecast task: the metric at ``t + horizon``, as quantiles.

    ``horizon_steps``: the horizons in steps. ``quantiles``: levels in (0, 1), ascending, 0.5 among
    them.
    """

    metric: str
    horizons: tuple[pd.Timedelta, ...]
    horizon_steps: tuple[int, ...]
    quantiles: tuple[float, ...]


Task = EventTask | ForecastTask
