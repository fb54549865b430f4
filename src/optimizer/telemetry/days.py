"""Recordings of single days put one after the other, where a service has several."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd

from optimizer.columns import CLUSTER, SERVICE, TIMESTAMP
from optimizer.errors import SourceError
from optimizer.telemetry.clock import micros_of, to_utc

_log = logging.getLogger(__name__)
DAY_MICROS = 86_400 * 1_000_000


def join_days(frame: pd.DataFrame, path: str) -> pd.DataFrame:
    """Return the frame with each service's days one after the other, from its first day's date.

    Days are those of UTC. A service's first day gets the date of the telemetry's first day, its
    second the date after it, and so on, so that all services begin together; the time of day
    stays. Services of a single day are left out: nothing follows it.

    Parameters
    ----------
    frame : pandas.DataFrame
        Sorted by ``service_id`` (categorical) and ``event_timestamp`` (END of each step, UTC).
    path : str
        ``data.path``, for the message.

    Raises
    ------
    SourceError
        Fewer than two services have a second day.
    """
    codes = frame[SERVICE].cat.codes.to_numpy()
    ends = micros_of(frame[TIMESTAMP])
    days = (ends - 1) // DAY_MICROS
    first = days.min()
    pairs, where = np.unique([codes, days], axis=1, return_inverse=True)
    owners, begins, number = np.unique(pairs[0], return_index=True, return_counts=True)
    rank = np.arange(pairs.shape[1]) - np.repeat(begins, number)
    moved = (first + rank - pairs[1])[where] * DAY_MICROS
    kept = np.repeat(number > 1, number)[where]
    several = int((number > 1).sum())
    if several < 2:
        raise SourceError(
            f"data.path={path}, data.join_days=true",
            seen=f"{several} of {len(owners)} services with a second day",
            allowed="at least 2 services that have several days",
            fix="set data.join_days=false, or give more days",
        )
    if several < len(owners):
        alone = len(owners) - several
        _log.info("%d of %d services have one day only, left out", alone, len(owners))
    joined = frame.assign(**{TIMESTAMP: to_utc(ends + moved)})[kept]
    for name in (SERVICE, CLUSTER):
        joined[name] = joined[name].cat.remove_unused_categories()
    return joined.reset_index(drop=True)
