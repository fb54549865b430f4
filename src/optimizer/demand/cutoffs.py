"""When policies are asked: cutoffs on whole multiples of the interval that a request holds."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import count_steps, format_duration, parse_duration
from optimizer.core.errors import InsufficientHistoryError


class TimeGrid(Protocol):
    """What a panel and a usage have in common."""

    @property
    def timestamps(self) -> NDArray[np.datetime64]:
        """END of each step, UTC."""
        ...

    @property
    def step(self) -> pd.Timedelta:
        """Length of a step."""
        ...

    @property
    def n_steps(self) -> int:
        """Number of steps."""
        ...


def aligned_cutoffs(
    grid: TimeGrid, interval: str, *, least_history: str, period: str | None = None
) -> NDArray[np.int64]:
    """Return the cutoffs of a grid, ascending: each is the first step that is not known yet.

    They lie on whole multiples of the interval since 1970 (6 h: 00, 06, 12 and 18 o'clock UTC), so
    that telemetry that goes on does not move them, and every interval is whole. ``interval``:
    distance of the cutoffs, rounded to whole steps. ``least_history``: how much has to lie before
    the first cutoff. ``period``: how much of the newest past counts; all of it by default. Raises
    InsufficientHistoryError: not one interval fits behind ``least_history``.
    """
    size = count_steps(parse_duration(interval, "interval"), grid.step)
    first = count_steps(parse_duration(least_history, "replay.least_history"), grid.step)
    if period is not None:
        newest = count_steps(parse_duration(period, "replay.period"), grid.step)
        first = max(first, grid.n_steps - newest)
    ends = grid.timestamps.astype("datetime64[us]").astype(np.int64)
    turn = ends // (grid.step // pd.Timedelta(1, "us"))
    cutoffs = np.flatnonzero(turn % size == 0) + 1
    cutoffs = cutoffs[(cutoffs >= first) & (cutoffs + size <= grid.n_steps)]
    if len(cutoffs) == 0:
        raise InsufficientHistoryError(
            "telemetry",
            seen=format_duration(grid.n_steps * grid.step),
            allowed=f"{least_history} before the first cutoff and {interval} after it",
            fix="give more history, or set a shorter replay.least_history or interval",
        )
    return cutoffs.astype(np.int64)
