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

FEW = 24
"""Up to this many samples are sorted as whole arrays, pair by pair, rather than row by row."""
LONG = 256
"""Beyond this window the heap is faster: its cost grows with the logarithm only."""


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
    if steps % 2 or steps > LONG:  # an odd window has one middle rank, not two to choose from
        window = min(steps, values.shape[1])
        result: Array = bn.move_median(values, window, min_count=1, axis=1)
        return result
    batch = _batch(steps)
    lead = -(-steps // batch) * batch
    length = values.shape[1]
    padded = np.full((len(values), lead - (-length // batch) * batch), np.nan, values.dtype)
    padded[:, lead : lead + length] = values
    gaps = np.isnan(padded)
    surplus = np.cumsum(gaps, axis=1, dtype=np.int8) & 1
    padded[gaps] = np.where(surplus[gaps], np.inf, -np.inf)
    lower, upper = (rank[:, :length] for rank in _middle(padded, steps, batch, lead))
    before = surplus[:, lead - steps : lead - steps + length]
    balance = (surplus[:, lead : lead + length] - before).astype(values.dtype)
    with np.errstate(invalid="ignore"):  # infinities are left where under two samples are
        middle: Array = 0.5 * (lower + upper + balance * (lower - upper))
    return middle


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
    # services last: the samples at one place of every batch then lie side by side
    planes = np.ascontiguousarray(padded.reshape(services, -1, batch).transpose(2, 1, 0))

    def samples(first: int, last: int) -> list[Array]:
        """Return samples ``first … last`` counted from the first window's end of each batch."""
        return [
            planes[offset % batch, (lead + offset) // batch :][:count]
            for offset in range(first, last + 1)
        ]

    middle = slice(steps // 2 - batch, steps // 2 + 1)
    if steps - batch < FEW:
        core = np.stack(_sort(samples(batch - steps, 0))[middle])
    else:
        spans = sliding_window_view(padded, steps - batch + 1, axis=1)
        rows = np.sort(spans[:, lead + batch - steps :: batch][:, :count], axis=-1)
        core = np.ascontiguousarray(rows[..., middle].transpose(2, 1, 0))

    ranks = np.empty((2, batch, count, services), dtype=padded.dtype)

    def halve(core: Array, first: int, width: int) -> None:
        """Fill the ranks of the ``width`` windows from the ``first`` of each batch."""
        if width == 1:
            ranks[:, first] = core
            return
        half = width // 2
        earlier = samples(first + half - steps, first + width - steps - 1)
        halve(_unite(core, _sort(earlier)), first, half)
        later = samples(first + 1, first + half)
        halve(_unite(core, _sort(later)), first + half, half)

    halve(core, 0, batch)
    lower, upper = ranks.transpose(0, 3, 2, 1).reshape(2, services, count * batch)
    return lower, upper


def _sort(planes: list[Array]) -> list[Array]:
    """Return a few arrays sorted cell by cell: Batcher's merge exchange.

    References
    ----------
    D. Knuth, The Art of Computer Programming, volume 3, algorithm 5.2.2M.
    """
    planes = list(planes)
    top = 1 << max(0, (len(planes) - 1).bit_length() - 1)
    block = top
    while block:
        partner, reach, phase = top, block, 0
        while True:
            for i in range(len(planes) - reach):
                if i & block == phase:
                    low, high = planes[i], planes[i + reach]
                    planes[i], planes[i + reach] = np.minimum(low, high), np.maximum(low, high)
            if partner == block:
                break
            reach, phase = partner - block, block
            partner //= 2
        block //= 2
    return planes


def _unite(core: Array, extra: list[Array]) -> Array:
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
