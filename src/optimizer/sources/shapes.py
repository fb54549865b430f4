"""Files that are not in long form: wide tables, JSON lines, Prometheus' and CloudWatch's JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.json

from optimizer.core.errors import SchemaError, SourceError

LINES_SUFFIXES = (".jsonl", ".ndjson")
JSON_SUFFIXES = (".json",)
SERIES, TIME, VALUE = "series", "time", "value"
"""Columns of what was wide: its columns' names, its times and its cells."""


def is_json(file: Path) -> bool:
    """Tell whether a file is read by :func:`read_json`."""
    return file.name.lower().endswith((*LINES_SUFFIXES, *JSON_SUFFIXES))


def read_json(file: Path) -> pd.DataFrame:
    """Return the rows of a JSON file.

    JSON lines and a list of objects give their fields. The matrix of Prometheus' range queries
    gives its labels, ``series`` (all of them), ``time`` and ``value``; CloudWatch's
    ``get-metric-data`` gives ``series`` (the label), ``time`` and ``value``.

    Raises
    ------
    SourceError
        The file is no JSON, or none of these.
    """
    try:
        if file.name.lower().endswith(LINES_SUFFIXES):
            frame: pd.DataFrame = pa.json.read_json(file).to_pandas(date_as_object=False)
            return frame
        held = json.loads(file.read_text(encoding="utf-8-sig"))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise SourceError(
            f"data.path: {file}",
            seen=f"unreadable: {str(error).splitlines()[0]}",
            allowed="JSON, or one JSON object a line (.jsonl)",
            fix="export the file again",
        ) from error
    try:
        return _rows(held)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SourceError(
            f"data.path: {file}",
            seen="JSON of another shape" + (f" ({error})" if str(error) else ""),
            allowed="a list of objects, a Prometheus matrix, or CloudWatch's MetricDataResults",
            fix="convert the file to CSV or Parquet, one row per service and step",
        ) from error


def _rows(held: Any) -> pd.DataFrame:
    """Return the rows of parsed JSON."""
    if isinstance(held, list) and all(isinstance(row, dict) for row in held):
        return pd.DataFrame(held)
    if isinstance(held, dict) and isinstance(held.get("MetricDataResults"), list):
        return _stack(
            ({SERIES: one.get("Label", one["Id"])}, one["Timestamps"], one["Values"])
            for one in held["MetricDataResults"]
        )
    data = held.get("data") if isinstance(held, dict) else None
    if isinstance(data, dict) and data.get("resultType") == "matrix":
        return _stack(
            (
                {**one["metric"], SERIES: _label(one["metric"])},
                [at for at, _ in one["values"]],
                [value for _, value in one["values"]],
            )
            for one in data["result"]
        )
    raise TypeError


def _label(labels: dict[str, str]) -> str:
    return "/".join(str(value) for key, value in labels.items() if key != "__name__")


def _stack(parts: Any) -> pd.DataFrame:
    frames = [pd.DataFrame({SERIES: [], TIME: [], VALUE: []})]
    frames += [
        pd.DataFrame({TIME: times, VALUE: values}).assign(**labels)
        for labels, times, values in parts
    ]
    return pd.concat(frames[1:] or frames, ignore_index=True)


def lengthen(frame: pd.DataFrame, time: str) -> pd.DataFrame:
    """Return a wide table, one column per series, as rows of its time, ``series``, ``value``.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per time.
    time : str
        Its column of times.

    Raises
    ------
    SchemaError
        No column is left.
    """
    series = [name for name in frame.columns if name != time]
    if not series:
        raise SchemaError(
            "data.value",
            seen=f"no column beside {time}",
            allowed="one column for each service",
            fix="leave data.value null for a file in long form",
        )
    return frame.melt(id_vars=[time], value_vars=series, var_name=SERIES, value_name=VALUE)
