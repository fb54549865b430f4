"""Promises kept: the boldest of several requests whose past outcomes were within the promise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray
from optimizer.demand.usage import Usage
from optimizer.models.exceedance.forecast import Forecast
from optimizer.models.exceedance.outcomes import count_hits

PROMISES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
"""Shares of steps that span the frontier."""


def keep_promises(
    usage: Usage,
    found: Forecast,
    tried: FloatArray,
    promises: Sequence[float],
    memory: pd.Timedelta,
) -> FloatArray:
    """Return, at each cutoff, the boldest request that would have kept each promise so far.

    Conformal risk control over the service-intervals that ended by the cutoff, within the memory;
    exchangeable ones are assumed. The promise is for the fleet, on average over time. float32,
    shape ``(n_promises, n_asked_cutoffs, n_services)``; the safest request while there are no
    outcomes.

    - ``usage``: a cutoff uses outcomes of intervals that ended by then.
    - ``found``: where its calibration period ends, and its cutoffs.
    - ``tried``: requests from the safest to the boldest, shape ``(n_tried, n_cutoffs,
      n_services)``, the calibration period included.
    - ``promises``: shares of steps that may exceed the request.

    References
    ----------
    Angelopoulos et al., Conformal Risk Control, ICLR 2024.
    """
    hits, steps = count_hits(usage, found.cutoffs, found.interval, tried)
    totals = hits.sum(axis=2), steps.sum(axis=1), np.sum(steps > 0, axis=1)
    asked = range(found.start, len(found.cutoffs))
    out = np.empty((len(promises), len(asked), tried.shape[2]), dtype=np.float32)
    for i in asked:
        known = _ended(found, i, memory / usage.step)
        seen = [total[..., known].sum(axis=-1) for total in totals]
        for k, promise in enumerate(promises):
            out[k, i - found.start] = tried[boldest(promise, *seen), i]
    return out


def boldest(
    promise: float, hits: NDArray[np.int64], steps: NDArray[np.int64], number: NDArray[np.int64]
) -> int:
    """Return which of several requests keeps the promise; the first if none does.

    ``promise``: share of steps that may be above. ``hits``: steps above each request, from the
    safest to the boldest, shape ``(n_tried,)``. ``steps``, ``number``: observed steps, and
    service-intervals with any: scalars.
    """
    risk = (number * hits / np.maximum(steps, 1) + 1.0) / (number + 1.0)
    return max(0, int(np.sum(np.maximum.accumulate(risk) <= promise)) - 1)


def _ended(found: Forecast, index: int, span: float) -> NDArray[np.bool_]:
    """Return which intervals ended before a cutoff, and began within the memory."""
    now = found.cutoffs[index]
    ended = found.cutoffs + found.interval <= now
    known: NDArray[np.bool_] = ended & (found.cutoffs >= now - span)
    return known
