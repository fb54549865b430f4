"""Small frames derived from the telemetry, so that expectations on them cost nothing.

What holds per service (gaps, staleness) or for the whole fleet (99th percentiles, shares) is
computed once here on arrays; great-expectations then checks a handful of rows and shows them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.schema import CPU, MEMORY, METRICS, SERVICE, metrics_of
from optimizer.quality.quarantine import (
    Codes,
    RowSplit,
    clock_of,
    service_codes,
    values_of,
)

_HOUR_US = 3_600_000_000
SMALL_GRID = 1_000_000
"""Cells of a grid that cost nothing, however few rows fill it."""


def fraction_metrics(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return those metrics that are fractions, so that percent would be a unit error."""
    return tuple(name for name in columns if METRICS[name].unit.startswith("fraction"))


def describe_schema(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row: the dtype of each column as text."""
    return pd.DataFrame([{str(name): str(dtype) for name, dtype in frame.dtypes.items()}])


def describe_fleet(frame: pd.DataFrame, split: RowSplit) -> pd.DataFrame:
    """Return one row about the whole frame as it arrived.

    Columns: ``rows``; ``services`` with a row kept; ``quarantined_share``, a fraction of the
    rows that are not kept or lost their CPU; ``grid_steps`` from the first to the last row kept,
    and ``grid_per_row``, cells of that grid per row (1 for a small grid); and of every fraction
    metric with a value ``p99_<metric>``, the 99th percentile of the finite values; and of every
    metric ``broken_<metric>``, the share of rows that lost it.
    """
    kept = split.kept
    row: dict[str, float] = {
        "rows": len(frame),
        "services": len(np.unique(service_codes(kept))),
        "quarantined_share": split.lost / max(1, len(frame)),
        **_describe_grid(split),
    }
    for name in metrics_of(frame):
        lost = sum(split.counts.get(f"{why}: {name}", 0) for why in ("infinite", "out of range"))
        row[f"broken_{name}"] = lost / max(1, len(frame))
    for name in fraction_metrics(metrics_of(frame)):
        values = values_of(frame, name)
        finite = values[np.isfinite(values)]
        if len(finite):
            row[f"p99_{name}"] = percentile_99(finite)
    return pd.DataFrame([row])


def _describe_grid(split: RowSplit) -> dict[str, float]:
    clock = clock_of(split.kept)
    if len(clock) == 0:
        return {"grid_steps": 0.0, "grid_per_row": 1.0}
    steps = (int(clock.max()) - int(clock.min())) / (split.step / pd.Timedelta(1, unit="us")) + 1
    cells = steps * len(np.unique(service_codes(split.kept)))
    return {
        "grid_steps": float(steps),
        "grid_per_row": cells / len(clock) if cells > SMALL_GRID else 1.0,
    }


def _above_capacity(kept: pd.DataFrame, order: Codes, rows: Codes) -> NDArray[np.float64]:
    """Return the largest share of values above 1 among the fractions of each service."""
    highest = np.zeros(len(rows))
    place = np.repeat(np.arange(len(rows)), rows)
    for name in (CPU, MEMORY):
        if name in kept:
            above = values_of(kept, name)[order] > 1.0
            highest = np.maximum(highest, np.bincount(place, above, minlength=len(rows)) / rows)
    return highest


def percentile_99(values: NDArray[np.floating]) -> float:
    """Return the value that 99 % of the finite values, shape ``(n,)``, do not exceed."""
    rank = min(len(values) - 1, int(np.ceil(0.99 * len(values))) - 1)
    return float(np.partition(values, rank)[rank])


def describe_services(split: RowSplit) -> pd.DataFrame:
    """Return one row per service, sorted by name.

    Columns: ``service_id``; ``rows`` kept; ``largest_gap_hours`` between successive kept rows
    beyond one step; ``staleness_hours`` from its last row to the newest of the fleet;
    ``absent_share`` of the steps between its first and last row; ``above_capacity``, the share
    of its values of CPU, or of memory, above the whole capacity.
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
            "above_capacity": _above_capacity(split.kept, order, rows),
        }
    )
    return table.sort_values(SERVICE, ignore_index=True)


def _largest_gap(clock: Codes, starts: Codes, size: int) -> Codes:
    """Return the longest absence per service in microseconds, beyond one step."""
    distance = np.diff(clock, prepend=clock[:1]) - size
    distance[starts] = 0
    gaps: Codes = np.maximum(np.maximum.reduceat(distance, starts), 0)
    return gaps
