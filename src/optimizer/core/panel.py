"""The dense panel: telemetry as one ``float32 [n_metrics, n_services, n_steps]`` array.

Whole-array functions on a regular grid replace groupby; a gap is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.errors import ConfigError
from optimizer.core.schema import CLUSTER, SERVICE, TIMESTAMP, metrics_of

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Panel:
    """Telemetry of all services on one regular clock.

    Parameters
    ----------
    values : numpy.ndarray
        float32, shape ``(n_metrics, n_services, n_steps)``; NaN where nothing was measured.
    metrics : tuple of str
        Names along the first axis, canonical (see :mod:`optimizer.core.schema`).
    services : tuple of str
        Names along the second axis, sorted.
    clusters : numpy.ndarray
        int32, shape ``(n_services, n_steps)``: index into ``cluster_names``; the last known
        cluster is carried over gaps, -1 before a service's first row.
    cluster_names : tuple of str
        Names of the clusters, sorted.
    timestamps : numpy.ndarray
        datetime64[us], shape ``(n_steps,)``, UTC: the END of each step.
    step : pandas.Timedelta
        Length of one step.
    present : numpy.ndarray
        bool, shape ``(n_services, n_steps)``: the telemetry had a row here.
    """

    values: FloatArray
    metrics: tuple[str, ...]
    services: tuple[str, ...]
    clusters: IntArray
    cluster_names: tuple[str, ...]
    timestamps: NDArray[np.datetime64]
    step: pd.Timedelta
    present: BoolArray

    @property
    def n_services(self) -> int:
        """Number of services."""
        return len(self.services)

    @property
    def n_steps(self) -> int:
        """Number of steps of the clock, gaps included."""
        return len(self.timestamps)

    def has(self, metric: str) -> bool:
        """Tell whether the panel carries the metric."""
        return metric in self.metrics

    def metric(self, name: str) -> FloatArray:
        """Return one metric, shape ``(n_services, n_steps)``, a view.

        Raises
        ------
        ConfigError
            The telemetry lacks the metric.
        """
        if name not in self.metrics:
            raise ConfigError(
                f"metric {name}",
                seen="absent from the telemetry",
                allowed=", ".join(self.metrics),
                fix="choose one of these metrics or map a column to it",
            )
        values: FloatArray = self.values[self.metrics.index(name)]
        return values

    def between(self, start: int, stop: int) -> Panel:
        """Return the steps from ``start`` to before ``stop``, as views."""
        steps = slice(start, stop)
        return replace(
            self,
            values=self.values[:, :, steps],
            clusters=self.clusters[:, steps],
            timestamps=self.timestamps[steps],
            present=self.present[:, steps],
        )

    def at(self, name: str, service: IntArray, step: NDArray[np.integer]) -> FloatArray:
        """Return a metric at ``(service, step)`` pairs, NaN where the step is off the clock."""
        inside = (step >= 0) & (step < self.n_steps)
        found = self.metric(name)[service, np.where(inside, step, 0)]
        return np.where(inside, found, np.float32(np.nan))


def infer_step(timestamps: pd.Series, services: pd.Series) -> pd.Timedelta:
    """Return the most frequent distance between two successive rows of a service."""
    codes = pd.factorize(services)[0]
    clock = timestamps.to_numpy("datetime64[us]").astype(np.int64)
    order = np.lexsort((clock, codes))
    distance = np.diff(clock[order])[np.diff(codes[order]) == 0]
    distance = distance[distance > 0]
    if len(distance) == 0:
        return pd.Timedelta("1h")
    sizes, counts = np.unique(distance, return_counts=True)
    return pd.Timedelta(int(sizes[np.argmax(counts)]), unit="us")


def build_panel(frame: pd.DataFrame, step: pd.Timedelta | None = None) -> Panel:
    """Scatter a validated long frame onto the dense grid.

    Parameters
    ----------
    frame : pandas.DataFrame
        Canonical, keys unique, every timestamp on the grid of the first one.
    step : pandas.Timedelta, optional
        Length of a step; inferred from the rows if absent.

    Returns
    -------
    Panel
        Grid from the first to the last timestamp; absent rows are NaN and not ``present``.
    """
    step = step or infer_step(frame[TIMESTAMP], frame[SERVICE])
    services = pd.Categorical(frame[SERVICE].astype(str))
    clusters = pd.Categorical(frame[CLUSTER].astype(str))
    clock = frame[TIMESTAMP].to_numpy("datetime64[us]").astype(np.int64)
    size = int(step.value // 1000)
    first = clock.min()
    at = (services.codes.astype(np.int64), (clock - first) // size)
    shape = (len(services.categories), int((clock.max() - first) // size) + 1)
    names = metrics_of(frame)
    values = np.full((len(names), *shape), np.nan, dtype=np.float32)
    for index, name in enumerate(names):
        values[index][at] = frame[name].to_numpy(np.float32, na_value=np.nan)
    present = np.zeros(shape, dtype=bool)
    present[at] = True
    codes = np.full(shape, -1, dtype=np.int32)
    codes[at] = clusters.codes
    return Panel(
        values=values,
        metrics=names,
        services=tuple(services.categories),
        clusters=carry_forward(codes),
        cluster_names=tuple(clusters.categories),
        timestamps=(first + size * np.arange(shape[1])).astype("datetime64[us]"),
        step=step,
        present=present,
    )


def carry_forward(codes: IntArray) -> IntArray:
    """Fill each gap of cluster codes with the last code before it."""
    last = np.where(codes >= 0, np.arange(codes.shape[1], dtype=np.int32), np.int32(0))
    np.maximum.accumulate(last, axis=1, out=last)
    return np.take_along_axis(codes, last, axis=1)
