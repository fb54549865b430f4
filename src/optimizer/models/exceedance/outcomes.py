"""What came of requests: how many steps of their interval used more."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray
from optimizer.demand.intervals import IntVector
from optimizer.demand.usage import Usage


def count_hits(
    usage: Usage, cutoffs: IntVector, interval: int, requests: FloatArray, *, peaks: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the steps above each request, and the observed steps; or peaks, of one interval each.

    Hits, int64, shape as ``requests``, and steps, ``(n_cutoffs, n_services)``; both 0 where no
    request is.

    - ``usage``: read from each cutoff to the end of its interval: known once that has passed.
    - ``cutoffs``: int64, shape ``(n_cutoffs,)``.
    - ``requests``: shape ``(n_requests, n_cutoffs, n_services)``; NaN where there is none.
    - ``peaks``: whether an interval counts once, by its peak: what matters where one step above
      kills.
    """
    hits = np.zeros(requests.shape, dtype=np.int64)
    steps = np.zeros(requests.shape[1:], dtype=np.int64)
    for i, cutoff in enumerate(np.asarray(cutoffs).tolist()):
        coming = usage.values[:, cutoff : cutoff + interval]
        given = ~np.isnan(requests[0, i])
        steps[i] = np.sum(~np.isnan(coming), axis=1) * given
        for number in range(len(requests)):
            above = coming > requests[number, i][:, None]
            hits[number, i] = np.sum(above, axis=1) * given
    return (np.minimum(hits, 1), np.minimum(steps, 1)) if peaks else (hits, steps)
