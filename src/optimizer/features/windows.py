"""Trailing windows over time on ``(n_services, n_steps)`` arrays that may hold NaN.

Every window of w steps at step t covers the samples ``t - w + 1 … t``; the start of the series
cuts the first ones short.
"""

from __future__ import annotations

import bottleneck as bn
import numpy as np
from numpy.typing import NDArray

from optimizer.features.base import Array, Block
from optimizer.features.medians import moving_median
from optimizer.features.panel import FloatArray


def least_count(steps: int) -> int:
    """Return how many observed samples a window of ``steps`` needs: a quarter, at least two."""
    return min(steps, max(2, -(-steps // 4)))


def window_mean(block: Block, metric: str, steps: int) -> Array:
    """Return the mean of the window, float64."""
    return block.remember(("mean", metric, steps), lambda: moving_mean(block.wide(metric), steps))


def window_std(block: Block, metric: str, steps: int) -> Array:
    """Return the sample standard deviation (n - 1) of the window, float64."""
    return block.remember(("std", metric, steps), lambda: moving_std(block.wide(metric), steps))


def window_max(block: Block, metric: str, steps: int) -> Array:
    """Return the maximum of the window."""
    return _extreme(block, metric, steps, "max", np.fmax)


def window_min(block: Block, metric: str, steps: int) -> Array:
    """Return the minimum of the window."""
    return _extreme(block, metric, steps, "min", np.fmin)


def window_median(block: Block, metric: str, steps: int) -> Array:
    """Return the median of the window."""
    return block.remember(
        ("median", metric, steps),
        lambda: moving_median(block.metric(metric), steps) + hole(block, metric, steps),
    )


def hole(block: Block, metric: str, steps: int) -> Array:
    """Return 0 where the window holds enough observed samples and NaN elsewhere, float32.

    Added to a statistic it blanks what the mean has blanked, at a fifth of a masked copy's time.
    """

    def compute() -> Array:
        mean = window_mean(block, metric, steps)
        return np.subtract(mean, mean).astype(np.float32)

    return block.remember(("hole", metric, steps), compute)


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


def window_count(block: Block, metric: str, steps: int) -> Array:
    """Return how many samples of the window were observed, float32."""

    def compute() -> Array:
        running = block.remember(
            ("running", metric), lambda: running_count(~np.isnan(block.metric(metric)))
        )
        return moving_count(running, steps)

    return block.remember(("count", metric, steps), compute)


def running_count(flags: NDArray[np.bool_]) -> FloatArray:
    """Return how many flags are set up to each step; float32 counts 16 million without error."""
    return np.cumsum(flags, axis=1, dtype=np.int32).astype(np.float32)


def moving_count(running: FloatArray, steps: int) -> FloatArray:
    """Return how many flags of each window are set, from their running count."""
    count = running.copy()
    count[:, steps:] -= running[:, :-steps]
    return count


def _extreme(block: Block, metric: str, steps: int, kind: str, pick: np.ufunc) -> Array:
    """Return the extreme of each window; ``fmin`` and ``fmax`` pass over NaN by themselves."""

    def compute() -> Array:
        known = block.remember(("known", kind, metric), lambda: {1: block.metric(metric)})
        start = max(length for length in known if length <= steps)
        known[steps] = widen(known[start], start, steps, pick)
        return known[steps] + hole(block, metric, steps)

    return block.remember((kind, metric, steps), compute)


def widen(windows: Array, length: int, steps: int, pick: np.ufunc) -> Array:
    """Return windows of ``steps`` samples from shorter ones: 1 to 168 takes eight vector passes.

    Parameters
    ----------
    windows : numpy.ndarray
        Result of each window of ``length`` samples, shape ``(n_services, n_steps)``.
    length, steps : int
        Samples of a given and of a wanted window, ``length <= steps``.
    pick : numpy.ufunc
        Joins two windows, which may overlap: a minimum or maximum.
    """
    while length < steps:
        reach = min(length, steps - length)
        wider = np.empty_like(windows)
        wider[:, :reach] = windows[:, :reach]
        pick(windows[:, reach:], windows[:, :-reach], out=wider[:, reach:])
        windows = wider
        length += reach
    return windows
