"""Trailing medians of whole arrays: many windows share one sort.

A heap per series, as in bottleneck, moves one sample at a time. Here a batch of neighbouring
windows is halved until one window is left: what all windows of a batch have in common is sorted
once, and each halving adds the samples that its windows have in common beyond that. Only the
few middle ranks that can still become a median are carried along, so that every step is a
minimum or maximum of whole arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import bottleneck as bn
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from optimizer.features.base import Array

FEW = 24
"""Up to this many samples are sorted as whole arrays, pair by pair, rather than row by row."""
LONG = 256
"""Beyond this window the heap is faster: its cost grows with the logarithm only."""
SHORT = 8
"""Up to this window nothing is shared but its half."""


@dataclass(frozen=True)
class Signed:
    """A series whose gaps are +inf and -inf in turn.

    In any window the infinities then cancel but for one at most: the median lies between the two
    middle ranks if they cancel, on the lower of them if one +inf too many is there, on the upper
    one for -inf.

    - ``values``: no NaN, shape ``(n_services, LONG + n_steps + rest)``: as many gaps go ahead as
      the longest window reaches, and the length is a multiple of every batch.
    - ``surplus``: int8, same shape: 1 where the gaps so far are one +inf too many, 0 where they
      cancel.
    - ``length``: the number of steps.
    """

    values: Array
    surplus: Array
    length: int


def sign_gaps(values: Array) -> Signed:
    """Return a series with the signed gaps that medians need; several windows share it."""
    length = values.shape[1]
    padded = np.full((len(values), LONG + -(-length // LONG) * LONG), np.nan, values.dtype)
    padded[:, LONG : LONG + length] = values
    gaps = np.isnan(padded)
    surplus = _parity(gaps)
    np.copyto(padded, np.inf, where=gaps)
    np.copyto(padded, -np.inf, where=np.greater(gaps, surplus))
    return Signed(padded, surplus, length)


def _parity(flags: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Return 1 where the number of flags so far along each row is odd, else 0.

    Doubling takes a dozen passes over bytes, many at a time; a running sum goes one by one.
    """
    odd, reach = flags.view(np.int8), 1
    while reach < odd.shape[1]:
        wider = odd.copy()
        np.bitwise_xor(odd[:, reach:], odd[:, :-reach], out=wider[:, reach:])
        odd, reach = wider, 2 * reach
    return odd


def moving_median(values: Array, steps: int, signed: Callable[[], Signed]) -> Array:
    """Return the median of the observed samples of each window of ``steps``.

    Same shape and type; undefined where a window holds fewer than two samples. The value at step t
    uses the samples ``t - steps + 1 … t``.

    - ``values``: float32, shape ``(n_services, n_steps)``; NaN where nothing was measured, never
      infinite.
    - ``steps``: length of the window; the first windows are cut short by the start of the series.
    - ``signed``: returns the same values with signed gaps.
    """
    if steps % 2 or steps > LONG:  # an odd window has one middle rank, not two to choose from
        window = min(steps, values.shape[1])
        result: Array = bn.move_median(values, window, min_count=1, axis=1)
        return result
    series = signed()
    now, before = (slice(first, first + series.length) for first in (LONG, LONG - steps))
    find = _halves if steps <= SHORT else _middle
    lower, upper = find(series.values, steps, series.length)
    balance = series.surplus[:, now] - series.surplus[:, before]
    with np.errstate(invalid="ignore"):  # infinities are left where under two samples are
        middle: Array = (lower + upper) * values.dtype.type(0.5)
    np.copyto(middle, lower, where=balance > 0)
    np.copyto(middle, upper, where=balance < 0)
    return middle


def _halves(padded: Array, steps: int, length: int) -> tuple[Array, Array]:
    """Return the two middle ranks of every window, from its two sorted halves.

    A half is sorted once and serves the window that it ends and the one that it begins.
    """
    half = steps // 2
    reach = slice(LONG - half, LONG + length)
    ranks = _sort([padded[:, reach.start - k : reach.stop - k] for k in range(half)])
    first, second = ([rank[:, part] for rank in ranks] for part in _ends(half))
    lower, upper = np.minimum(first[-1], second[-1]), np.maximum(first[0], second[0])
    both = np.empty_like(lower)
    for i in range(1, half):  # i samples of the lower half come from the second
        np.minimum(lower, np.maximum(first[half - 1 - i], second[i - 1], out=both), out=lower)
        np.maximum(upper, np.minimum(first[half - i], second[i], out=both), out=upper)
    return lower, upper


def _ends(half: int) -> tuple[slice, slice]:
    """Return where the first and where the second half of each window lies."""
    return slice(None, -half), slice(half, None)


def _batch(steps: int) -> int:
    """Return how many windows share a sort: about the root of twice their length.

    A larger batch sorts less and compares more; at half a window the ranks would run out.
    """
    return int(min(2 ** round(math.log2(2 * steps) / 2), 2 ** int(math.log2(steps / 2))))


def _middle(padded: Array, steps: int, length: int) -> tuple[Array, Array]:
    """Return ranks ``steps / 2 - 1`` and ``steps / 2`` of every window.

    Lower and upper middle rank, each of shape ``(n_services, length)``. ``padded``: no NaN, shape
    ``(n_services, LONG + n)``: the first window ends at ``LONG``.
    """
    batch = _batch(steps)
    count = -(-length // batch)
    # the samples at one place of every batch lie side by side
    planes = np.ascontiguousarray(padded.reshape(len(padded), -1, batch).transpose(2, 0, 1))

    def samples(first: int, last: int) -> list[Array]:
        """Return samples ``first … last`` counted from the first window's end of each batch."""
        starts = [divmod(LONG + offset, batch) for offset in range(first, last + 1)]
        return [planes[place, :, start : start + count] for start, place in starts]

    middle = slice(steps // 2 - batch, steps // 2 + 1)
    if steps - batch < FEW:
        core = np.stack(_sort(samples(batch - steps, 0))[middle])
    else:
        spans = sliding_window_view(_flip(padded.view(np.int32)), steps - batch + 1, axis=1)
        rows = np.sort(spans[:, LONG + batch - steps :: batch][:, :count], axis=-1)
        core = _flip(rows[..., middle].transpose(2, 0, 1)).view(padded.dtype)

    ranks = np.empty((2, len(padded), count, batch), dtype=padded.dtype)

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
    lower, upper = ranks.reshape(2, len(padded), -1)[..., :length]
    return lower, upper


def _flip(bits: Array) -> Array:
    """Return integers that order as the float32 do whose bits are given, and the bits of such.

    Integers are sorted in two thirds of the time, since none of them is NaN.
    """
    flipped: Array = np.bitwise_xor(bits, (bits >> 31) & np.int32(0x7FFFFFFF), order="C")
    return flipped


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
    both = np.maximum(core[size - 1 : size - 1 + keep], extra[0])
    best = np.minimum(core[size:], both)
    for i in range(2, size + 1):
        np.maximum(core[size - i : size - i + keep], extra[i - 1], out=both)
        np.minimum(best, both, out=best)
    return best
