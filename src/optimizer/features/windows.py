"""Trailing windows over time on ``(n_services, n_steps)`` arrays that may hold NaN.

Every window of w steps at step t covers the samples ``t - w + 1 … t``; the start of the series
cuts the first ones short.
"""

from __future__ import annotations

import bottleneck as bn
import numpy as np

from optimizer.features.base import Array, Block
from optimizer.features.medians import moving_median


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


def _extreme(block: Block, metric: str, steps: int, kind: str, pick: np.ufunc) -> Array:
    """Return the extreme of each window; ``fmin`` and ``fmax`` pass over NaN by themselves."""
    return block.remember(
        (kind, metric, steps),
        lambda: fold(block.metric(metric), steps, pick) + hole(block, metric, steps),
    )


def window_count(block: Block, metric: str, steps: int) -> Array:
    """Return how many samples of the window were observed, float32."""
    return block.remember(("count", metric, steps), lambda: fold(block.seen(metric), steps, np.add))


def fold(values: Array, steps: int, join: np.ufunc) -> Array:
    """Return the samples of each window joined, by doubling: 168 steps take nine vector passes.

    A window is made of windows whose lengths are the powers of two in ``steps``.

    Parameters
    ----------
    values : numpy.ndarray
        Shape ``(n_services, n_steps)``.
    steps : int
        Length of the window.
    join : numpy.ufunc
        Associative and commutative, such as ``add`` or ``fmax``.
    """
    result, reach = values, 0
    level, power = values, 1
    while True:
        if steps & power:
            result = _unite(result, level, reach, join) if reach else level
            reach += power
        if 2 * power > steps:
            return result
        level = _unite(level, level, power, join)
        power *= 2


def _unite(late: Array, early: Array, steps: int, join: np.ufunc) -> Array:
    """Return each late window joined with the early one that ended ``steps`` before."""
    result = np.empty_like(late)
    result[:, :steps] = late[:, :steps]
    join(late[:, steps:], early[:, :-steps], out=result[:, steps:])
    return result
