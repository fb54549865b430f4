"""The canonical long frame of telemetry: names, units and ranges, typed once.

Each row is one service at one step. ``event_timestamp`` is the END of the interval that the
row measures: the moment its values are knowable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pandas as pd

from optimizer.core.errors import SchemaError

SERVICE = "service_id"
CLUSTER = "cluster_id"
TIMESTAMP = "event_timestamp"
KEY = (SERVICE, TIMESTAMP)
IDS = (SERVICE, CLUSTER, TIMESTAMP)
CPU = "cpu_utilization"
MEMORY = "memory_utilization"
SCALE_EVENT = "scale_event"
ANOMALY = "is_anomaly"
TIMESTAMP_DTYPE: Final = "datetime64[us, UTC]"


@dataclass(frozen=True)
class Metric:
    """One numeric column: its unit and the closed range a sane value lies in.

    ``upper`` is generous (a burst above capacity is real: fractions reach 4.7); a value
    outside the range is quarantined, not clipped.
    """

    name: str
    unit: str
    lower: float
    upper: float


METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric(CPU, "fraction of capacity", 0.0, 100.0),
        Metric(MEMORY, "fraction of capacity", 0.0, 100.0),
        Metric("network_in_mbps", "Mbit/s", 0.0, 1e7),
        Metric("network_out_mbps", "Mbit/s", 0.0, 1e7),
        Metric("disk_read_mbps", "Mbit/s", 0.0, 1e7),
        Metric("disk_write_mbps", "Mbit/s", 0.0, 1e7),
        Metric("request_rate", "requests/s", 0.0, 1e9),
        Metric("latency_ms", "ms", 0.0, 1e7),
        Metric("error_rate", "fraction of requests", 0.0, 1.0),
        Metric("cost_usd", "USD per step", 0.0, 1e6),
        Metric("cpu_capacity_cores", "cores", 0.0, 1e6),
        Metric("memory_capacity_gib", "GiB", 0.0, 1e7),
        Metric(SCALE_EVENT, "0 or 1: a scaling event in the interval", 0.0, 1.0),
        Metric(ANOMALY, "0 or 1: truth of an injected or labelled anomaly", 0.0, 1.0),
    )
}
LABELS = (SCALE_EVENT, ANOMALY)
"""Columns that are truth, never a feature's source."""
REQUIRED = (*IDS, CPU)
CANONICAL = (*IDS, *METRICS)
PERCENT_SUSPECTED_ABOVE = 20.0
"""A 99th percentile above this means percent where a fraction is due."""


def check_frame(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return the frame if it is canonical: required columns, known names, numeric metrics.

    Parameters
    ----------
    frame : pandas.DataFrame
        Long frame, shape ``(n_rows, n_columns)``.
    source : str
        Where it came from, for the message.

    Raises
    ------
    SchemaError
        A required column is absent, a column is unknown, a metric is not numeric, or
        ``event_timestamp`` is not ``datetime64[us, UTC]``.
    """
    missing = [name for name in REQUIRED if name not in frame.columns]
    if missing:
        raise SchemaError(
            f"{source}: column {', '.join(missing)}",
            seen=f"columns {', '.join(map(str, frame.columns))}",
            allowed=f"at least {', '.join(REQUIRED)}",
            fix="name your column, for example data.columns.cpu_utilization=cpu_pct",
        )
    unknown = [str(name) for name in frame.columns if name not in CANONICAL]
    if unknown:
        raise SchemaError(
            f"{source}: column {', '.join(unknown)}",
            seen="a name outside the canonical frame",
            allowed=", ".join(CANONICAL),
            fix="drop or map the column in the telemetry source",
        )
    if str(frame[TIMESTAMP].dtype) != TIMESTAMP_DTYPE:
        raise SchemaError(
            f"{source}: column {TIMESTAMP}",
            seen=f"dtype {frame[TIMESTAMP].dtype}",
            allowed=TIMESTAMP_DTYPE,
            fix="parse the timestamps as UTC",
        )
    for name in metrics_of(frame):
        if not pd.api.types.is_numeric_dtype(frame[name]):
            raise SchemaError(
                f"{source}: column {name}",
                seen=f"text such as {frame[name].dropna().iloc[:1].tolist()}",
                allowed=f"numbers ({METRICS[name].unit})",
                fix="convert the column to numbers or map another column to it",
            )
    return frame


def metrics_of(frame: pd.DataFrame) -> tuple[str, ...]:
    """Return the metric columns that the frame has, in canonical order."""
    return tuple(name for name in METRICS if name in frame.columns)
