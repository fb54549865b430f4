"""The recommendations as files: CSV, JSON and Parquet."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd

from optimizer.core.errors import SchemaError
from optimizer.core.output import write_bytes

FIELDS = (
    "service_id", "cluster_id", "resource", "unit", "current", "target", "lower_bound",
    "upper_bound", "action", "finding", "exceedance", "risk", "monthly_saving",
    "monthly_saving_p10", "monthly_saving_p90", "event_probability", "confidence", "drivers",
    "reason_code", "reason",
)  # fmt: skip
"""Columns of a frame of recommendations."""


def write_tables(frame: pd.DataFrame, directory: Path) -> list[Path]:
    """Write the recommendations as CSV, JSON and Parquet and return the paths.

    JSON holds one record per row, NaN as null and drivers as a list; Parquet holds drivers as
    ``list<string>``; CSV joins them by ``"; "``. ``directory``: made if absent; files of the same
    name are replaced, never seen half-written. Raises SchemaError: a column is missing.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_fields(frame)
    frame = frame.reset_index(drop=True)
    drivers = [list(map(str, told)) for told in frame["drivers"]]
    joined = frame.assign(drivers=["; ".join(told) for told in drivers])
    table = pa.Table.from_pandas(joined, preserve_index=False)
    place = table.column_names.index("drivers")
    table = table.set_column(place, "drivers", pa.array(drivers, pa.list_(pa.string())))
    parquet = io.BytesIO()
    pq.write_table(table, parquet)
    narrow = frame.select_dtypes("float32")  # told with its own digits, not those of a float64
    plain = frame.assign(**narrow.astype(str).astype(np.float64))
    records = plain.to_json(orient="records", double_precision=15, force_ascii=False, indent=1)
    contents = {
        "csv": joined.to_csv(index=False, lineterminator="\n").encode(),
        "json": f"{records}\n".encode(),
        "parquet": parquet.getvalue(),
    }
    return [
        write_bytes(directory / f"recommendations.{suffix}", content)
        for suffix, content in contents.items()
    ]


def check_fields(frame: pd.DataFrame) -> None:
    """Raise a SchemaError unless the frame has all columns of a recommendation."""
    missing = [name for name in FIELDS if name not in frame.columns]
    if missing:
        raise SchemaError(
            f"recommendations: column {', '.join(missing)}",
            seen=f"columns {', '.join(map(str, frame.columns))}",
            allowed=", ".join(FIELDS),
            fix="hand over the frame as the recommendation made it",
        )
