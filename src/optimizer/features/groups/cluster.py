"""What the whole cluster does: aggregates over the services of a cluster at each step."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import numpy as np

from optimizer.core.schema import CPU, MEMORY
from optimizer.features.base import (
    Array,
    Compute,
    Derive,
    Derived,
    Feature,
    FeatureGroup,
    Layout,
    Planned,
    divide,
    shift,
)
from optimizer.features.table import FeatureSpec
from optimizer.features.windows import moving_mean

UNITS = {"mean": "fraction", "max": "fraction", "std": "fraction", "above_80": "fraction"}


@dataclass(frozen=True)
class Cluster(FeatureGroup):
    """Mean, maximum, spread and share above 80 % over the cluster, and the service's place in it.

    A service belongs to the cluster it was last seen in. Information at time t: the steps up to
    t of all services of the cluster.

    Parameters
    ----------
    metrics : list of str
        Metrics to aggregate.
    lags : list of str
        Durations at which the cluster's mean CPU is also given as a difference.
    windows : list of str
        Durations over which the cluster's mean CPU is averaged.
    """

    metrics: list[str] = field(default_factory=lambda: [CPU, MEMORY])
    lags: list[str] = field(default_factory=lambda: ["1h", "24h"])
    windows: list[str] = field(default_factory=lambda: ["6h", "24h"])
    name: ClassVar[str] = "cluster"
    view: ClassVar[str] = "cluster_features"
    scope: ClassVar[str] = "cluster"

    def __post_init__(self) -> None:
        """Check the settings."""
        self.check_metrics("metrics", self.metrics)
        for argument in ("lags", "windows"):
            for duration in getattr(self, argument):
                self.check_durations(argument, duration)

    def features(self, layout: Layout) -> Planned:
        """Return the aggregates of the metrics that the telemetry has."""
        found: list[Feature | Derived] = []
        for metric in layout.available(self.metrics):
            for kind, unit in UNITS.items():
                spec = self._spec(f"{metric}_{kind}", unit, "0h", metric)
                found.append(Feature(spec, _gather(metric, kind)))
            found.append(self._place(metric, "distance", (f"cluster_{metric}_mean",), np.subtract))
        if not layout.available([CPU]):
            return found
        spec = self._spec("size", "services", "0h", CPU)
        found.append(Feature(spec, _gather(CPU, "count")))
        if CPU in self.metrics:
            found.append(self._place(CPU, "share", (f"cluster_{CPU}_mean", "cluster_size"), _share))
        for lag in self.lags:
            spec = self._spec(f"{CPU}_mean_diff_{lag}", "fraction", lag, CPU)
            found.append(Feature(spec, _difference(layout.steps(lag))))
        for window in self.windows:
            spec = self._spec(f"{CPU}_mean_{window}", "fraction", window, CPU)
            found.append(Feature(spec, _window(layout.steps(window))))
        return found

    def _spec(self, name: str, unit: str, lookback: str, metric: str) -> FeatureSpec:
        return self.spec(f"cluster_{name}", unit, lookback, (metric,))

    def _place(self, metric: str, kind: str, of: tuple[str, ...], derive: Derive) -> Derived:
        """Return the service's place in its cluster, from its own value and the cluster's."""
        name = f"cluster_{metric}_{kind}"
        return self.derived(name, "fraction", "0h", (metric,), (metric, *of), derive)


def _gather(metric: str, kind: str) -> Compute:
    return lambda block: block.cluster(metric, kind)


def _share(now: Array, mean: Array, size: Array) -> Array:
    """Return the service's part of the cluster's summed CPU utilisation."""
    return divide(now, mean * size)


def _difference(steps: int) -> Compute:
    def change(mean: Array) -> Array:
        return mean - shift(mean, steps)

    return lambda block: block.cluster_trend(CPU, change, steps)


def _window(steps: int) -> Compute:
    mean = partial(moving_mean, steps=steps)
    return lambda block: block.cluster_trend(CPU, mean, steps - 1)
