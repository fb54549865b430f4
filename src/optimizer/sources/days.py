"""Recordings of single days put one after the other, where a service has several."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.errors import SourceError
from optimizer.core.schema import CLUSTER, CPU, SERVICE
from optimizer.sources.clock import Micros

_log = logging.getLogger(__name__)
DAY_MICROS = 86_400 * 1_000_000


def join_days(
    frame: pd.DataFrame, ends: Micros, step: int, path: str
) -> tuple[pd.DataFrame, Micros]:
    """Return the frame and its clock with each service's recordings one after the other.

    Every gap loses its whole days, so that the time of day stays, and all services begin on the
    date on which the first of them does. Services with no more than a day of CPU are left out:
    nothing follows it.

    Parameters
    ----------
    frame : pandas.DataFrame
        Sorted by ``service_id`` (categorical), then time.
    ends : numpy.ndarray
        END of each row's step in microseconds since 1970.
    step : int
        Length of a step in microseconds.
    path : str
        ``data.path``, for the message.

    Raises
    ------
    SourceError
        Fewer than two services have more than a day.
    """
    codes = frame[SERVICE].cat.codes.to_numpy()
    begins = np.flatnonzero(np.diff(codes, prepend=-1))
    rows = np.diff(begins, append=len(codes))
    gaps = np.diff(ends, prepend=ends[0])
    gaps[begins] = step
    days = np.cumsum(np.maximum(gaps - step, 0) // DAY_MICROS)
    dates = (ends[begins] - step) // DAY_MICROS
    late = dates - dates.min() - days[begins]
    joined = ends - (days + np.repeat(late, rows)) * DAY_MICROS
    long = _seen(frame, joined, begins) + step > DAY_MICROS
    if long.sum() < 2:
        raise SourceError(
            f"data.path={path}, data.join_days=true",
            seen=f"{long.sum()} of {len(long)} services with more than a day",
            allowed="at least 2 services that have several days",
            fix="set data.join_days=false, or give more days",
        )
    longest = pd.Timedelta(int(_seen(frame, joined, begins).max()) + step, "us").ceil("D").days
    _log.info("%d services' days follow one another: %d days at most", long.sum(), longest)
    if not long.all():
        _log.info("%d of %d services have one day only, left out", (~long).sum(), len(long))
    kept = np.repeat(long, rows)
    frame = frame[kept].reset_index(drop=True)
    for name in (SERVICE, CLUSTER):
        frame[name] = frame[name].cat.remove_unused_categories()
    return frame, joined[kept]


def _seen(frame: pd.DataFrame, clock: Micros, begins: NDArray[np.int64]) -> Micros:
    """Return how much time lies between each service's first and last value of CPU."""
    known = frame[CPU].notna().to_numpy()
    first = np.minimum.reduceat(np.where(known, clock, clock.max()), begins)
    last = np.maximum.reduceat(np.where(known, clock, clock.min()), begins)
    return np.asarray(last - first)
