"""Checks that every target's settings share."""

from __future__ import annotations

import numpy as np
import pandas as pd

from optimizer.core.durations import count_steps, format_duration, parse_duration
from optimizer.core.errors import ConfigError
from optimizer.core.schema import CPU, MEMORY
from optimizer.core.validation import require_choice
from optimizer.features.base import Array

PREDICTABLE = (CPU, MEMORY)


def resolve_horizon(horizon: str, step: pd.Timedelta) -> tuple[pd.Timedelta, int]:
    """Return a horizon as a duration and as a whole number of steps.

    Raises ConfigError: the horizon is no whole number of steps.
    """
    value = parse_duration(horizon, "target.horizon")
    steps = count_steps(value, step)
    if steps * step != value:
        raise ConfigError(
            "target.horizon",
            seen=horizon,
            allowed=f"a multiple of the telemetry's step, {format_duration(step)}",
            fix="choose such a horizon, or a finer data.freq",
        )
    return value, steps


def check_metric(metric: str) -> None:
    """Raise unless the metric is a utilisation.

    Raises ConfigError: another metric was asked for.
    """
    require_choice("target.metric", metric, PREDICTABLE)


def count_ahead(flags: Array, steps: int) -> Array:
    """Return how many of the next ``steps`` flags are set: those in ``(t, t + steps]``.

    int32, same shape. ``flags``: bool, shape ``(n_services, n_steps)``. ``steps``: length of the
    look-ahead; steps past the end of the clock count as not set.
    """
    n_services, n_steps = flags.shape
    total = np.zeros((n_services, n_steps + 1), dtype=np.int32)
    np.cumsum(flags, axis=1, out=total[:, 1:])
    now = np.arange(n_steps) + 1
    until = np.minimum(now + steps, n_steps)
    return total[:, until] - total[:, now]
