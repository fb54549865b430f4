"""The primitives of features for the newest step of a buffer, and the features made of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray
from optimizer.features.aggregates import aggregate_clusters
from optimizer.features.base import RESOLVED, Array, Block, Derived, Feature
from optimizer.features.buffer import TelemetryBuffer
from optimizer.features.engine import derive_features, longest_reach
from optimizer.features.table import FeatureSpec
from optimizer.features.windows import least_count

TREND = 32
"""Steps at least over which clusters are aggregated for a trend: they cost little more than two."""


@dataclass(frozen=True)
class NewestFeatures:
    """Features of the services that have a row at the newest step.

    ``values``: float32, shape ``(n_features, n_services)``. ``specs``: one per feature, in order.
    ``services``: one per column of the values. ``timestamp``: UTC end of the newest step.
    """

    values: FloatArray
    specs: tuple[FeatureSpec, ...]
    services: tuple[str, ...]
    timestamp: np.datetime64

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in order."""
        return tuple(spec.name for spec in self.specs)


def steps_to_keep(specs: Sequence[FeatureSpec], step: pd.Timedelta) -> int:
    """Return how many steps a buffer must keep for these features.

    The newest step and the longest reach: that of an exponential mean goes beyond its lookback.
    """
    return int(-(-longest_reach(specs) // step)) + 1


def newest_features(
    buffer: TelemetryBuffer, features: Sequence[Feature | Derived]
) -> NewestFeatures:
    """Compute features for the newest step only.

    Returns the values that :func:`~optimizer.features.engine.compute_features` has for this step.
    ``buffer``: the telemetry so far. ``features``: what
    :func:`~optimizer.features.engine.plan_features` returned for the buffer's layout; planned once,
    used at every step.
    """
    block = NewestBlock(buffer)
    out = np.empty((len(features), buffer.n_services), dtype=np.float32)
    place = {feature.spec.name: index for index, feature in enumerate(features)}
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        for row, feature in zip(out, features, strict=True):
            if isinstance(feature, Feature):
                row[:, None] = feature.compute(block)
    derived = {f.spec.name: f for f in features if isinstance(f, Derived)}
    for name, values in derive_features(derived, lambda given: out[place[given]]):
        out[place[name]] = values
    services, present = buffer.services, buffer.present
    if not present.all():
        out = out[:, present]
        services = tuple(services[place] for place in np.flatnonzero(present))
    specs = tuple(feature.spec for feature in features)
    return NewestFeatures(out, specs, services, buffer.newest)


class NewestBlock(Block):
    """All services of a buffer at its newest step; results have shape ``(n_services, 1)``."""

    def __init__(self, buffer: TelemetryBuffer) -> None:
        super().__init__({})
        self.buffer = buffer

    @property
    def times(self) -> pd.DatetimeIndex:
        """The newest timestamp."""
        return pd.DatetimeIndex([self.buffer.newest], tz="UTC")

    def metric(self, name: str) -> FloatArray:
        """Return the newest values, a view."""
        return self.buffer.tail(name, 1).T

    def earlier(self, name: str, steps: int) -> Array:
        """Return the values ``steps`` before the newest, NaN before the buffer's start."""
        if steps >= self.buffer.keep_steps:
            return np.full((self.buffer.n_services, 1), np.nan, dtype=np.float32)
        return self.buffer.tail(name, steps + 1)[:1].T

    def mean(self, name: str, steps: int) -> Array:
        """Return the mean of the window, float64."""
        count = self._enough(name, steps)
        return self.remember(("mean", name, steps), lambda: self._moments(name, steps)[0] / count)

    def std(self, name: str, steps: int) -> Array:
        """Return the standard deviation of the window."""

        def compute() -> Array:
            count = self._enough(name, steps)
            total, squares = self._moments(name, steps)
            surplus = squares - self.mean(name, steps) * total
            spread = np.sqrt(np.maximum(surplus, 0) / (count - 1))
            return np.where(count > 1, spread, np.nan).astype(np.float32)

        return self.remember(("std", name, steps), compute)

    def min(self, name: str, steps: int) -> Array:
        """Return the minimum of the window."""
        lowest = self._nested("min", name, steps, _rows_of(np.fmin), np.fmin)
        return self._known(lowest, name, steps)

    def max(self, name: str, steps: int) -> Array:
        """Return the maximum of the window."""
        highest = self._nested("max", name, steps, _rows_of(np.fmax), np.fmax)
        return self._known(highest, name, steps)

    def median(self, name: str, steps: int) -> Array:
        """Return the median of the window: its samples sorted, gaps last."""
        ranked = np.ascontiguousarray(self.buffer.tail(name, steps).T)
        ranked.sort(axis=1)
        last = np.maximum(self._count(name, steps), 1).astype(np.intp) - 1
        middle = np.take_along_axis(ranked, np.hstack((last // 2, last - last // 2)), axis=1)
        half = np.float32(0.5)
        return self._known((middle[:, :1] + middle[:, 1:]) * half, name, steps)

    def share_above(self, name: str, level: float, steps: int) -> Array:
        """Return the share of the window's samples at or above the level."""
        above = self._nested(
            ("above", level), name, steps, lambda rows: _count_rows(rows >= level), np.add
        )
        return (above / self._enough(name, steps)).astype(np.float32)

    def age_above(self, name: str, level: float, steps: int) -> Array:
        """Return the steps since the metric was at or above the level."""
        rows = self.buffer.tail(name, steps)
        clock = np.arange(1, len(rows) + 1, dtype=np.min_scalar_type(len(rows)))[:, None]
        last = np.maximum.reduce((rows >= level) * clock, axis=0)[:, None]
        age = np.float32(len(rows)) - last
        return np.where(last > 0, age, np.float32(steps)).astype(np.float32)

    def exponential_mean(self, name: str, halflife: int, memory: int) -> Array:
        """Return the exponentially weighted mean: two products with the weights."""

        def compute() -> Array:
            values, seen = self._samples(name, RESOLVED * halflife)
            weights = np.exp2(np.arange(1 - len(values), 1) / halflife).astype(np.float32)
            mean = (weights @ values / (weights @ seen))[:, None]
            return np.where(self._count(name, memory) > 0, mean, np.float32(np.nan))

        return self.remember(("ewm", name, halflife, memory), compute)

    def mean_of_days(self, name: str, lag: int, day: int, days: int) -> Array:
        """Return the mean of the days."""
        rows = self._days(name, lag, day, days)
        gaps = np.isnan(rows)
        total = np.where(gaps, np.float32(0), rows).sum(axis=0)[:, None]
        mean: Array = total / _count_rows(~gaps).astype(np.float32)
        return mean

    def max_of_days(self, name: str, lag: int, day: int, days: int) -> Array:
        """Return the maximum of the days."""
        return _rows_of(np.fmax)(self._days(name, lag, day, days))

    def cluster(self, name: str, kind: str) -> Array:
        """Return the aggregate of the cluster that each service is in."""
        table = self._clusters(name, 1)[kind].astype(np.float32)
        return self._spread(table)

    def cluster_trend(self, name: str, trend: Callable[[Array], Array], reach: int) -> Array:
        """Return the trend of the mean of the cluster that each service is in."""
        means = self._clusters(name, reach + 1)["mean"]
        return self._spread(trend(means)[:, -1:].astype(np.float32))

    def _nested(
        self,
        kind: Hashable,
        name: str,
        steps: int,
        reduce: Callable[[Array], Array],
        join: np.ufunc,
    ) -> Array:
        """Return what a window reduces to, from a shorter one and the steps before that."""
        known = self.remember((kind, name), dict[int, Array])
        steps = min(steps, self.buffer.keep_steps)
        if steps not in known:
            start = max((length for length in known if length < steps), default=0)
            older = reduce(self.buffer.tail(name, steps, skip=start))
            known[steps] = join(known[start], older) if start else older
        return known[steps]

    def _count(self, name: str, steps: int) -> Array:
        """Return how many samples of the window were observed."""
        return self._nested("count", name, steps, lambda rows: _count_rows(~np.isnan(rows)), np.add)

    def _enough(self, name: str, steps: int) -> Array:
        """Return the count of a window that holds enough samples, NaN of another."""

        def compute() -> Array:
            count = self._count(name, steps)
            return np.where(count >= least_count(steps), count, np.nan)

        return self.remember(("enough", name, steps), compute)

    def _known(self, values: Array, name: str, steps: int) -> Array:
        """Return the values where the window holds enough samples, NaN elsewhere."""
        return np.where(np.isnan(self._enough(name, steps)), np.float32(np.nan), values)

    def _moments(self, name: str, steps: int) -> Array:
        """Return the sum and the sum of squares of the window, float64, shape (2, n, 1)."""
        return self._nested("moments", name, steps, _moments, np.add)

    def _samples(self, name: str, steps: int) -> tuple[FloatArray, FloatArray]:
        """Return the values with 0 in gaps, and 1 where observed."""
        rows = self.buffer.tail(name, steps)
        gaps = np.isnan(rows)
        values = rows.copy()
        np.copyto(values, 0, where=gaps)
        return values, (~gaps).astype(np.float32)

    def _days(self, name: str, lag: int, day: int, days: int) -> FloatArray:
        """Return the values ``lag`` steps ago and at that time of the days before, newest first."""
        rows = self.buffer.tail(name, lag + (days - 1) * day + 1)
        return rows[::-1][lag::day]

    def _clusters(self, name: str, steps: int) -> dict[str, Array]:
        """Return all aggregates of all clusters over the last steps, or the last of more."""
        known = self.remember(("clusters", name), dict[int, dict[str, Array]])
        longest = max(known, default=0)
        if longest < steps:
            longest = steps if steps == 1 else max(steps, TREND)
            known[longest] = aggregate_clusters(
                self.buffer.tail(name, longest).T,
                self.buffer.tail_clusters(longest).T,
                len(self.buffer.cluster_names),
            )
        return {kind: table[:, -steps:] for kind, table in known[longest].items()}

    def _spread(self, table: Array) -> Array:
        """Return a table per cluster as one row per service."""
        rows: Array = table[np.maximum(self.buffer.tail_clusters(1)[0], 0)]
        return rows


def _rows_of(pick: np.ufunc) -> Callable[[Array], Array]:
    return lambda rows: pick.reduce(rows, axis=0)[:, None]


def _count_rows(flags: NDArray[np.bool_]) -> Array:
    """Return how many flags of each column are set, float64, as a column."""
    narrow = flags.astype(np.min_scalar_type(len(flags)))
    count: Array = narrow.sum(axis=0, dtype=narrow.dtype).astype(np.float64)
    return count[:, None]


def _moments(rows: FloatArray) -> Array:
    """Return sum and sum of squares of each column; float32 squares are exact in float64."""
    wide = rows.astype(np.float64)
    np.copyto(wide, 0, where=np.isnan(rows))
    total = wide.sum(axis=0)
    return np.stack((total, np.square(wide, out=wide).sum(axis=0)))[..., None]
