"""The features in Polars, float32: one lazy query with one grouping by service.

Everything that runs along a service's time is one aggregation, exploded once; what compares
metrics of one row follows as plain expressions; calendar and cluster aggregates are computed on
their small tables and joined. Polars shares common subexpressions of the query by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import holidays
import numpy as np
import pandas as pd
import polars as pl
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
from optimizer.features.windows import least_count

NET_IN, NET_OUT = "network_in_mbps", "network_out_mbps"
DISK_READ, DISK_WRITE = "disk_read_mbps", "disk_write_mbps"
KEYS = [CLUSTER, TIMESTAMP]
Expressions = dict[str, pl.Expr]


def prepare(panel: Panel, groups: Sequence[FeatureGroup]) -> tuple[Any, ...]:
    """Return what :func:`compute` takes: a long frame, float32, gaps as nulls."""
    service = np.repeat(np.arange(panel.n_services, dtype=np.uint32), panel.n_steps)
    columns: dict[str, Any] = {
        SERVICE: service,
        CLUSTER: panel.clusters.ravel(),
        TIMESTAMP: np.tile(panel.timestamps, panel.n_services),
    }
    columns |= {name: panel.metric(name).ravel() for name in panel.metrics}
    frame = pl.DataFrame(columns, nan_to_null=True)
    return frame, Layout(panel.metrics, panel.step), groups


def compute(frame: pl.DataFrame, layout: Layout, groups: Sequence[Any]) -> pl.DataFrame:
    """Return every feature of the groups, float32."""
    along: Expressions = {}
    across: Expressions = {}
    for group in groups:
        along |= ALONG.get(type(group), _nothing)(layout, group)
        across |= ACROSS.get(type(group), _nothing)(layout, group)
    raw = [pl.col(name) for name in (*KEYS, *layout.metrics)]
    query = (
        frame.lazy()
        .group_by(SERVICE, maintain_order=True)
        .agg(*raw, *(expression.alias(name) for name, expression in along.items()))
        .explode(pl.exclude(SERVICE))
    )
    wanted = [*along, *across]
    for group in groups:
        if isinstance(group, Workload):
            wanted += [name for name in layout.metrics if name not in LABELS]
        elif type(group) in SMALL:
            table = SMALL[type(group)](frame, layout, group)
            keys = [key for key in KEYS if key in table.columns]
            query = query.join(table.lazy(), on=keys, how="left", maintain_order="left")
            wanted += [column for column in table.columns if column not in KEYS]
    return query.with_columns(**across).select(pl.col(wanted).cast(pl.Float32)).collect()


def columns(result: pl.DataFrame) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield the name and values of every feature."""
    for name in result.columns:
        yield name, result[name].to_numpy()


def divide(numerator: pl.Expr, denominator: pl.Expr, floor: float = EPSILON) -> pl.Expr:
    """Return the ratio with the denominator held at the floor or above."""
    return numerator / denominator.clip(lower_bound=floor)


def _nothing(layout: Layout, group: FeatureGroup) -> Expressions:
    return {}


def _rolling(layout: Layout, group: Rolling) -> Expressions:
    return {
        f"{metric}_{kind}_{window}": getattr(pl.col(metric), f"rolling_{kind}")(
            layout.steps(window), min_samples=least_count(layout.steps(window))
        )
        for metric in layout.available(tuple(group.statistics))
        for window in group.windows
        for kind in group.statistics[metric]
    }


def _pressure(layout: Layout, group: Pressure) -> Expressions:
    found = {}
    value, clock = pl.col(group.metric), pl.int_range(pl.len(), dtype=pl.Int32)
    longest = max(layout.steps(window) for window in group.windows)
    for level in group.levels:
        tag = f"{group.metric}_above_{round(level * 100)}"
        above = value >= level
        for window in group.windows:
            steps = layout.steps(window)
            share = above.cast(pl.Float32).rolling_mean(steps, min_samples=least_count(steps))
            found[f"{tag}_share_{window}"] = share
        age = clock - pl.when(above).then(clock).forward_fill()
        found[f"{tag}_age"] = age.fill_null(longest).clip(upper_bound=longest) / longest
    return found


def _lags(layout: Layout, group: Lags) -> Expressions:
    wanted = {CPU: list(range(1, group.cpu_lags + 1)), **group.others}
    return {
        f"{metric}_lag_{k}": pl.col(metric).shift(k)
        for metric in layout.available(tuple(wanted))
        for k in wanted[metric]
    }


def _seasonal(layout: Layout, group: Seasonal) -> Expressions:
    found: Expressions = {}
    day, lead = layout.steps("24h"), layout.steps(group.lead)
    for metric in layout.available(group.metrics):
        lags = {k: k * day - lead for k in range(1, group.days + 1)}
        past = {k: pl.col(metric).shift(max(0, lag)) for k, lag in lags.items()}
        if metric == CPU:
            found |= {f"{metric}_{group.label}_{k}d": past[k] for k in past if lags[k] > 0}
        found[f"{metric}_{group.label}_mean_{group.days}d"] = pl.mean_horizontal(past.values())
        found[f"{metric}_{group.label}_max_{group.days}d"] = pl.max_horizontal(past.values())
    return found


def _trends(layout: Layout, group: Trends) -> Expressions:
    found = {}
    for metric in layout.available(tuple(group.differences)):
        value = pl.col(metric)
        found[f"{metric}_diff_1"] = value - value.shift(1)
        for duration in group.differences[metric]:
            if layout.steps(duration) > 1 or layout.span(1) != duration:
                found[f"{metric}_diff_{duration}"] = value - value.shift(layout.steps(duration))
    for metric in layout.available(tuple(group.halflives)):
        for halflife in group.halflives[metric]:
            steps = layout.steps(halflife)
            mean = pl.col(metric).ewm_mean(half_life=steps, ignore_nulls=False)
            mean = mean.forward_fill(limit=10 * steps - 1)
            found[f"{metric}_ewm_{halflife}"] = mean
            found[f"{metric}_minus_ewm_{halflife}"] = pl.col(metric) - mean
    return found


def _interactions(layout: Layout, group: Interactions) -> Expressions:
    cpu, found = pl.col(CPU), {}
    for window in (group.short, group.long):
        mean, std, low, high = (
            pl.col(f"{CPU}_{kind}_{window}") for kind in ("mean", "std", "min", "max")
        )
        found[f"cpu_zscore_{window}"] = divide(cpu - mean, std)
        found[f"cpu_range_position_{window}"] = divide(cpu - low, high - low)
        found[f"cpu_to_mean_{window}"] = divide(cpu, mean, 1e-2)
        found[f"cpu_variation_{window}"] = divide(std, mean, 1e-2)
    peak, std = pl.col(f"{CPU}_max_{group.short}"), pl.col(f"{CPU}_std_{group.short}")
    found["cpu_headroom"] = 1 - cpu
    found["cpu_squared"] = cpu * cpu
    found[f"cpu_below_peak_{group.short}"] = peak - cpu
    found[f"cpu_peak_headroom_{group.short}"] = 1 - peak
    found[f"cpu_headroom_in_std_{group.short}"] = divide(1 - cpu, std)
    return found | _pairs(layout)


def _pairs(layout: Layout) -> Expressions:
    """Return products and ratios of the metrics that the frame has."""
    recipes: dict[str, tuple[tuple[str, ...], Callable[..., pl.Expr]]] = {
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
        name: fit_config(*map(pl.col, source))
        for name, (source, fit_config) in recipes.items()
        if len(layout.available(source)) == len(source)
    }


def _calendar(frame: pl.DataFrame, layout: Layout, group: Calendar) -> pl.DataFrame:
    """Return the calendar features of the distinct timestamps."""
    times = frame.select(pl.col(TIMESTAMP).unique().sort())
    t = pl.col(TIMESTAMP).dt.replace_time_zone("UTC").dt.convert_time_zone(group.timezone)
    day, hour, weekday = t.dt.date(), t.dt.hour(), t.dt.weekday() - 1
    length = t.dt.month_end().dt.day()
    years = range(times[TIMESTAMP].min().year, times[TIMESTAMP].max().year + 2)  # type: ignore[union-attr]
    known = list(holidays.country_holidays(group.country, years=years))
    turns = {
        "hour": (hour + t.dt.minute() / 60) / 24,
        "day_of_week": (weekday + hour / 24) / 7,
        "day_of_month": (t.dt.day() - 1) / length,
        "day_of_year": (t.dt.ordinal_day() - 1) / 366,
    }
    found = {}
    for name, turn in turns.items():
        found[f"{name}_sin"] = (2 * np.pi * turn).sin()
        found[f"{name}_cos"] = (2 * np.pi * turn).cos()
    found["is_weekend"] = weekday >= 5
    found["is_working_hour"] = (weekday < 5) & (hour >= 8) & (hour < 18)
    found["is_night"] = (hour < 6) | (hour >= 22)
    found["is_month_start"] = t.dt.day() <= 3
    found["is_month_end"] = t.dt.day() > length - 3
    found["is_holiday"] = day.is_in(known)
    found["is_day_before_holiday"] = (day + pd.Timedelta("1d").to_pytimedelta()).is_in(known)
    return times.with_columns(
        **{name: expression.cast(pl.Float32) for name, expression in found.items()}
    )


def _cluster(frame: pl.DataFrame, layout: Layout, group: Cluster) -> pl.DataFrame:
    """Return the aggregates per cluster and timestamp."""
    cells: Expressions = {"cluster_size": pl.col(CPU).count()}
    for metric in layout.available(group.metrics):
        value, name = pl.col(metric), f"cluster_{metric}"
        cells[f"{name}_mean"] = value.mean()
        cells[f"{name}_max"] = value.max()
        cells[f"{name}_std"] = value.std(ddof=0)
        cells[f"{name}_above_80"] = (value >= 0.8).mean()
    mean = pl.col(f"cluster_{CPU}_mean")
    along = {
        f"cluster_{CPU}_mean_diff_{lag}": mean - mean.shift(layout.steps(lag)) for lag in group.lags
    }
    for window in group.windows:
        steps = layout.steps(window)
        rolled = mean.rolling_mean(steps, min_samples=least_count(steps))
        along[f"cluster_{CPU}_mean_{window}"] = rolled
    return (
        frame.lazy()
        .group_by(KEYS)
        .agg(**cells)
        .sort(KEYS)
        .with_columns(**{name: column.over(CLUSTER) for name, column in along.items()})
        .with_columns(pl.exclude(KEYS).cast(pl.Float32))
        .collect()
    )


def _in_cluster(layout: Layout, group: Cluster) -> Expressions:
    """Return the service's place in its cluster."""
    total = pl.col(f"cluster_{CPU}_mean") * pl.col("cluster_size")
    found = {f"cluster_{CPU}_share": divide(pl.col(CPU), total)}
    for metric in layout.available(group.metrics):
        found[f"cluster_{metric}_distance"] = pl.col(metric) - pl.col(f"cluster_{metric}_mean")
    return found


ALONG: dict[type, Callable[[Layout, Any], Expressions]] = {
    Rolling: _rolling,
    Pressure: _pressure,
    Lags: _lags,
    Seasonal: _seasonal,
    Trends: _trends,
}
"""What runs along a service's time."""
ACROSS: dict[type, Callable[[Layout, Any], Expressions]] = {
    Interactions: _interactions,
    Cluster: _in_cluster,
}
"""What compares the columns of one row."""
SMALL: dict[type, Callable[[pl.DataFrame, Layout, Any], pl.DataFrame]] = {
    Calendar: _calendar,
    Cluster: _cluster,
}
"""What is computed on a small table and joined."""
