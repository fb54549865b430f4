"""Trailing medians of whole arrays: many windows share one sort.

A heap per series, as in bottleneck, moves one sample at a time. Here a batch of neighbouring
windows is halved until one window is left: what all windows of a batch have in common is sorted
once, and each halving adds the samples that its windows have in common beyond that. Only the
few middle ranks that can still become a median are carried along, so that every step is a
minimum or maximum of whole arrays.
"""

from __future__ import annotations

import math

import bottleneck as bn
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from optimizer.features.base import Array

SMALL = 8
"""Up to this many samples are sorted as whole arrays, pair by pair, rather than row by row."""


def moving_median(values: Array, steps: int) -> Array:
    """Return the median of the observed samples of each window of ``steps``.

    Parameters
    ----------
    values : numpy.ndarray
        Floating, shape ``(n_services, n_steps)``; NaN where nothing was measured, never infinite.
    steps : int
        Length of the window; the first windows are cut short by the start of the series.

    Returns
    -------
    numpy.ndarray
        Same shape and type; undefined where a window holds fewer than two samples. The value
        at step t uses the samples ``t - steps + 1 … t``.

    Notes
    -----
    Gaps become +inf and -inf in turn. Of any window, the infinities then cancel but for one at
    most: the median lies between the two middle ranks if they cancel, on the lower of them if
    one +inf too many is there, on the upper one for -inf.
    """
    if steps % 2:  # no two middle ranks to choose from
        window = min(steps, values.shape[1])
        result: Array = bn.move_median(values, window, min_count=1, axis=1)
        return result
    batch = _batch(steps)
    lead = -(-steps // batch) * batch
    length = values.shape[1]
    padded = np.full((len(values), lead - (-length // batch) * batch), np.nan, values.dtype)
    padded[:, lead : lead + length] = values
    gaps = np.isnan(padded)
    surplus = np.cumsum(gaps, axis=1, dtype=np.int32).astype(np.int8) & 1
    infinite = np.where(surplus, values.dtype.type(np.inf), values.dtype.type(-np.inf))
    lower, upper = _middle(np.where(gaps, infinite, padded), steps, batch, lead)
    now = slice(lead, lead + length)
    balance = surplus[:, now] - surplus[:, lead - steps : lead - steps + length]
    lower, upper = lower[:, :length], upper[:, :length]
    middle = 0.5 * (lower + upper)
    return np.where(balance == 0, middle, np.where(balance > 0, lower, upper))


def _batch(steps: int) -> int:
    """Return how many windows share a sort: about the root of twice their length.

    A larger batch sorts less and compares more; at half a window the ranks would run out.
    """
    return int(min(2 ** round(math.log2(2 * steps) / 2), 2 ** int(math.log2(steps / 2))))


def _middle(padded: Array, steps: int, batch: int, lead: int) -> tuple[Array, Array]:
    """Return ranks ``steps / 2 - 1`` and ``steps / 2`` of every window that ends from ``lead`` on.

    Parameters
    ----------
    padded : numpy.ndarray
        No NaN, shape ``(n_services, lead + m)``; ``lead`` and ``m`` are multiples of ``batch``.
    steps, batch, lead : int
        Length of a window, windows that share a sort, samples before the first window's end.

    Returns
    -------
    tuple of numpy.ndarray
        Lower and upper middle rank, each of shape ``(n_services, m)``.
    """
    services, length = padded.shape
    count = (length - lead) // batch
    planes = np.ascontiguousarray(padded.reshape(services, -1, batch).transpose(2, 0, 1))

    def samples(first: int, last: int) -> Array:
        """Return samples ``first … last`` counted from the first window's end of each batch."""
        found = []
        for offset in range(first, last + 1):
            start = (lead + offset) // batch
            found.append(planes[offset % batch, :, start : start + count])
        return np.stack(found)

    middle = slice(steps // 2 - batch, steps // 2 + 1)
    if steps - batch < SMALL:
        core = _sort(samples(batch - steps, 0))[middle]
    else:
        spans = sliding_window_view(padded, steps - batch + 1, axis=1)
        rows = np.sort(spans[:, lead + batch - steps :: batch][:, :count], axis=-1)
        core = np.ascontiguousarray(rows[..., middle].transpose(2, 0, 1))

    ranks = np.empty((2, services, count, batch), dtype=padded.dtype)

    def halve(core: Array, first: int, width: int) -> None:
        """Fill the ranks of the ``width`` windows from the ``first`` of each batch."""
        if width == 1:
            ranks[..., first] = core
            return
        half = width // 2
        earlier = samples(first + half - steps, first + width - steps - 1)
        halve(_unite(core, _sort(earlier)), first, half)
        later = samples(first + 1, first + half)
        halve(_unite(core, _sort(later)), first + half, half)

    halve(core, 0, batch)
    flat = ranks.reshape(2, services, count * batch)
    return flat[0], flat[1]


def _sort(planes: Array) -> Array:
    """Sort a few planes in place along the first axis, and return them."""
    for end in range(len(planes) - 1, 0, -1):
        for i in range(end):
            low = np.minimum(planes[i], planes[i + 1])
            np.maximum(planes[i], planes[i + 1], out=planes[i + 1])
            planes[i] = low
    return planes


def _unite(core: Array, extra: Array) -> Array:
    """Return the ranks of the union that are known when core holds some ranks of a sorted set.

    Rank j of the union of two sorted sets is the least over i of
    ``max(core[j - i], extra[i - 1])``: i samples come from ``extra``. With ranks a … b of the
    core, ranks ``a + len(extra) … b`` follow.
    """
    size = len(extra)
    keep = len(core) - size
    best = core[size:].copy()
    for i in range(1, size + 1):
        both = np.maximum(core[size - i : size - i + keep], extra[i - 1])
        np.minimum(best, both, out=best)
    return best
