"""What a forecast's residuals are counted from, per horizon.

A tree cannot extrapolate, so it matters what it is asked for. An hour ahead the last value is
most of the answer. A day ahead it is one noisy draw: there the level itself and the distance to
the service's own recent median are both better, and they err differently, so that both are kept
and weighted (:mod:`optimizer.models.boosting.forecast_combination`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from optimizer.core.durations import count_steps
from optimizer.core.panel import FloatArray
from optimizer.models.lookback import DAY, anchor_of, gather, rolling
from optimizer.targets.dataset import Dataset

RECENT = pd.Timedelta("72h")
"""Span of the recent median, and of the recent quantiles."""


def recent_median(samples: Dataset, metric: str) -> FloatArray:
    """Return the median of the values observed in ``(t - 72h, t]``, shape ``(n,)``, never NaN.

    Where nothing was observed it is 0, and the residual is then the value itself.
    """
    panel = samples.panel
    grid = rolling(panel.metric(metric), count_steps(RECENT, panel.step), "median")
    return np.nan_to_num(gather(grid, samples.service, samples.step))


def no_anchor(samples: Dataset, _metric: str) -> FloatArray:
    """Return 0 per row, shape ``(n,)``: the residual is the level itself."""
    return np.zeros(len(samples), dtype=np.float32)


RESIDUAL_BASELINES: dict[str, Callable[[Dataset, str], FloatArray]] = {
    "last": anchor_of,
    "level": no_anchor,
    "median": recent_median,
}
"""Anchors by name; each reads the steps up to t."""


def residual_baselines_for(horizon: pd.Timedelta) -> tuple[str, ...]:
    """Return the names of the anchors that a horizon has models of.

    Below a day it is the last value; from a day on the level and the recent median.
    """
    return ("last",) if horizon < DAY else ("level", "median")
