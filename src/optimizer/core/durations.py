"""Durations as users write them ("6h", "7d", "5min") and as steps of a regular clock."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from optimizer.core.errors import ConfigError


def parse_duration(text: str, key: str) -> pd.Timedelta:
    """Return a positive duration.

    ``text``: a pandas duration such as ``"1h"``, ``"5min"`` or ``"7d"``. Raises ConfigError: the
    text is no duration, or not positive.
    """
    try:
        value = _parse(text)
    except (TypeError, ValueError):
        value = pd.Timedelta(0)
    if not isinstance(value, pd.Timedelta) or value <= pd.Timedelta(0):
        raise ConfigError(
            key,
            seen=repr(text),
            allowed="a positive duration such as 5min, 1h or 7d",
            fix=f"set {key}=1h",
        )
    return value


@lru_cache(maxsize=1024)
def _parse(text: str) -> pd.Timedelta:
    """Return what pandas reads; it takes longer for it than a block takes for a lag."""
    return pd.Timedelta(text)


def format_duration(value: pd.Timedelta | np.timedelta64) -> str:
    """Return the shortest text of a duration: ``24h``, ``7d``, ``5min``, ``30s``.

    A day stays ``24h`` (the field's usual name of a horizon); two days and more are in days.
    """
    seconds = int(pd.Timedelta(value).total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds % size == 0 and seconds >= size and not (unit == "d" and seconds == size):
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def count_steps(duration: pd.Timedelta, step: pd.Timedelta) -> int:
    """Return how many steps of the clock cover the duration, rounded to the nearest, at least 1."""
    return max(1, round(duration / step))
