"""What lies before a cutoff: how much of it there is, and its maximum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray, IntArray
from optimizer.demand.usage import Usage


def observed_before(values: FloatArray, cutoffs: NDArray[np.int64]) -> IntArray:
    """Return how many steps were observed before each cutoff.

    int32, shape ``(n_cutoffs, n_services)``. ``values``: float32, shape ``(n_services, n_steps)``,
    NaN in gaps. ``cutoffs``: index of the first step that is not known yet, shape ``(n_cutoffs,)``.
    """
    counts = np.zeros((len(values), values.shape[1] + 1), dtype=np.int32)
    np.cumsum(~np.isnan(values), axis=1, out=counts[:, 1:])
    return counts[:, cutoffs].T


def past_max(values: FloatArray, cutoffs: NDArray[np.int64], window: int) -> FloatArray:
    """Return the maximum observed in the window before each cutoff.

    float32, shape ``(n_cutoffs, n_services)``; NaN where nothing was observed. ``values``: float32,
    shape ``(n_services, n_steps)``, NaN in gaps. ``cutoffs``: index of the first step that is not
    known yet, shape ``(n_cutoffs,)``.
    """
    found = np.empty((len(cutoffs), len(values)), dtype=np.float32)
    for index, cutoff in enumerate(cutoffs):
        found[index] = peak(values[:, max(0, cutoff - window) : cutoff])
    return found


def peak(values: FloatArray) -> FloatArray:
    """Return the maximum observed per service, shape ``(n_services,)``, NaN without any."""
    highest: FloatArray = np.fmax.reduce(values, axis=1, initial=np.float32(np.nan))
    return highest


def past_peaks(usage: Usage, cutoffs: NDArray[np.int64]) -> FloatArray:
    """Return the maximum observed before each cutoff, however long ago: each step is read once.

    float32, shape ``(n_cutoffs, n_services)``; NaN where nothing was observed. ``cutoffs``: int64,
    ascending.
    """
    starts = np.append(0, cutoffs[:-1])
    pieces = np.fmax.reduceat(usage.values[:, : cutoffs[-1]], starts, axis=1)
    found = np.asarray(np.fmax.accumulate(pieces, axis=1).T, dtype=np.float32)
    found[cutoffs == 0] = np.nan  # an empty piece gives the value at its start, not nothing
    return found
