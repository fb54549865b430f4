"""The primitives of features over all steps of a few services of a panel."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray, IntArray, Panel
from optimizer.features.aggregates import aggregate_clusters
from optimizer.features.base import Array, Block
from optimizer.features.medians import Signed, moving_median, sign_gaps
from optimizer.features.windows import (
    exponential_mean,
    moving_count,
    moving_mean,
    moving_std,
    widen,
)

NEAR = 256
"""Gaps ahead of a metric at least: lags up to this share one copy of it."""


class PanelBlock(Block):
    """A few services over all steps of a panel.

    ``services``: the services of this block; few enough to stay in the processor's cache.
    """

    def __init__(self, panel: Panel, services: slice, shared: dict[Hashable, Any]) -> None:
        super().__init__(shared)
        self.panel = panel
        self.services = services

    @property
    def times(self) -> pd.DatetimeIndex:
        """UTC ends of the panel's steps."""
        return pd.DatetimeIndex(self.panel.timestamps, tz="UTC")

    def metric(self, name: str) -> FloatArray:
        """Return the metric, a view."""
        return self.panel.metric(name)[self.services]

    def earlier(self, name: str, steps: int) -> Array:
        """Return the metric ``steps`` earlier, a view of the metric after as many gaps."""
        reach = min(max(NEAR, 1 << (steps - 1).bit_length()), self.panel.n_steps)
        padded = self.remember(("padded", name, reach), lambda: _padded(self.metric(name), reach))
        return _shifted(padded, steps, self.panel.n_steps)

    def mean(self, name: str, steps: int) -> Array:
        """Return the mean of each window, summed in float64."""

        def compute() -> Array:
            return moving_mean(self.wide(name), steps).astype(np.float32)

        return self.remember(("mean", name, steps), compute)

    def std(self, name: str, steps: int) -> Array:
        """Return the standard deviation of each window, summed in float64."""
        return moving_std(self.wide(name), steps).astype(np.float32)

    def min(self, name: str, steps: int) -> Array:
        """Return the minimum of each window."""
        return self._extreme(name, steps, np.fmin)

    def max(self, name: str, steps: int) -> Array:
        """Return the maximum of each window."""
        return self._extreme(name, steps, np.fmax)

    def median(self, name: str, steps: int) -> Array:
        """Return the median of each window."""
        values = self.metric(name)

        def signed() -> Signed:
            return self.remember(("signed", name), lambda: sign_gaps(values))

        return moving_median(values, steps, signed) + self._hole(name, steps)

    def share_above(self, name: str, level: float, steps: int) -> Array:
        """Return the share of each window's samples at or above the level."""
        kind = np.min_scalar_type(steps)
        doubled = self.remember(
            ("doubled", name, level, kind.char), lambda: [self._above(name, level).astype(kind)]
        )
        above = moving_count(doubled, steps).astype(np.float32)
        return above / self._count(name, steps) + self._hole(name, steps)

    def age_above(self, name: str, level: float, steps: int) -> Array:
        """Return the steps since the metric was at or above the level."""
        # the clock starts above the window's length, so that 0 stands for never
        clock = np.arange(steps + 1, steps + 1 + self.panel.n_steps)
        clock = clock.astype(np.min_scalar_type(clock[-1]))
        last = widen(self._above(name, level) * clock, 1, steps, np.maximum)
        return np.minimum(clock - last, clock.dtype.type(steps)).astype(np.float32)

    def exponential_mean(self, name: str, halflife: int, memory: int) -> Array:
        """Return the exponentially weighted mean, float32."""

        def compute() -> Array:
            mean = exponential_mean(self._samples(name), halflife)
            np.copyto(mean, np.nan, where=self._count(name, memory) == 0)
            return mean

        return self.remember(("ewm", name, halflife, memory), compute)

    def mean_of_days(self, name: str, lag: int, day: int, days: int) -> Array:
        """Return the mean of the days; lags share it."""

        def compute() -> Array:
            values, seen = self._filled(name), self._doubled(name, days)[0]
            total, count = values.copy(), seen.copy()
            for back in range(day, days * day, day):
                total[:, back:] += values[:, :-back]
                count[:, back:] += seen[:, :-back]
            return _padded(total / count.astype(np.float32), day)

        return _shifted(
            self.remember(("days", "mean", name, day, days), compute), lag, self.panel.n_steps
        )

    def max_of_days(self, name: str, lag: int, day: int, days: int) -> Array:
        """Return the maximum of the days; lags share it."""

        def compute() -> Array:
            return _padded(widen(self.metric(name), 1, days, np.fmax, day), day)

        return _shifted(
            self.remember(("days", "max", name, day, days), compute), lag, self.panel.n_steps
        )

    def cluster(self, name: str, kind: str) -> Array:
        """Return the aggregate of the cluster that each service was in."""

        def table() -> Array:
            return self._clusters(name)[kind].astype(np.float32)

        return self._spread(self.once(("cluster", name, kind), table))

    def cluster_trend(self, name: str, trend: Callable[[Array], Array], reach: int) -> Array:
        """Return the trend of the mean of the cluster that each service was in."""

        def table() -> Array:
            return trend(self._clusters(name)["mean"]).astype(np.float32)

        return self._spread(self.once(("trend", name, trend), table))

    def _filled(self, name: str) -> FloatArray:
        """Return the metric with 0 in its gaps: what sums need."""

        def compute() -> FloatArray:
            values = self.metric(name).copy()
            np.copyto(values, 0, where=np.isnan(values))
            return values

        return self.remember(("filled", name), compute)

    def _samples(self, name: str) -> NDArray[np.complex64]:
        """Return value and 1 of observed samples, 0 and 0 in gaps, as complex numbers."""

        def compute() -> NDArray[np.complex64]:
            values = self._filled(name)
            samples = np.empty(values.shape, dtype=np.complex64)
            samples.real = values
            samples.imag = self._doubled(name, 1)[0]
            return samples

        return self.remember(("samples", name), compute)

    def _doubled(self, name: str, steps: int) -> list[Array]:
        """Return the counts of observed samples over 1, 2, 4, 8 … steps, as wide as ``steps``."""
        kind = np.min_scalar_type(steps)
        return self.remember(
            ("doubled", name, kind.char), lambda: [(~np.isnan(self.metric(name))).astype(kind)]
        )

    def _count(self, name: str, steps: int) -> Array:
        """Return how many samples of each window were observed, float32."""
        return self.remember(
            ("count", name, steps),
            lambda: moving_count(self._doubled(name, steps), steps).astype(np.float32),
        )

    def _above(self, name: str, level: float) -> NDArray[np.bool_]:
        """Tell where the metric is at or above the level."""
        return self.remember(("above", name, level), lambda: self.metric(name) >= level)

    def _hole(self, name: str, steps: int) -> Array:
        """Return 0 where the window holds enough observed samples and NaN elsewhere, float32.

        Added to a statistic it blanks what the mean has blanked, at a fifth of a masked copy's
        time.
        """

        def compute() -> Array:
            mean = self.mean(name, steps)
            return mean - mean

        return self.remember(("hole", name, steps), compute)

    def _extreme(self, name: str, steps: int, pick: np.ufunc) -> Array:
        """Return the extreme of each window; ``fmin`` and ``fmax`` pass over NaN by themselves.

        It is put together from the longest shorter window that was asked for.
        """
        known = self.remember(("known", pick, name), lambda: {1: self.metric(name)})
        start = max(length for length in known if length <= steps)
        known[steps] = widen(known[start], start, steps, pick)
        return known[steps] + self._hole(name, steps)

    def _clusters(self, name: str) -> dict[str, Array]:
        """Return all aggregates of all clusters."""
        panel = self.panel
        return self.once(
            ("clusters", name),
            lambda: aggregate_clusters(
                panel.metric(name), panel.clusters, len(panel.cluster_names)
            ),
        )

    def _spread(self, table: Array) -> Array:
        """Return a table per cluster as one row per service of the block."""
        codes: IntArray = self.panel.clusters[self.services]
        rows: Array = table[np.maximum(codes[:, -1], 0)]
        moved = self.once(("moved",), lambda: _moved(self.panel.clusters))
        for index in np.flatnonzero(moved[self.services]):  # few
            rows[index] = table[np.maximum(codes[index], 0), np.arange(codes.shape[1])]
        return rows


def _moved(codes: IntArray) -> NDArray[np.bool_]:
    """Tell which services changed cluster."""
    moved: NDArray[np.bool_] = ((codes != codes[:, -1:]) & (codes >= 0)).any(axis=1)
    return moved


def _padded(values: Array, steps: int) -> Array:
    """Return the values after ``steps`` gaps, of which there need not be more than values."""
    length = values.shape[1]
    reach = min(steps, length)
    out = np.empty((len(values), reach + length), dtype=values.dtype)
    out[:, :reach] = np.nan
    out[:, reach:] = values
    return out


def _shifted(padded: Array, steps: int, length: int) -> Array:
    """Return padded values ``steps`` earlier: a view."""
    start = padded.shape[1] - length - min(steps, length)
    return padded[:, start : start + length]
