"""What models read of a panel's past: every value at step t uses steps up to t only.

All functions are whole-array: they turn one metric, shape ``(n_services, n_steps)``, into a
grid of the same shape, from which rows are gathered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import count_steps
from optimizer.core.panel import FloatArray, IntArray, Panel
from optimizer.targets.dataset import Dataset

DAY = pd.Timedelta("24h")
SORTED = 16_000_000
"""Values sorted at a time for quantiles: 64 MB, and up to three times that beside them."""
EIGHT = ("now", "lag_1", "lag_24h", "mean_24h", "max_24h", "max_7d", "hour_sin", "hour_cos")
"""Names of :func:`eight_features`."""


def last_observed(values: FloatArray, max_age: int | None = None) -> FloatArray:
    """Return the last value observed at or before each step.

    float32, same shape; NaN where nothing young enough was observed. ``values``: float32, shape
    ``(n_services, n_steps)``, NaN in gaps. ``max_age``: oldest age in steps that still counts; any
    if absent.
    """
    clock = np.arange(values.shape[1], dtype=np.int32)
    source = np.where(np.isnan(values), np.int32(-1), clock)
    np.maximum.accumulate(source, axis=1, out=source)
    found = np.take_along_axis(values, np.maximum(source, 0), axis=1)
    usable = source >= 0
    if max_age is not None:
        usable &= clock - source <= max_age
    return np.where(usable, found, np.float32(np.nan))


def anchor_of(samples: Dataset, metric: str) -> FloatArray:
    """Return the value that residuals are counted from, shape ``(n,)``, never NaN.

    It is the last value observed within 24 hours up to t. Only where there is none it is 0,
    and the residual is then the value itself.
    """
    panel = samples.panel
    grid = last_observed(panel.metric(metric), count_steps(DAY, panel.step))
    return np.nan_to_num(gather(grid, samples.service, samples.step))


def gather(grid: FloatArray, service: IntArray, step: NDArray[np.integer]) -> FloatArray:
    """Return grid values at ``(service, step)`` pairs, NaN where the step is off the clock."""
    inside = (step >= 0) & (step < grid.shape[1])
    found = grid[service, np.where(inside, step, 0)]
    return np.where(inside, found, np.float32(np.nan))


def rolling(values: FloatArray, window: int, how: str) -> FloatArray:
    """Return the mean, median or maximum of the observed values in ``(t - window, t]``.

    ``values``: float32, shape ``(n_services, n_steps)``, NaN in gaps. ``window``: steps, at least
    1; shortened to the clock. ``how``: ``"mean"``, ``"median"`` or ``"max"``.
    """
    import bottleneck as bn

    size = min(window, values.shape[1])
    move = {"mean": bn.move_mean, "median": bn.move_median, "max": bn.move_max}[how]
    moved: FloatArray = move(values.astype(np.float64), size, min_count=1, axis=1).astype(
        np.float32
    )
    return moved


def trailing_quantiles(
    values: FloatArray, at: tuple[IntArray, IntArray], window: int, levels: Sequence[float]
) -> FloatArray:
    """Return quantiles of the values observed in ``(t - window, t]``.

    float32, shape ``(n, n_levels)``, NaN where nothing was observed.

    - ``values``: float32, shape ``(n_services, n_steps)``, NaN in gaps.
    - ``at``: service and step t of each row, shape ``(n,)``.
    - ``window``: steps, at least 1; shortened to the clock.
    - ``levels``: quantile levels in (0, 1), linear between order statistics.
    """
    size = min(window, values.shape[1])
    padded = np.pad(values, ((0, 0), (size - 1, 0)), constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, size, axis=1)
    service, step = at
    return _quantiles(lambda part: windows[service[part], step[part]], len(step), size, levels)


def same_hour_quantiles(
    values: FloatArray, at: tuple[IntArray, IntArray], back: IntArray, levels: Sequence[float]
) -> FloatArray:
    """Return quantiles of the values at the target's time of day on past days.

    float32, shape ``(n, n_levels)``, NaN where nothing was observed.

    - ``values``: float32, shape ``(n_services, n_steps)``, NaN in gaps.
    - ``at``: service and step t of each row, shape ``(n,)``.
    - ``back``: how many steps before t each of the days is: :func:`steps_back`.
    - ``levels``: quantile levels in (0, 1), linear between order statistics.
    """
    service, step = at[0][:, None], at[1][:, None]
    return _quantiles(
        lambda part: gather(values, service[part], step[part] - back), len(step), len(back), levels
    )


def _quantiles(
    rows: Callable[[slice], FloatArray], n: int, size: int, levels: Sequence[float]
) -> FloatArray:
    """Return the quantiles of ``n`` rows of ``size`` values, some of them NaN, part by part."""
    out = np.empty((n, len(levels)), dtype=np.float32)
    chunk = max(SORTED // size, 1)
    for start in range(0, n, chunk):
        part = slice(start, start + chunk)
        ordered = np.sort(rows(part), axis=1)  # NaN last
        newest = np.maximum((~np.isnan(ordered)).sum(axis=1, keepdims=True) - 1, 0)
        place = newest * np.asarray(levels)
        floor = place.astype(np.int64)
        low, high = (
            np.take_along_axis(ordered, np.minimum(index, newest), axis=1)
            for index in (floor, floor + 1)
        )
        out[part] = low + (place - floor) * (high - low)
    return out


def steps_back(ahead: int, day: int, days: int) -> IntArray:
    """Return how many steps before t the target's time of day lies on each of the past days.

    They are ``t + ahead - k * day`` with the ``days`` smallest k >= 1 that lie at or before t.
    """
    first = max(1, -(-ahead // day))
    return np.arange(first, first + days, dtype=np.int32) * day - ahead


def same_hour_mean(
    grid: FloatArray, service: IntArray, step: IntArray, ahead: int, day: int, days: int
) -> FloatArray:
    """Return the mean of the values at the target's time of day on past days, shape ``(n,)``.

    ``grid``: float32, shape ``(n_services, n_steps)``. ``service``, ``step``: int32, shape
    ``(n,)``: moment of prediction t. ``ahead``, ``day``, ``days``: horizon and 24 hours in steps,
    and how many days to average: see :func:`steps_back`.
    """
    total = np.zeros(len(step), dtype=np.float64)
    seen = np.zeros(len(step), dtype=np.int64)
    for back in steps_back(ahead, day, days):
        value = gather(grid, service, step - back)
        total += np.nan_to_num(value)
        seen += ~np.isnan(value)
    return np.where(seen > 0, total / np.maximum(seen, 1), np.nan).astype(np.float32)


def eight_features(panel: Panel, metric: str, service: IntArray, step: IntArray) -> FloatArray:
    """Return the features of the linear baselines, float32, shape ``(n, 8)``.

    They are computed from the panel, whatever features are configured: the metric now, one step
    and 24 h earlier, its mean and maximum over 24 h, its maximum over 7 days, sine and cosine
    of the hour. NaN in gaps.
    """
    values = panel.metric(metric)
    day = count_steps(DAY, panel.step)
    hour = (panel.timestamps - panel.timestamps.astype("datetime64[D]")) / np.timedelta64(1, "D")
    angle = 2.0 * np.pi * hour[step]
    columns = (
        gather(values, service, step),
        gather(values, service, step - 1),
        gather(values, service, step - day),
        gather(rolling(values, day, "mean"), service, step),
        gather(rolling(values, day, "max"), service, step),
        gather(rolling(values, 7 * day, "max"), service, step),
        np.sin(angle),
        np.cos(angle),
    )
    return np.stack(columns, axis=1).astype(np.float32)
