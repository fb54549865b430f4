"""Trailing windows over time on ``(n_services, n_steps)`` arrays that may hold NaN.

Every window of w steps at step t covers the samples ``t - w + 1 … t``.
"""

from __future__ import annotations

import bottleneck as bn
import numpy as np
from numpy.typing import NDArray

from optimizer.features.base import Array, Block


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
    return block.remember(
        ("max", metric, steps), lambda: _extreme(block, metric, steps, np.fmax, "fmax")
    )


def window_min(block: Block, metric: str, steps: int) -> Array:
    """Return the minimum of the window."""
    return block.remember(
        ("min", metric, steps), lambda: _extreme(block, metric, steps, np.fmin, "fmin")
    )


def window_median(block: Block, metric: str, steps: int) -> Array:
    """Return the median of the window."""

    def compute() -> Array:
        values = block.metric(metric)
        return _bounded(bn.move_median, values, steps)

    return block.remember(("median", metric, steps), compute)


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


def _extreme(block: Block, metric: str, steps: int, pick: np.ufunc, kind: str) -> Array:
    """Return the extreme of each window by doubling: 168 steps take eight vector passes.

    A window of w steps is the union of two windows of the largest power of two below w, so the
    powers serve every window of the metric. ``fmin`` and ``fmax`` pass over NaN by themselves.
    """
    power = 1 << (steps.bit_length() - 1)
    level = _doubled(block, metric, power, pick, kind)
    rest = steps - power
    result = level
    if rest:
        result = _join(level, rest, pick)
    return np.where(_enough(block, metric, steps), result, np.float32(np.nan))


def _doubled(block: Block, metric: str, power: int, pick: np.ufunc, kind: str) -> Array:
    def compute() -> Array:
        if power == 1:
            return block.metric(metric)
        half = power // 2
        return _join(_doubled(block, metric, half, pick, kind), half, pick)

    return block.remember((kind, metric, power), compute)


def _join(windows: Array, steps: int, pick: np.ufunc) -> Array:
    """Return each window united with the one that ended ``steps`` earlier."""
    result = np.empty_like(windows)
    result[:, :steps] = windows[:, :steps]
    pick(windows[:, steps:], windows[:, :-steps], out=result[:, steps:])
    return result


def _enough(block: Block, metric: str, steps: int) -> NDArray[np.bool_]:
    """Tell where the window holds enough observed samples: where its mean is defined."""
    return ~np.isnan(window_mean(block, metric, steps))
