"""Small data for tests: a panel with a rhythm, its features, labels and time-ordered folds.

Everything is seeded and takes milliseconds. The events are learnable: load rises for a few steps
before it crosses the ceiling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import count_steps
from optimizer.core.panel import FloatArray, Panel
from optimizer.core.schema import CPU, MEMORY
from optimizer.features.base import FeatureGroup
from optimizer.features.engine import compute_features
from optimizer.features.table import FeatureSpec, FeatureTable
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import EventTask, ForecastTask, Task

CEILING = 0.8
START = np.datetime64("2024-01-01T00:00:00", "us")
LAGS = (0, 1, 2, 3, 6, 24)


def tiny_panel(
    n_services: int = 8, n_steps: int = 400, seed: int = 7, *, step: str = "1h", gaps: float = 0.01
) -> Panel:
    """Return a panel of CPU, memory and request rate: a daily rhythm, AR noise and surges.

    Parameters
    ----------
    n_services, n_steps : int
        Size of the grid.
    seed : int
        Seeds every draw.
    step : str
        Length of a step.
    gaps : float
        Share of values that are NaN; half of these rows are not present at all.
    """
    rng = np.random.default_rng(seed)
    size = pd.Timedelta(step)
    shape = (n_services, n_steps)
    hours = np.arange(n_steps) * (size / pd.Timedelta("1h"))
    level = rng.uniform(0.15, 0.5, (n_services, 1))
    phase = rng.uniform(0.0, 2.0 * np.pi, (n_services, 1))
    cpu = level + 0.12 * np.sin(2.0 * np.pi * hours / 24.0 + phase)
    cpu += _autoregressive(rng.normal(0.0, 0.03, shape), 0.7)
    cpu += _surges(rng, shape)
    cpu = np.clip(cpu, 0.0, 1.5)
    memory = np.clip(0.3 + 0.4 * cpu + rng.normal(0.0, 0.02, shape), 0.0, 1.0)
    values = np.stack([cpu, memory, 400.0 * cpu]).astype(np.float32)
    hole = rng.random(shape) < gaps
    values[:, hole] = np.nan
    n_clusters = min(2, n_services)
    clusters = np.broadcast_to((np.arange(n_services, dtype=np.int32) % n_clusters)[:, None], shape)
    return Panel(
        values=values,
        metrics=(CPU, MEMORY, "request_rate"),
        services=tuple(f"svc-{i:03d}" for i in range(n_services)),
        clusters=np.ascontiguousarray(clusters),
        cluster_names=tuple(f"cluster-{i}" for i in range(n_clusters)),
        timestamps=START + np.arange(n_steps) * np.timedelta64(size.value // 1000, "us"),
        step=size,
        present=~(hole & (rng.random(shape) < 0.5)),
    )


def panel_of(cpu: object, *, step: str = "1h") -> Panel:
    """Return a panel of one metric from given CPU values, shape ``(n_services, n_steps)``."""
    values = np.atleast_2d(np.asarray(cpu, dtype=np.float32))
    size = pd.Timedelta(step)
    return Panel(
        values=values[None],
        metrics=(CPU,),
        services=tuple(f"svc-{i:03d}" for i in range(len(values))),
        clusters=np.zeros(values.shape, dtype=np.int32),
        cluster_names=("cluster-0",),
        timestamps=START + np.arange(values.shape[1]) * np.timedelta64(size.value // 1000, "us"),
        step=size,
        present=np.ones(values.shape, dtype=bool),
    )


def tiny_table(panel: Panel) -> FeatureTable:
    """Return ten hand-made features: six lags of CPU, two rolling ones, memory and the hour."""
    cpu = panel.metric(CPU)
    columns = {f"cpu_lag_{lag}": _shift(cpu, lag) for lag in LAGS}
    recent = np.stack([_shift(cpu, lag) for lag in range(6)])
    columns["cpu_max_6"] = np.fmax.reduce(recent, axis=0)
    columns["cpu_diff_3"] = cpu - _shift(cpu, 3)
    columns["memory"] = panel.metric(MEMORY) if panel.has(MEMORY) else cpu
    hour = (panel.timestamps.astype("datetime64[h]").astype(np.int64) % 24).astype(np.float32)
    columns["hour"] = np.broadcast_to(hour, cpu.shape)
    service, step = np.nonzero(panel.present)
    specs = tuple(
        FeatureSpec(name, "tiny", "fraction", "24h", (CPU,), "workload_features")
        for name in columns
    )
    values = np.stack([column[service, step] for column in columns.values()])
    return FeatureTable(
        values=values.astype(np.float32),
        specs=specs,
        service=service.astype(np.int32),
        step=step.astype(np.int32),
    )


def event_task(panel: Panel, horizon: str = "3h", *, ceiling: float = CEILING) -> EventTask:
    """Return the event task on CPU: crossing the ceiling within the horizon."""
    size = pd.Timedelta(horizon)
    return EventTask(CPU, ceiling, size, count_steps(size, panel.step))


def forecast_task(
    panel: Panel,
    horizons: tuple[str, ...] = ("1h", "24h"),
    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9),
) -> ForecastTask:
    """Return the task of forecasting CPU at the horizons."""
    sizes = tuple(pd.Timedelta(horizon) for horizon in horizons)
    steps = tuple(count_steps(size, panel.step) for size in sizes)
    return ForecastTask(CPU, sizes, steps, quantiles)


def tiny_samples(
    task: Task,
    panel: Panel,
    table: FeatureTable | None = None,
    *,
    start: int = 0,
    stop: int | None = None,
) -> Dataset:
    """Return the labelled rows whose step lies in ``[start, stop)``.

    Events: rows below the ceiling now, label 1 when the metric reaches it within the horizon.
    Forecasts: rows with at least one observed future value; other labels are NaN.
    """
    table = tiny_table(panel) if table is None else table
    stop = panel.n_steps if stop is None else stop
    window = (table.step >= start) & (table.step < stop)
    if isinstance(task, EventTask):
        label = _event_label(panel, task)[table.service, table.step]
        window &= ~np.isnan(label)
    else:
        future = [panel.at(task.metric, table.service, table.step + h) for h in task.horizon_steps]
        label = np.stack(future, axis=1)
        window &= ~np.isnan(label).all(axis=1)
    rows = np.flatnonzero(window).astype(np.int64)
    return Dataset(panel, table, rows, label[rows].astype(np.float32))


@dataclass(frozen=True)
class Folds:
    """Train, validation and test rows in time order, with a gap of the horizon between."""

    train: Dataset
    valid: Dataset
    test: Dataset


def tiny_folds(task: Task, panel: Panel, table: FeatureTable | None = None) -> Folds:
    """Return 60/15/25 % of the time as folds, gaps of the longest horizon between them."""
    table = tiny_table(panel) if table is None else table
    gap = task.horizon_steps if isinstance(task, EventTask) else max(task.horizon_steps)
    a, b = int(0.6 * panel.n_steps), int(0.75 * panel.n_steps)
    return Folds(
        train=tiny_samples(task, panel, table, start=0, stop=a - gap),
        valid=tiny_samples(task, panel, table, start=a, stop=b - gap),
        test=tiny_samples(task, panel, table, start=b),
    )


def _event_label(panel: Panel, task: EventTask) -> FloatArray:
    """Return 1, 0 or NaN (not eligible) per service and step."""
    cpu = panel.metric(task.metric)
    ahead = np.stack([_shift(cpu, -k) for k in range(1, task.horizon_steps + 1)])
    seen = ~np.isnan(ahead)
    positive = (np.where(seen, ahead, -1.0) >= task.ceiling).any(axis=0)
    known = positive | (seen.mean(axis=0) >= 0.5)
    eligible = (cpu < task.ceiling) & known
    return np.where(eligible, positive, np.nan).astype(np.float32)


def _shift(values: FloatArray, lag: int) -> FloatArray:
    """Return the values ``lag`` steps earlier (later if negative), NaN off the clock."""
    out = np.full_like(values, np.nan)
    if lag == 0:
        out[:] = values
    elif lag > 0:
        out[:, lag:] = values[:, :-lag]
    else:
        out[:, :lag] = values[:, -lag:]
    return out


def _autoregressive(noise: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
    out = noise.copy()
    for step in range(1, noise.shape[1]):
        out[:, step] += weight * out[:, step - 1]
    return out


def _surges(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return surges that climb for six steps, then end."""
    starts = rng.random(shape) < 0.03
    out = np.zeros(shape)
    for age in range(1, 7):
        out[:, age:] = np.maximum(out[:, age:], starts[:, :-age] * 0.11 * age)
    return out


def metrics_panel(
    values: Mapping[str, object], *, step: str = "1h", clusters: object = None
) -> Panel:
    """Return a panel of given metrics, each ``(n_services, n_steps)``, all rows present.

    Parameters
    ----------
    values : mapping of str to array
        Values by metric name; a NaN is a gap.
    step : str
        Length of a step.
    clusters : array, optional
        Cluster index per service, or per service and step; all in cluster 0 if absent.
    """
    stacked = np.stack([np.atleast_2d(np.asarray(v, dtype=np.float32)) for v in values.values()])
    base = panel_of(stacked[0], step=step)
    codes = np.zeros(base.clusters.shape, dtype=np.int32)
    if clusters is not None:
        given = np.asarray(clusters, dtype=np.int32)
        codes[:] = given if given.ndim == 2 else given[:, None]
    names = tuple(f"cluster-{i}" for i in range(int(codes.max()) + 1))
    return replace(base, values=stacked, metrics=tuple(values), clusters=codes, cluster_names=names)


def feature_grid(panel: Panel, *groups: FeatureGroup) -> dict[str, FloatArray]:
    """Return every feature as an array ``(n_services, n_steps)``, NaN where no row is."""
    table = compute_features(panel, groups)
    found = {}
    for index, name in enumerate(table.names):
        found[name] = np.full(panel.present.shape, np.nan, dtype=np.float32)
        found[name][table.service, table.step] = table.values[index]
    return found
