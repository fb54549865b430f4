"""A generated fleet, so that everything runs, and can be tested, without data of one's own."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import parse_duration
from optimizer.core.errors import ConfigError
from optimizer.core.schema import (
    ANOMALY,
    CLUSTER,
    CPU,
    LABELS,
    MEMORY,
    METRICS,
    SCALE_EVENT,
    SERVICE,
    TIMESTAMP,
    check_frame,
)
from optimizer.sources.base import WholeSource
from optimizer.sources.clock import parse_instant
from optimizer.sources.frames import categorical
from optimizer.sources.synthetic.autoscaler import Autoscaler
from optimizer.sources.synthetic.fleet import (
    Anomalies,
    Fleet,
    draw_anomalies,
    draw_demand,
    draw_fleet,
    leaking_memory,
    queueing_latency,
)
from optimizer.sources.synthetic.profiles import ARCHETYPES, Demand, Hours, Rng

USD_PER_CORE_HOUR = 0.045
GIB_PER_CORE = 4.0
NEVER_NAN = (*LABELS, "cpu_capacity_cores", "memory_capacity_gib", "cost_usd")
TUNING_HOURS, TUNING_SERVICES = 60 * 24, 96
"""How much of the fleet the autoscaler is tuned on."""


@dataclass(frozen=True)
class SyntheticTelemetry(WholeSource):
    """A seeded fleet of web, batch, spiky, steady, idle and growing services.

    Parameters
    ----------
    n_services, n_clusters : int
        Sizes of the fleet; at least 2 services, at most as many clusters as services.
    days : float
        Length of the history.
    freq : str
        Length of a step, at most one day.
    start : str
        First instant, UTC.
    seed : int
        Seeds every draw.
    event_rate : float
        Scale-ups per service-hour in (0, 0.2]; at ``freq="1h"`` the share of rows. The
        autoscaler's constants are chosen to come near it; hourly fleets reach 0.001 to 0.065,
        steps of 6 hours and more fewer. What is out of reach is logged.
    anomaly_rate, absent_rate, nan_rate : float
        Shares in [0, 0.3]: rows inside an injected anomaly, rows that are absent, measured
        cells that are NaN.
    name : str
        Name of the data; empty or null means ``synthetic``.

    Notes
    -----
    ``scale_event`` is 1 where the simulated autoscaler ordered MORE capacity during the
    interval; it also scales down, which is no event. Utilisation is demand over the capacity
    in force, so it falls after an event. No measured value at t is computed from a decision,
    capacity or demand after t; constants alone (the autoscaler's target and patience, tuned on
    the first 60 days, and the growth over the span) depend on the whole draw.

    How learnable it is meant to be: the label "a scale-up within the next hour" is foretold by
    nearness to the threshold, daily and batch rhythm, growth, ramps and, with a lag, by the
    rest of the cluster, and blurred by noise, late or skipped batches and surges that nothing
    foretells. Among the rows under the ceiling a gradient-boosted model on lags, rolling
    statistics and calendar is meant to reach an average precision of 0.4 to 0.7 at 2.5 %
    prevalence, a logistic regression on eight features clearly less (about 0.4), the last
    hour's maximum least (about 0.2). Nine events in ten are those of web and batch services.
    """

    n_services: int = 48
    n_clusters: int = 5
    days: float = 90
    freq: str = "1h"
    start: str = "2025-01-01"
    seed: int = 7
    event_rate: float = 0.03
    anomaly_rate: float = 0.015
    absent_rate: float = 0.007
    nan_rate: float = 0.006
    name: str = "synthetic"

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or "synthetic")
        _require("n_services", self.n_services, "at least 2", self.n_services >= 2)
        _require(
            "n_clusters",
            self.n_clusters,
            f"1 to n_services={self.n_services}",
            1 <= self.n_clusters <= self.n_services,
        )
        _require("event_rate", self.event_rate, "above 0, at most 0.2", 0 < self.event_rate <= 0.2)
        for key in ("anomaly_rate", "absent_rate", "nan_rate"):
            _require(key, getattr(self, key), "0 to 0.3", 0 <= getattr(self, key) <= 0.3)
        step = parse_duration(self.freq, "data.freq")
        _require("freq", self.freq, "at most 1d", step <= pd.Timedelta("1d"))
        _require("days", self.days, "at least two steps", pd.Timedelta(days=self.days) >= 2 * step)
        parse_instant(self.start, "data.start")

    def snapshot_id(self) -> str:
        """Return the arguments as JSON: they determine every row."""
        return json.dumps({"source": "synthetic"} | asdict(self), sort_keys=True)

    def _read(self) -> pd.DataFrame:
        """Return the canonical long frame: ``n_services x days / freq`` rows less the absent."""
        draws = [np.random.default_rng(s) for s in np.random.SeedSequence(self.seed).spawn(4)]
        start = parse_instant(self.start, "data.start")
        step = parse_duration(self.freq, "data.freq")
        hour = step / pd.Timedelta("1h")
        n_steps = int(pd.Timedelta(days=self.days) / step)
        monday = start.normalize() - pd.Timedelta(days=start.dayofweek)
        hours = np.float64((start - monday) / pd.Timedelta("1h")) + hour * np.arange(n_steps)
        fleet = draw_fleet(self.n_services, self.n_clusters, draws[0])
        demand, deploys = draw_demand(fleet, hours, draws[1])
        anomalies = draw_anomalies(demand.shape, hour, self.anomaly_rate, draws[2])
        values = self._measure(fleet, demand, deploys, anomalies, hours, draws[3])
        ends = start.tz_localize(None).to_datetime64() + step.to_timedelta64() * (
            np.arange(n_steps) + 1
        )
        return check_frame(self._frame(fleet, values, ends, draws[3]), self.name)

    def _measure(
        self,
        fleet: Fleet,
        demand: Demand,
        deploys: NDArray[np.bool_],
        anomalies: Anomalies,
        hours: Hours,
        rng: Rng,
    ) -> dict[str, Demand]:
        """Let the autoscaler react to the demand and derive every metric from both."""
        shape, step = demand.shape, float(hours[1] - hours[0])
        demand = demand * np.where(anomalies.surge, rng.uniform(1.4, 2.4, (shape[0], 1)), 1.0)
        demand = demand * np.where(anomalies.silence, 0.05, 1.0)
        seen = demand * np.exp(0.02 * rng.standard_normal(shape))
        some, early = slice(None, TUNING_SERVICES), slice(None, int(TUNING_HOURS / step))
        order = rng.permutation(len(fleet))[some]
        scaler = Autoscaler().tuned(seen[order, early], fleet.unit[order], step, self.event_rate)
        replicas, scaled_up = scaler.run(seen, fleet.unit, step)
        capacity = replicas * fleet.unit[:, None]
        cpu = demand / capacity
        values: dict[str, Demand] = {
            CPU: cpu * np.exp(0.01 * rng.standard_normal(shape)),
            MEMORY: leaking_memory(cpu, deploys, step, rng),
        }
        values |= _traffic(demand, rng)
        values |= _service_level(cpu, anomalies.stall, rng)
        values["cost_usd"] = capacity * USD_PER_CORE_HOUR * step
        values["cpu_capacity_cores"] = capacity
        values["memory_capacity_gib"] = capacity * GIB_PER_CORE
        values[SCALE_EVENT] = scaled_up.astype(np.float64)
        values[ANOMALY] = anomalies.any.astype(np.float64)
        return values

    def _frame(
        self, fleet: Fleet, values: dict[str, Demand], ends: NDArray[np.datetime64], rng: Rng
    ) -> pd.DataFrame:
        """Return the long frame without its absent rows and cells."""
        n, n_steps = len(fleet), len(ends)
        kept = np.flatnonzero(rng.random(n * n_steps) >= self.absent_rate)
        width = len(str(n - 1))
        names = [f"{ARCHETYPES[k].name}-{i:0{width}d}" for i, k in enumerate(fleet.kind)]
        order = np.argsort(names)
        service, when = order[kept // n_steps], kept % n_steps
        columns: dict[str, object] = {
            SERVICE: categorical(kept // n_steps, [names[i] for i in order]),
            CLUSTER: categorical(
                fleet.cluster[service], [f"cluster-{i}" for i in range(self.n_clusters)]
            ),
            TIMESTAMP: pd.DatetimeIndex(ends.astype("datetime64[us]")[when]).tz_localize("UTC"),
        }
        for metric in METRICS:
            cells = values[metric].astype(np.float32)[service, when]
            if metric not in NEVER_NAN:
                cells[rng.random(len(cells)) < self.nan_rate] = np.nan
            columns[metric] = cells
        return pd.DataFrame(columns)


def _traffic(demand: Demand, rng: Rng) -> dict[str, Demand]:
    """Return requests, network and disk: each service's own multiple of its demand."""
    n = demand.shape[0]

    def tied(low: float, high: float, to: Demand, blur: float) -> Demand:
        noise = np.exp(blur * rng.standard_normal(demand.shape))
        return np.asarray(rng.uniform(low, high, (n, 1)) * to * noise)

    requests = tied(20.0, 120.0, demand, 0.03)
    return {
        "request_rate": requests,
        "network_in_mbps": tied(0.01, 0.05, requests, 0.05),
        "network_out_mbps": tied(0.05, 0.3, requests, 0.05),
        "disk_read_mbps": tied(0.2, 4.0, demand, 0.15),
        "disk_write_mbps": tied(0.2, 2.0, demand, 0.15),
    }


def _service_level(cpu: Demand, stall: NDArray[np.bool_], rng: Rng) -> dict[str, Demand]:
    """Return latency and errors: convex in utilisation, worse in a stall."""
    base_ms = rng.uniform(8.0, 90.0, (cpu.shape[0], 1))
    latency = queueing_latency(cpu, base_ms) * np.exp(0.05 * rng.standard_normal(cpu.shape))
    errors = 0.001 * rng.lognormal(0.0, 0.5, cpu.shape) + 0.1 * np.maximum(cpu - 0.85, 0.0)
    return {
        "latency_ms": latency * np.where(stall, 3.0, 1.0),
        "error_rate": np.clip(errors * np.where(stall, 20.0, 1.0), 0.0, 1.0),
    }


def _require(key: str, seen: object, allowed: str, holds: bool) -> None:
    if not holds:
        raise ConfigError(f"data.{key}", seen=seen, allowed=allowed, fix=f"change data.{key}")
