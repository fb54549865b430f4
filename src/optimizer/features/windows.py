"""Trailing windows over time on ``(n_services, n_steps)`` arrays that may hold NaN.

Every window of w steps at step t covers the samples ``t - w + 1 … t``; the start of the series
cuts the first ones short.
"""

from __future__ import annotations

import bottleneck as bn
import numpy as np
from numpy.typing import NDArray

from optimizer.features.base import Array

CHUNK = 64
"""Half-lives in which exponential weights grow: 2 to the power of 64, well within float32."""


def least_count(steps: int) -> int:
    """Return how many observed samples a window of ``steps`` needs: a quarter, at least two."""
    return min(steps, max(2, -(-steps // 4)))


def moving_mean(values: Array, steps: int) -> Array:
    """Return the trailing mean of a float64 array."""
    return _bounded(bn.move_mean, values, steps)


def moving_std(values: Array, steps: int) -> Array:
    """Return the trailing sample standard deviation of a float64 array, NaN for one step."""
    if min(steps, values.shape[1]) < 2:
        return np.full(values.shape, np.nan)
    return _bounded(bn.move_std, values, steps, ddof=1)


def _bounded(move: object, values: Array, steps: int, **options: int) -> Array:
    """Call a bottleneck mover, which refuses a window longer than the series."""
    length = values.shape[1]
    window = min(steps, length)
    need = least_count(steps)
    if need > length:
        return np.full(values.shape, np.nan, dtype=values.dtype)
    result: Array = move(values, window, min_count=need, axis=1, **options)  # type: ignore[operator]
    return result


def moving_count(doubled: list[Array], steps: int) -> Array:
    """Return how many flags of each window are set.

    ``doubled``: counts over windows of 1, 2, 4, 8 … steps, so far as known; more are appended. The
    flags that they start from are integers that hold ``steps``: of narrow ones many are added at a
    time.
    """
    while len(doubled) < steps.bit_length():
        doubled.append(_add_earlier(doubled[-1], doubled[-1], 1 << (len(doubled) - 1)))
    first, *others = (power for power in range(steps.bit_length()) if steps >> power & 1)
    count, reach = doubled[first], 1 << first
    for power in others:
        count = _add_earlier(count, doubled[power], reach)
        reach += 1 << power
    return count


def _add_earlier(values: Array, others: Array, steps: int) -> Array:
    """Return the values plus the others ``steps`` earlier, nothing before the first step."""
    out = np.empty_like(values)
    out[:, :steps] = values[:, :steps]
    np.add(values[:, steps:], others[:, :-steps], out=out[:, steps:])
    return out


def widen(windows: Array, length: int, steps: int, pick: np.ufunc, apart: int = 1) -> Array:
    """Return windows of ``steps`` samples from shorter ones: 1 to 168 takes eight vector passes.

    ``windows``: result of each window of ``length`` samples, shape ``(n_services, n_steps)``.
    ``length``, ``steps``: samples of a given and of a wanted window, ``length <= steps``. ``pick``:
    joins two windows, which may overlap: a minimum or maximum.
    """
    while length < steps:
        more = min(length, steps - length)
        reach = more * apart
        wider = np.empty_like(windows)
        wider[:, :reach] = windows[:, :reach]
        pick(windows[:, reach:], windows[:, :-reach], out=wider[:, reach:])
        windows = wider
        length += more
    return windows


def exponential_mean(samples: NDArray[np.complex64], halflife: int) -> Array:
    """Return the mean of all samples so far, each halved for every half-life of its age.

    The weights are made to grow from step to step instead, so that a running sum does; the growth
    cancels in the mean. It starts anew after 64 half-lives. ``samples``: value and 1 of an observed
    sample, 0 and 0 in a gap, as real and imaginary part: one running sum then serves the sum and
    the weights. ``halflife``: steps after which a sample weighs half.
    """
    length = samples.shape[1]
    span = min(length, CHUNK * halflife)
    growth = np.exp2(np.arange(length) % span / halflife).astype(np.float32)
    fading = np.float32(0.5 ** (span / halflife))
    running = samples * growth
    for start in range(0, length, span):
        chunk = running[:, start : start + span]
        if start:
            chunk[:, 0] += fading * running[:, start - 1]
        np.cumsum(chunk, axis=1, out=chunk)
    mean: Array = running.real / running.imag
    return mean
