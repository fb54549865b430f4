"""How deep in the tail of a forecast an outcome lies, and counts of such depths.

The depth of a level is ``-log10`` of its forecast exceedance: 2 where 1 % of the steps are
expected above it. Depths of different services and moments can be compared and counted together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray

BINS = 240
MAX_SCORE = 12.0
"""Depths are counted from 0 to here; what is deeper counts as this deep."""
MIN_EXCEEDANCE = 1e-6
"""Exceedances below this are no longer told apart by the forecast, only by the level."""
TIE_BREAK = 1e-3
"""Depth from one level to the next where the forecast does not change: no two are equally deep."""
CAP_MULTIPLES = np.array([1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 8.0], dtype=np.float32)
"""Multiples of the cap that are looked at too: usage may exceed what was ever seen."""
PER_DOUBLING = 1.0
"""Depth that doubling a level beyond the cap adds."""


def tail_scores_of(levels: FloatArray, exceedance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return levels from 0 to far above the cap, and their depths.

    float32, shape ``(…, n_levels + 8)`` each; depths ascend strictly, NaN where unknown.
    ``levels``: positive, ascending along the last axis up to the cap, shape ``(…, n_levels)``.
    ``exceedance``: same shape, non-increasing along the last axis; NaN where unknown.
    """
    steps = np.float32(TIE_BREAK) * np.arange(1, levels.shape[-1] + 1, dtype=np.float32)
    inner = -np.log10(np.maximum(exceedance, np.float32(MIN_EXCEEDANCE))) + steps
    cap = levels[..., -1:]
    beyond = inner[..., -1:] + np.float32(PER_DOUBLING) * np.log2(CAP_MULTIPLES)
    wide = np.concatenate([np.zeros_like(cap), levels, cap * CAP_MULTIPLES], axis=-1)
    depths = np.concatenate([np.zeros_like(cap), inner, beyond], axis=-1)
    unknown = np.isnan(exceedance[..., -1:])
    return wide.astype(np.float32), np.where(unknown, np.float32(np.nan), depths)


def count_tail_scores(
    coming: FloatArray, levels: FloatArray, depths: FloatArray
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how many steps, and peaks, of an interval came out in each bin of depth.

    float64, shape ``(n_services, BINS)`` each: of steps, and of the interval's maximum (one where
    any step was observed). All 0 where the forecast is unknown. ``coming``: usage of the interval,
    shape ``(n_services, n_steps)``; NaN where unobserved. ``levels``, ``depths``: from
    :func:`tail_scores_of`, shape ``(n_services, n_levels)``.
    """
    found = interpolate(coming, levels, depths)
    seen = ~np.isnan(found)
    peaks = np.fmax.reduce(found, axis=1, keepdims=True, initial=np.float32(-np.inf))
    return _count(found, seen), _count(peaks, np.isfinite(peaks))


def _count(depths: FloatArray, seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    rows = np.broadcast_to(np.arange(len(depths))[:, None], depths.shape)[seen]
    bins = np.clip(depths[seen] * (BINS / MAX_SCORE), 0, BINS - 1).astype(np.int64)
    flat = np.bincount(rows * BINS + bins, minlength=len(depths) * BINS)
    return flat.reshape(len(depths), BINS).astype(np.float64)


def share_beyond(counts: NDArray[np.float64], depths: FloatArray) -> NDArray[np.float64]:
    """Return the share of counted depths beyond each depth.

    float64, shape of ``depths``, in [0, 1], non-increasing along the last axis; 0 where nothing was
    counted. ``counts``: shape ``(n_services, BINS)``, or ``(1, BINS)`` for counts that all share.
    ``depths``: ascending, shape ``(n_services, n_depths)``.
    """
    beyond = np.zeros((len(counts), BINS + 1))
    beyond[:, :-1] = np.cumsum(counts[:, ::-1], axis=1)[:, ::-1]
    beyond /= np.maximum(beyond[:, :1], 1e-300)
    place = np.clip(np.where(np.isnan(depths), 0.0, depths) * (BINS / MAX_SCORE), 0, BINS)
    left = np.minimum(place.astype(np.int64), BINS - 1)
    row = np.arange(len(depths))[:, None] if len(counts) > 1 else 0
    low, high = beyond[row, left], beyond[row, left + 1]
    share: NDArray[np.float64] = low + (place - left) * (high - low)
    return share


def interpolate(at: FloatArray, places: FloatArray, values: FloatArray) -> FloatArray:
    """Return values between ascending places, row by row.

    float32, shape of ``at``; NaN where ``at``, a place or a value is. ``at``: shape ``(…, n)``;
    beyond the ends the value at the end. ``places``, ``values``: shape ``(…, n_places)``; places do
    not descend. Where several are equal, the last of them counts from there on.
    """
    last = places.shape[-1] - 1
    right = np.sum(places[..., None, :] <= at[..., :, None], axis=-1)
    right = np.clip(right, 1, last)
    x0, x1 = (np.take_along_axis(places, right - k, axis=-1) for k in (1, 0))
    y0, y1 = (np.take_along_axis(values, right - k, axis=-1) for k in (1, 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(x1 > x0, (at - x0) / (x1 - x0), np.where(at >= x1, 1.0, 0.0))
    out = y0 + np.clip(share, 0.0, 1.0) * (y1 - y0)
    unknown = np.isnan(at) | np.isnan(x0) | np.isnan(x1)
    return np.asarray(np.where(unknown, np.nan, out), dtype=np.float32)
