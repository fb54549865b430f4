"""Memory as the autoscaler sees it: one peak per day, raised where memory ran out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from optimizer.core.durations import count_steps
from optimizer.core.panel import FloatArray
from optimizer.decisions.policies.heuristic.vpa_buckets import bucket_ends
from optimizer.demand.censoring import BUMP, BUMP_RATIO
from optimizer.demand.decay import rank, ranked_quantiles
from optimizer.demand.usage import Usage
from optimizer.models.lookback import DAY


def peak_quantiles(
    usage: Usage, cutoffs: NDArray[np.int64], half_life: float, levels: Sequence[float]
) -> FloatArray:
    """Return percentiles of the decayed histogram of daily peaks.

    float32, shape ``(n_levels, n_cutoffs, n_services)``; NaN where nothing was observed.

    - ``cutoffs``: index of the first step that is not known yet, shape ``(n_cutoffs,)``.
    - ``half_life``: steps after which a weight has halved. A peak is as old as its day, today's is
      new.
    - ``levels``: in (0, 1].
    """
    day = count_steps(DAY, usage.step)
    first = (~np.isnan(usage.values)).argmax(axis=1)
    running = _running_peaks(usage.values, first, day)
    days, rows = np.arange(running.shape[1]), np.arange(usage.n_services)
    found = np.empty((len(levels), len(cutoffs), usage.n_services), dtype=np.float32)
    for index, cutoff in enumerate(cutoffs):
        today, at = np.divmod(np.maximum(cutoff - 1 - first, 0), day)
        peaks = np.where(days < today[:, None], running[:, :, -1], np.float32(np.nan))
        peaks[rows, today] = np.where(cutoff > first, running[rows, today, at], np.nan)
        ranked = rank(bucket_ends(_raised(peaks, usage.capacity), usage.resource))
        weights = np.exp2(np.minimum(days - today[:, None], 0) * (day / half_life))
        weights = np.take_along_axis(np.pad(weights, ((0, 0), (0, 1))), ranked.steps, axis=1)
        found[:, index] = ranked_quantiles(ranked.values, weights, levels)
    return found


def _running_peaks(values: FloatArray, first: NDArray[np.int64], day: int) -> FloatArray:
    """Return the peak of each day up to each step of it, days counted from the first sample.

    Shape ``(n_services, n_days, day)``; NaN where nothing was observed on that day yet.
    """
    n_steps = values.shape[1]
    n_days = -(-n_steps // day)
    source = first[:, None] + np.arange(n_days * day)
    moved = np.take_along_axis(values, np.minimum(source, n_steps - 1), axis=1)
    moved = np.where(source < n_steps, moved, np.float32(np.nan))
    return np.fmax.accumulate(moved.reshape(len(values), n_days, day), axis=2)


def _raised(peaks: FloatArray, capacity: FloatArray) -> FloatArray:
    """Return peaks, those at or above the capacity raised as after an out-of-memory kill."""
    raised = np.maximum(peaks + np.float32(BUMP), peaks * np.float32(BUMP_RATIO))
    return np.where(peaks >= capacity[:, None], raised, peaks)
