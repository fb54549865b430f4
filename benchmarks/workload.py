"""The input of the benchmark: a fleet's telemetry as a panel and as the same long frame."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.signal import lfilter

from optimizer.core.panel import Panel
from optimizer.core.schema import CLUSTER, CPU, MEMORY, SERVICE, TIMESTAMP

STEPS = 2160
"""Ninety days of hours."""
N_CLUSTERS = 5
GAPS = 0.01
START = np.datetime64("2024-01-01T01:00:00", "us")
TRAFFIC = {
    "network_in_mbps": 120.0,
    "network_out_mbps": 200.0,
    "disk_read_mbps": 30.0,
    "disk_write_mbps": 50.0,
    "request_rate": 400.0,
    "cost_usd": 2.0,
}
"""Metrics that follow the load, and their size at full load."""


def make_panel(services: int, *, seed: int = 7, gaps: float = GAPS) -> Panel:
    """Return 90 days of hourly telemetry with 12 metrics, every row present.

    Parameters
    ----------
    services : int
        Number of services; with 2160 hours each, 200 services are 432,000 rows.
    seed : int
        Seeds every draw.
    gaps : float
        Share of the cells of each metric that are NaN, drawn cell by cell.
    """
    rng = np.random.default_rng(seed)
    shape = (services, STEPS)
    cpu = _load(rng, shape)
    noise = rng.normal(1.0, 0.05, shape)
    cores = np.broadcast_to(rng.choice([2.0, 4.0, 8.0, 16.0], (services, 1)), shape)
    metrics = {CPU: cpu, MEMORY: np.clip(0.25 + 0.5 * cpu * noise, 0.0, 1.0)}
    metrics |= {name: size * cpu * rng.normal(1.0, 0.1, shape) for name, size in TRAFFIC.items()}
    metrics["latency_ms"] = 20.0 / (1.05 - np.clip(cpu, 0.0, 1.0)) * noise
    metrics["error_rate"] = np.clip(rng.normal(0.002, 0.001, shape) + 0.05 * (cpu > 0.9), 0, 1)
    metrics["cpu_capacity_cores"] = cores
    metrics["memory_capacity_gib"] = 4.0 * cores
    values = np.stack([column.astype(np.float32) for column in metrics.values()])
    for column in values:
        column[rng.random(shape, dtype=np.float32) < gaps] = np.nan
    clusters = np.arange(services, dtype=np.int32) % N_CLUSTERS
    return Panel(
        values=values,
        metrics=tuple(metrics),
        services=tuple(f"service-{i:04d}" for i in range(services)),
        clusters=np.repeat(clusters[:, None], STEPS, axis=1),
        cluster_names=tuple(f"cluster-{i}" for i in range(N_CLUSTERS)),
        timestamps=START + np.arange(STEPS) * np.timedelta64(3_600_000_000, "us"),
        step=pd.Timedelta("1h"),
        present=np.ones(shape, dtype=bool),
    )


def _load(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return CPU as a fraction: daily and weekly rhythm, autocorrelated noise and bursts."""
    hours = np.arange(shape[1])
    level = rng.uniform(0.1, 0.5, (shape[0], 1))
    daily = np.sin(2 * np.pi * hours / 24 + rng.uniform(0, 2 * np.pi, (shape[0], 1)))
    weekly = np.where(hours % 168 < 120, 1.0, 0.7)
    noise = lfilter([1.0], [1.0, -0.8], rng.normal(0, 0.04, shape), axis=1)
    bursts = 0.5 * (rng.random(shape) < 0.01)
    load: NDArray[np.float64] = level * weekly * (1 + 0.4 * daily) + noise + bursts
    return np.clip(load, 0.0, 1.5)


def fill_gaps(panel: Panel) -> Panel:
    """Return the panel with every gap filled by the value before it, else the next one.

    For the engine that takes no NaN; the comparison gives all engines the same filled input.
    """
    values = np.stack(
        [pd.DataFrame(metric.T).ffill().bfill().to_numpy(np.float32).T for metric in panel.values]
    )
    return Panel(**{**vars(panel), "values": np.ascontiguousarray(values)})


def to_frame(panel: Panel) -> pd.DataFrame:
    """Return the panel's whole grid as a long frame, sorted by service, then time.

    Ids are categories, metrics float64: what a careful user of pandas would start from. Rows
    that are not ``present`` are there too, as NaN: row windows need a regular clock.
    """
    rows = panel.n_services * panel.n_steps
    service = np.repeat(np.arange(panel.n_services), panel.n_steps)
    columns = {
        SERVICE: pd.Categorical.from_codes(service, list(panel.services)),
        CLUSTER: pd.Categorical.from_codes(panel.clusters.ravel(), list(panel.cluster_names)),
        TIMESTAMP: pd.DatetimeIndex(np.tile(panel.timestamps, panel.n_services), tz="UTC"),
    }
    columns |= {name: panel.metric(name).ravel().astype(np.float64) for name in panel.metrics}
    return pd.DataFrame(columns, index=pd.RangeIndex(rows), copy=False)
