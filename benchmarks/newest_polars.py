"""The newest step in Polars: one grouping by service, every feature an aggregation of its tail.

From a frame with the history that the windows need, not the whole batch: a lag is one element, a
window statistic an aggregation of the last rows. What compares the columns of one row, the
calendar and the cluster aggregates are those of the batch engine on what little they need.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from optimizer.core.panel import Panel
from optimizer.core.schema import CPU, LABELS, TIMESTAMP
from optimizer.features.base import FeatureGroup, Layout
from optimizer.features.groups.calendar import Calendar
from optimizer.features.groups.cluster import Cluster
from optimizer.features.groups.lags import Lags
from optimizer.features.groups.pressure import Pressure
from optimizer.features.groups.rolling import Rolling
from optimizer.features.groups.seasonal import Seasonal
from optimizer.features.groups.trends import Trends
from optimizer.features.groups.workload import Workload
from optimizer.features.windows import least_count
from polars_engine import ACROSS, KEYS, SERVICE, SMALL, Expressions, prepare


def prepare_tail(panel: Panel, groups: Sequence[FeatureGroup], steps: int) -> tuple[Any, ...]:
    """Return what :func:`compute` takes: the last steps of every service as a long frame."""
    frame, layout, groups = prepare(panel, groups)
    return frame.filter(pl.col(TIMESTAMP) >= panel.timestamps[-steps]), layout, groups


def compute(frame: pl.DataFrame, layout: Layout, groups: Sequence[Any]) -> pl.DataFrame:
    """Return every feature of the groups for the last step, one row per service."""
    along: Expressions = {}
    across: Expressions = {}
    for group in groups:
        along |= TAILS.get(type(group), lambda *_: {})(layout, group)
        across |= ACROSS.get(type(group), lambda *_: {})(layout, group)
    raw = [pl.col(name).last() for name in (*KEYS, *layout.metrics)]
    query = (
        frame.lazy()
        .group_by(SERVICE, maintain_order=True)
        .agg(*raw, *(expression.alias(name) for name, expression in along.items()))
    )
    wanted = [*along, *across]
    clock = frame[TIMESTAMP].unique().sort()
    for group in groups:
        if isinstance(group, Workload):
            wanted += [name for name in layout.metrics if name not in LABELS]
        elif type(group) in SMALL:
            recent = frame.filter(pl.col(TIMESTAMP) >= clock[-_reach(layout, group)])
            table = SMALL[type(group)](recent, layout, group)
            keys = [key for key in KEYS if key in table.columns]
            query = query.join(table.lazy(), on=keys, how="left", maintain_order="left")
            wanted += [column for column in table.columns if column not in KEYS]
    return query.with_columns(**across).select(pl.col(wanted).cast(pl.Float32)).collect()


def _reach(layout: Layout, group: Calendar | Cluster) -> int:
    """Return how many steps the small table of a group needs."""
    if isinstance(group, Calendar):
        return 1
    return max(layout.steps(duration) for duration in (*group.lags, *group.windows)) + 1


def _rolling(layout: Layout, group: Rolling) -> Expressions:
    found = {}
    for metric in layout.available(tuple(group.statistics)):
        for window in group.windows:
            steps = layout.steps(window)
            tail = pl.col(metric).tail(steps)
            enough = tail.count() >= least_count(steps)
            for kind in group.statistics[metric]:
                found[f"{metric}_{kind}_{window}"] = pl.when(enough).then(getattr(tail, kind)())
    return found


def _pressure(layout: Layout, group: Pressure) -> Expressions:
    found = {}
    longest = max(layout.steps(window) for window in group.windows)
    for level in group.levels:
        tag = f"{group.metric}_above_{round(level * 100)}"
        for window in group.windows:
            steps = layout.steps(window)
            tail = pl.col(group.metric).tail(steps)
            share = pl.when(tail.count() >= least_count(steps)).then((tail >= level).mean())
            found[f"{tag}_share_{window}"] = share
        tail = pl.col(group.metric).tail(longest)
        last = (tail >= level).arg_true().last()
        age = (tail.len().cast(pl.Int32) - 1 - last.cast(pl.Int32)).fill_null(longest)
        found[f"{tag}_age"] = age / longest
    return found


def _lags(layout: Layout, group: Lags) -> Expressions:
    wanted = {CPU: list(range(1, group.cpu_lags + 1)), **group.others}
    return {
        f"{metric}_lag_{k}": _earlier(metric, k)
        for metric in layout.available(tuple(wanted))
        for k in wanted[metric]
    }


def _seasonal(layout: Layout, group: Seasonal) -> Expressions:
    found: Expressions = {}
    day, lead = layout.steps("24h"), layout.steps(group.lead)
    for metric in layout.available(group.metrics):
        lags = {k: k * day - lead for k in range(1, group.days + 1)}
        past = {k: _earlier(metric, lag) for k, lag in lags.items()}
        if metric == CPU:
            found |= {f"{metric}_{group.label}_{k}d": past[k] for k in past if lags[k] > 0}
        found[f"{metric}_{group.label}_mean_{group.days}d"] = pl.mean_horizontal(past.values())
        found[f"{metric}_{group.label}_max_{group.days}d"] = pl.max_horizontal(past.values())
    return found


def _trends(layout: Layout, group: Trends) -> Expressions:
    found = {}
    for metric in layout.available(tuple(group.differences)):
        now = pl.col(metric).last()
        found[f"{metric}_diff_1"] = now - _earlier(metric, 1)
        for duration in group.differences[metric]:
            if layout.steps(duration) > 1 or layout.span(1) != duration:
                lagged = _earlier(metric, layout.steps(duration))
                found[f"{metric}_diff_{duration}"] = now - lagged
    for metric in layout.available(tuple(group.halflives)):
        for halflife in group.halflives[metric]:
            steps = layout.steps(halflife)
            mean = pl.col(metric).ewm_mean(half_life=steps, ignore_nulls=False)
            mean = mean.forward_fill(limit=10 * steps - 1).last()
            found[f"{metric}_ewm_{halflife}"] = mean
            found[f"{metric}_minus_ewm_{halflife}"] = pl.col(metric).last() - mean
    return found


def _earlier(metric: str, steps: int) -> pl.Expr:
    return pl.col(metric).get(-1 - steps)


TAILS = {
    Rolling: _rolling,
    Pressure: _pressure,
    Lags: _lags,
    Seasonal: _seasonal,
    Trends: _trends,
}
"""What runs along a service's time."""


def columns(result: pl.DataFrame) -> dict[str, np.ndarray]:
    """Return the values of every feature by name."""
    return {name: result[name].to_numpy() for name in result.columns}
