"""The features in pandas, float64: groupby-rolling, groupby-shift and groupby-ewm.

Written as a careful user of pandas would: one grouping, all columns of a window in one call,
intermediate results shared. It is both the yardstick of the benchmark and the oracle of the
tests, so it follows the feature definitions, not the code of the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import holidays
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.panel import Panel
from optimizer.core.schema import CLUSTER, CPU, LABELS, MEMORY, SERVICE, TIMESTAMP
from optimizer.features.base import EPSILON, FeatureGroup, Layout
from optimizer.features.groups.calendar import Calendar
from optimizer.features.groups.cluster import Cluster
from optimizer.features.groups.interactions import Interactions
from optimizer.features.groups.lags import Lags
from optimizer.features.groups.pressure import Pressure
from optimizer.features.groups.rolling import Rolling
from optimizer.features.groups.seasonal import Seasonal
from optimizer.features.groups.trends import Trends
from optimizer.features.groups.workload import Workload
from workload import to_frame

Columns = dict[str, Any]
NET_IN, NET_OUT = "network_in_mbps", "network_out_mbps"
DISK_READ, DISK_WRITE = "disk_read_mbps", "disk_write_mbps"


class Fleet:
    """The long frame, grouped once, with the results that several features need.

    Parameters
    ----------
    frame : pandas.DataFrame
        Long, sorted by service, then time, every service on the whole clock.
    layout : Layout
        Metrics and step.
    """

    def __init__(self, frame: pd.DataFrame, layout: Layout) -> None:
        self.frame = frame
        self.layout = layout
        self.by_service = frame.groupby(SERVICE, sort=False, observed=True)
        self.lag = cache(self._lag)
        self.rolling: Columns = {}

    def _lag(self, metric: str, steps: int) -> pd.Series:
        return self.frame[metric] if steps == 0 else self.by_service[metric].shift(steps)


def least_count(steps: int) -> int:
    """Return how many values a window needs: a quarter of it, at least two."""
    return min(steps, max(2, -(-steps // 4)))


def divide(numerator: pd.Series, denominator: pd.Series, floor: float = EPSILON) -> pd.Series:
    """Return the ratio with the denominator held at the floor or above."""
    return numerator / denominator.clip(lower=floor)


def prepare(panel: Panel, groups: Sequence[FeatureGroup]) -> tuple[Any, ...]:
    """Return what :func:`compute` takes: the long frame."""
    return to_frame(panel), Layout(panel.metrics, panel.step), groups


def compute(frame: pd.DataFrame, layout: Layout, groups: Sequence[FeatureGroup]) -> pd.DataFrame:
    """Return every feature of the groups, float64, one row per row of the frame."""
    fleet = Fleet(frame, layout)
    columns: Columns = {}
    for group in groups:
        columns |= RECIPES[type(group)](fleet, group)
    return pd.DataFrame(columns, copy=False)


def columns(result: pd.DataFrame) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield the name and values of every feature."""
    for name in result.columns:
        yield name, result[name].to_numpy(np.float64)


def _workload(fleet: Fleet, group: Workload) -> Columns:
    return {name: fleet.frame[name] for name in fleet.layout.metrics if name not in LABELS}


def _calendar(fleet: Fleet, group: Calendar) -> Columns:
    """Compute on the distinct timestamps and take each row's."""
    codes, times = pd.factorize(fleet.frame[TIMESTAMP])
    t = pd.DatetimeIndex(times).tz_convert(group.timezone)
    days = t.normalize().tz_localize(None)
    years = range(days.year.min(), days.year.max() + 2)
    known = pd.DatetimeIndex(list(holidays.country_holidays(group.country, years=years)))
    turns = {
        "hour": (t.hour + t.minute / 60) / 24,
        "day_of_week": (t.dayofweek + t.hour / 24) / 7,
        "day_of_month": (t.day - 1) / t.days_in_month,
        "day_of_year": (t.dayofyear - 1) / 366,
    }
    table = {}
    for name, turn in turns.items():
        table[f"{name}_sin"] = np.sin(2 * np.pi * turn)
        table[f"{name}_cos"] = np.cos(2 * np.pi * turn)
    table["is_weekend"] = t.dayofweek >= 5
    table["is_working_hour"] = (t.dayofweek < 5) & (t.hour >= 8) & (t.hour < 18)
    table["is_night"] = (t.hour < 6) | (t.hour >= 22)
    table["is_month_start"] = t.day <= 3
    table["is_month_end"] = t.day > t.days_in_month - 3
    table["is_holiday"] = days.isin(known)
    table["is_day_before_holiday"] = (days + pd.Timedelta("1d")).isin(known)
    return {name: np.asarray(column, dtype=np.float64)[codes] for name, column in table.items()}


def _rolling(fleet: Fleet, group: Rolling) -> Columns:
    """Roll all columns that want a statistic in one call per window and statistic."""
    for window in group.windows:
        steps = fleet.layout.steps(window)
        for kind in ("mean", "std", "min", "max", "median"):
            wanted = [m for m, kinds in group.statistics.items() if kind in kinds]
            metrics = fleet.layout.available(wanted)
            if not metrics:
                continue
            moving = fleet.by_service[metrics].rolling(steps, min_periods=least_count(steps))
            result = getattr(moving, kind)().droplevel(0)
            for metric in metrics:
                fleet.rolling[f"{metric}_{kind}_{window}"] = result[metric]
    return dict(fleet.rolling)


def _pressure(fleet: Fleet, group: Pressure) -> Columns:
    if group.metric not in fleet.layout.metrics:
        return {}
    values = fleet.frame[group.metric]
    tags = {level: f"{group.metric}_above_{round(level * 100)}" for level in group.levels}
    above = pd.DataFrame(
        {tag: (values >= level).where(values.notna()).astype(float) for level, tag in tags.items()}
    )
    by_service = above.groupby(fleet.frame[SERVICE], sort=False, observed=True)
    found = {}
    for window in group.windows:
        steps = fleet.layout.steps(window)
        share = by_service.rolling(steps, min_periods=least_count(steps)).mean().droplevel(0)
        for tag in tags.values():
            found[f"{tag}_share_{window}"] = share[tag]
    longest = max(fleet.layout.steps(window) for window in group.windows)
    clock = fleet.by_service.cumcount().astype(float)
    reached = pd.DataFrame({tag: clock.where(above[tag] == 1) for tag in tags.values()})
    last = reached.groupby(fleet.frame[SERVICE], sort=False, observed=True).ffill()
    for tag in tags.values():
        age = (clock - last[tag]).fillna(longest)
        found[f"{tag}_age"] = age.clip(upper=longest) / longest
    return found


def _lags(fleet: Fleet, group: Lags) -> Columns:
    wanted = {CPU: list(range(1, group.cpu_lags + 1)), **group.others}
    return {
        f"{metric}_lag_{k}": fleet.lag(metric, k)
        for metric in fleet.layout.available(tuple(wanted))
        for k in wanted[metric]
    }


def _seasonal(fleet: Fleet, group: Seasonal) -> Columns:
    found: Columns = {}
    day, lead = fleet.layout.steps("24h"), fleet.layout.steps(group.lead)
    for metric in fleet.layout.available(group.metrics):
        past = {
            f"{metric}_{group.label}_{k}d": fleet.lag(metric, max(0, k * day - lead))
            for k in range(1, group.days + 1)
        }
        if metric == CPU:
            found |= {name: past[name] for k, name in enumerate(past, 1) if k * day > lead}
        table = pd.DataFrame(past)
        found[f"{metric}_{group.label}_mean_{group.days}d"] = table.mean(axis=1)
        found[f"{metric}_{group.label}_max_{group.days}d"] = table.max(axis=1)
    return found


def _trends(fleet: Fleet, group: Trends) -> Columns:
    found, layout = {}, fleet.layout
    for metric in layout.available(tuple(group.differences)):
        values = fleet.frame[metric]
        found[f"{metric}_diff_1"] = values - fleet.lag(metric, 1)
        for duration in group.differences[metric]:
            if layout.steps(duration) > 1 or layout.span(1) != duration:
                lagged = fleet.lag(metric, layout.steps(duration))
                found[f"{metric}_diff_{duration}"] = values - lagged
    for metric in layout.available(tuple(group.halflives)):
        values, by_service = fleet.frame[metric], fleet.by_service[metric]
        for halflife in group.halflives[metric]:
            steps = layout.steps(halflife)
            known = by_service.ffill(limit=10 * steps - 1).notna()  # else forgotten
            mean = by_service.ewm(halflife=steps).mean().droplevel(0).where(known)
            found[f"{metric}_ewm_{halflife}"] = mean
            found[f"{metric}_minus_ewm_{halflife}"] = values - mean
    return found


def _interactions(fleet: Fleet, group: Interactions) -> Columns:
    frame, roll = fleet.frame, fleet.rolling
    cpu, found = frame[CPU], {}
    for window in (group.short, group.long):
        mean, std, low, high = (
            roll[f"{CPU}_{kind}_{window}"] for kind in ("mean", "std", "min", "max")
        )
        found[f"cpu_zscore_{window}"] = divide(cpu - mean, std)
        found[f"cpu_range_position_{window}"] = divide(cpu - low, high - low)
        found[f"cpu_to_mean_{window}"] = divide(cpu, mean, 1e-2)
        found[f"cpu_variation_{window}"] = divide(std, mean, 1e-2)
    peak, std = roll[f"{CPU}_max_{group.short}"], roll[f"{CPU}_std_{group.short}"]
    found["cpu_headroom"] = 1 - cpu
    found["cpu_squared"] = cpu**2
    found[f"cpu_below_peak_{group.short}"] = peak - cpu
    found[f"cpu_peak_headroom_{group.short}"] = 1 - peak
    found[f"cpu_headroom_in_std_{group.short}"] = divide(1 - cpu, std)
    return found | _pairs(frame)


def _pairs(frame: pd.DataFrame) -> Columns:
    """Return products and ratios of the metrics that the frame has."""
    recipes: dict[str, tuple[tuple[str, ...], Callable[..., pd.Series]]] = {
        "cpu_times_memory": ((CPU, MEMORY), lambda a, b: a * b),
        "cpu_to_memory": ((CPU, MEMORY), lambda a, b: divide(a, b, 1e-2)),
        "memory_headroom": ((MEMORY,), lambda a: 1 - a),
        "network_total_mbps": ((NET_IN, NET_OUT), lambda a, b: a + b),
        "network_in_to_out": ((NET_IN, NET_OUT), divide),
        "disk_read_to_write": ((DISK_READ, DISK_WRITE), divide),
        "cpu_times_latency": ((CPU, "latency_ms"), lambda a, b: a * b),
        "requests_per_core": (
            ("request_rate", "cpu_capacity_cores"),
            lambda a, b: divide(a, b, 1e-2),
        ),
        "cpu_per_request": ((CPU, "request_rate"), lambda a, b: divide(a, b, 1.0)),
        "cpu_cores_used": ((CPU, "cpu_capacity_cores"), lambda a, b: a * b),
    }
    return {
        name: fit_config(*(frame[metric] for metric in source))
        for name, (source, fit_config) in recipes.items()
        if all(metric in frame.columns for metric in source)
    }


def _cluster(fleet: Fleet, group: Cluster) -> Columns:
    """Aggregate per cluster and time, then take each row's aggregate by position."""
    metrics, found = fleet.layout.available(group.metrics), {}
    frame = fleet.frame[[TIMESTAMP, CLUSTER, *metrics]]
    busy = {f"busy_{m}": (frame[m] >= 0.8).where(frame[m].notna()).astype(float) for m in metrics}
    cell = frame.assign(**busy).groupby([TIMESTAMP, CLUSTER], sort=True, observed=True)
    row = cell.ngroup().fillna(-1).to_numpy(np.int64)
    for metric in metrics:
        values = frame[metric]
        table = cell[metric].agg(["mean", "max", "count"])
        table["std"] = cell[metric].std(ddof=0)
        table["above_80"] = cell[f"busy_{metric}"].mean()
        for kind in ("mean", "max", "std", "above_80"):
            found[f"cluster_{metric}_{kind}"] = _take(table[kind], row)
        found[f"cluster_{metric}_distance"] = values - found[f"cluster_{metric}_mean"]
        if metric == CPU:
            found |= _cluster_cpu(fleet, group, table, row)
    return found


def _cluster_cpu(fleet: Fleet, group: Cluster, table: pd.DataFrame, row: NDArray[Any]) -> Columns:
    """Return the features of the cluster's mean CPU over time."""
    found = {"cluster_size": _take(table["count"].astype(float), row)}
    total = _take(table["mean"] * table["count"], row)
    found[f"cluster_{CPU}_share"] = divide(fleet.frame[CPU], total)
    wide = table["mean"].unstack(CLUSTER)
    for lag in group.lags:
        moved = wide - wide.shift(fleet.layout.steps(lag))
        found[f"cluster_{CPU}_mean_diff_{lag}"] = _take(_long(moved, table), row)
    for window in group.windows:
        steps = fleet.layout.steps(window)
        mean = wide.rolling(steps, min_periods=least_count(steps)).mean()
        found[f"cluster_{CPU}_mean_{window}"] = _take(_long(mean, table), row)
    return found


def _long(wide: pd.DataFrame, table: pd.DataFrame) -> pd.Series:
    return wide.stack(future_stack=True).reindex(table.index)


def _take(aggregate: pd.Series, row: NDArray[Any]) -> pd.Series:
    """Return each row's aggregate; NaN for rows before a service's first one (-1)."""
    taken = aggregate.to_numpy()[row]
    return pd.Series(np.where(row >= 0, taken, np.nan))


RECIPES: dict[type, Callable[[Fleet, Any], Columns]] = {
    Workload: _workload,
    Calendar: _calendar,
    Rolling: _rolling,
    Pressure: _pressure,
    Lags: _lags,
    Seasonal: _seasonal,
    Trends: _trends,
    Interactions: _interactions,
    Cluster: _cluster,
}
