"""What the whole cluster does: aggregates over the services of a cluster at each step."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from optimizer.columns import CPU, MEMORY
from optimizer.features.base import (
    Array,
    Block,
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
from optimizer.features.panel import IntArray, Panel
from optimizer.features.table import FeatureSpec
from optimizer.features.windows import moving_mean

UNITS = {"mean": "fraction", "max": "fraction", "std": "fraction", "above_80": "fraction"}
BUSY = 0.8


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


def aggregate_clusters(panel: Panel, metric: str) -> dict[str, Array]:
    """Return the metric's aggregates per cluster and step.

    Parameters
    ----------
    panel : Panel
        The telemetry.
    metric : str
        The metric to aggregate.

    Returns
    -------
    dict
        ``count``, ``mean``, ``max``, ``std`` and ``above_80``, each float64 of shape
        ``(n_clusters, n_steps)``; NaN where no service of the cluster was observed.
    """
    shape = (len(panel.cluster_names), panel.n_steps)
    out = {kind: np.full(shape, np.nan) for kind in ("count", *UNITS)}
    for code in range(shape[0]):
        members = (panel.clusters == code).any(axis=1)
        values = panel.metric(metric)[members]
        values[panel.clusters[members] != code] = np.nan
        gaps = np.isnan(values)
        out["max"][code] = np.fmax.reduce(values, axis=0, initial=np.nan)
        busy = np.count_nonzero(values >= BUSY, axis=0)
        values[gaps] = 0
        count = np.count_nonzero(~gaps, axis=0)
        known = np.where(count > 0, count, np.nan)
        mean = values.sum(axis=0, dtype=np.float64) / known
        spread = values - mean
        spread[gaps] = 0
        out["count"][code] = count
        out["mean"][code] = mean
        out["std"][code] = np.sqrt(np.einsum("ij,ij->j", spread, spread) / known)
        out["above_80"][code] = busy / known
    return out


def _fleet(block: Block, key: Hashable, compute: Callable[[], Any]) -> Any:
    """Return a result over the whole fleet, computed once per panel."""
    if key not in block.shared:
        block.shared[key] = compute()
    return block.shared[key]


def _aggregate(block: Block, metric: str, kind: str) -> Array:
    """Return one aggregate of all clusters."""
    found = _fleet(block, ("cluster", metric), lambda: aggregate_clusters(block.panel, metric))
    result: Array = found[kind]
    return result


def _spread(block: Block, key: Hashable, per_cluster: Callable[[], Array]) -> Array:
    """Return a per-cluster array as one row per service of the block, float32."""
    table = _fleet(block, ("spread", key), lambda: per_cluster().astype(np.float32))
    codes: IntArray = block.panel.clusters[block.services]
    last = codes[:, -1]
    rows: Array = table[np.maximum(last, 0)]
    clock = np.arange(codes.shape[1])
    for index in block.remember(("moved",), lambda: _moved(codes)):  # few
        rows[index] = table[np.maximum(codes[index], 0), clock]
    return rows


def _moved(codes: IntArray) -> Array:
    """Return which services changed cluster."""
    return np.flatnonzero(((codes != codes[:, -1:]) & (codes >= 0)).any(axis=1))


def _gather(metric: str, kind: str) -> Compute:
    def compute(block: Block) -> Array:
        key = ("cluster", metric, kind)
        return block.remember(
            key, lambda: _spread(block, key, lambda: _aggregate(block, metric, kind))
        )

    return compute


def _share(now: Array, mean: Array, size: Array) -> Array:
    """Return the service's part of the cluster's summed CPU utilisation."""
    return divide(now, mean * size)


def _difference(steps: int) -> Compute:
    def compute(block: Block) -> Array:
        mean = _aggregate(block, CPU, "mean")
        return _spread(block, ("difference", steps), lambda: mean - shift(mean, steps))

    return compute


def _window(steps: int) -> Compute:
    def compute(block: Block) -> Array:
        mean = _aggregate(block, CPU, "mean")
        return _spread(block, ("window", steps), lambda: moving_mean(mean, steps))

    return compute
