"""Small frames derived from the telemetry, so that expectations on them cost nothing.

What holds per service (gaps, staleness) or for the whole fleet (99th percentiles, shares) is
computed once here on arrays; great-expectations then checks a handful of rows and shows them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.schema import METRICS, SERVICE, metrics_of
from optimizer.quality.quarantine import (
    Codes,
    RowSplit,
    clock_of,
    count_backward,
    service_codes,
    values_of,
)

_HOUR_US = 3_600_000_000


def fraction_metrics(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return those metrics that are fractions, so that percent would be a unit error."""
    return tuple(name for name in columns if METRICS[name].unit.startswith("fraction"))


def describe_schema(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row: the dtype of each column as text."""
    return pd.DataFrame([{str(name): str(dtype) for name, dtype in frame.dtypes.items()}])


def describe_fleet(frame: pd.DataFrame, split: RowSplit) -> pd.DataFrame:
    """Return one row about the whole frame as it arrived.

    Columns: ``rows``; ``services`` with a row kept; ``quarantined_share``, a fraction of the
    rows; and ``p99_<metric>``, the 99th percentile of the finite values, of every fraction
    metric with a value.
    """
    kept = split.kept
    row: dict[str, float] = {
        "rows": len(frame),
        "services": len(np.unique(service_codes(kept))),
        "quarantined_share": len(split.quarantined) / max(1, len(frame)),
    }
    for name in fraction_metrics(metrics_of(frame)):
        values = values_of(frame, name)
        finite = values[np.isfinite(values)]
        if len(finite):
            row[f"p99_{name}"] = percentile_99(finite)
    return pd.DataFrame([row])


def percentile_99(values: NDArray[np.floating]) -> float:
    """Return the value that 99 % of the finite values, shape ``(n,)``, do not exceed."""
    rank = min(len(values) - 1, int(np.ceil(0.99 * len(values))) - 1)
    return float(np.partition(values, rank)[rank])


def describe_services(frame: pd.DataFrame, split: RowSplit) -> pd.DataFrame:
    """Return one row per service, sorted by name.

    Columns: ``service_id``; ``rows`` kept; ``largest_gap_hours`` between successive kept rows
    beyond one step; ``staleness_hours`` from its last row to the newest of the fleet;
    ``absent_share`` of the steps between its first and last row; ``clock_steps_back`` as rows
    arrived.
    """
    codes, clock = service_codes(split.kept), clock_of(split.kept)
    order = np.lexsort((clock, codes))
    codes, clock = codes[order], clock[order]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    if len(starts) == 0:
        return pd.DataFrame()
    ends = np.append(starts[1:], len(codes)) - 1
    rows = ends - starts + 1
    size = int(split.step / pd.Timedelta(1, unit="us"))
    steps = (clock[ends] - clock[starts]) // size + 1
    names = split.kept[SERVICE].iloc[order[starts]].astype(str).to_numpy()
    table = pd.DataFrame(
        {
            SERVICE: names,
            "rows": rows,
            "largest_gap_hours": _largest_gap(clock, starts, size) / _HOUR_US,
            "staleness_hours": (clock.max() - clock[ends]) / _HOUR_US,
            "absent_share": 1.0 - rows / steps,
            "clock_steps_back": _steps_back(frame, names),
        }
    )
    return table.sort_values(SERVICE, ignore_index=True)


def _largest_gap(clock: Codes, starts: Codes, size: int) -> Codes:
    """Return the longest absence per service in microseconds, beyond one step."""
    distance = np.diff(clock, prepend=clock[:1]) - size
    distance[starts] = 0
    gaps: Codes = np.maximum(np.maximum.reduceat(distance, starts), 0)
    return gaps


def _steps_back(frame: pd.DataFrame, names: NDArray[np.object_]) -> Codes:
    """Return the backward steps of the named services, from the frame as it arrived."""
    counts = count_backward(frame)
    column = frame[SERVICE]
    if isinstance(column.dtype, pd.CategoricalDtype):
        labels = column.cat.categories.astype(str)
    else:
        labels = pd.Index(pd.factorize(column)[1]).astype(str)
    by_name = counts.set_axis(labels[: len(counts)]).reindex(names, fill_value=0)
    return np.asarray(by_name, dtype=np.int64)
