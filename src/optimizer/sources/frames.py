"""The last steps that every file source shares: from parsed rows to the canonical frame."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import parse_duration
from optimizer.core.errors import ConfigError, SchemaError, SourceError
from optimizer.core.panel import infer_step
from optimizer.core.schema import CLUSTER, CPU, SERVICE, TIMESTAMP, check_frame, metrics_of
from optimizer.sources.clock import align, check_clock, micros_of, to_utc
from optimizer.sources.days import join_days

_log = logging.getLogger(__name__)


def categorical(codes: NDArray[np.integer], names: list[str]) -> pd.Categorical[Any]:
    """Return the names picked by the codes, without a copy of any text."""
    dtype = pd.CategoricalDtype(pd.Index(names))
    return pd.Categorical.from_codes(codes.astype(np.int32), dtype=dtype)


def join(frames: list[pd.DataFrame], source: str) -> pd.DataFrame:
    """Stack the frames of several files; ids stay categorical.

    Parameters
    ----------
    frames : list of pandas.DataFrame
        Long frames; a metric that a file lacks is NaN there.
    source : str
        Where they came from, for the message.

    Raises
    ------
    SourceError
        There is no row.
    """
    filled = [frame for frame in frames if len(frame) > 0]
    if not filled:
        raise SourceError(
            f"data.path={source}",
            seen="no row of telemetry",
            allowed="at least one row per service",
            fix="point data.path at files with rows",
        )
    if len(filled) == 1:
        return filled[0]
    ids = {
        name: pd.api.types.union_categoricals([frame[name] for frame in filled])
        for name in (SERVICE, CLUSTER)
    }
    rest = pd.concat([frame.drop(columns=[SERVICE, CLUSTER]) for frame in filled])
    return rest.reset_index(drop=True).assign(**ids)


def complete(
    frame: pd.DataFrame, source: str, *, clock: str, path: str, joined: bool = False
) -> pd.DataFrame:
    """Turn parsed rows into the canonical frame.

    Services without any CPU value are dropped (their rows measure something else), the clock is
    moved to the END of each step, and rows are brought onto the grid by shifting each service
    by its constant phase. The native step stays: ``data.freq`` is applied once the rows are
    validated (:func:`optimizer.sources.resampling.resample`).

    Parameters
    ----------
    frame : pandas.DataFrame
        Canonical names; ``service_id`` and ``cluster_id`` categorical, timestamps UTC.
    source : str
        Name of the data, for messages.
    clock : str
        ``"start"`` or ``"end"``: which edge of its interval a timestamp marks.
    path : str
        ``data.path``, for messages.
    joined : bool
        Whether each service's days follow one another: :func:`optimizer.sources.days.join_days`.

    Raises
    ------
    SourceError
        Fewer than two services measure CPU, or have days to join.
    """
    frame = _in_order(_with_cpu(frame, path))
    step = infer_step(frame[TIMESTAMP], frame[SERVICE])
    ends = micros_of(frame[TIMESTAMP])
    if clock == "start":
        ends = ends + step.value // 1000
    if joined:
        frame, ends = join_days(frame, ends, step.value // 1000, path)
    codes = frame[SERVICE].cat.codes.to_numpy()
    frame = frame.assign(**{TIMESTAMP: to_utc(align(ends, codes, step))})
    empty = [name for name in metrics_of(frame) if frame[name].isna().all()]
    if empty:
        _log.info("%s: no value at all, left out: %s", source, ", ".join(empty))
        frame = frame.drop(columns=empty)
    for name in metrics_of(frame):
        if frame[name].dtype != np.float32:
            frame[name] = frame[name].to_numpy(np.float32, na_value=np.nan)
    return check_frame(frame, source)


def check_choices(path: str, clock: str | None, freq: str | None) -> None:
    """Check the arguments that every file source has.

    Raises
    ------
    ConfigError
        ``clock`` is none of its choices, ``freq`` is no duration, or ``path`` is empty.
    """
    check_clock(clock)
    if freq is not None:
        parse_duration(freq, "data.freq")
    if not path:
        raise ConfigError(
            "data.path",
            seen="nothing",
            allowed="a file, a directory or a glob",
            fix="set data.path=...",
        )


def numbers(column: pd.Series, name: str, file: str) -> NDArray[np.float32]:
    """Return a column as float32, text that spells numbers included.

    Parameters
    ----------
    column : pandas.Series
        Values of one file, in the file's order.
    name : str
        Name of the column in the file.
    file : str
        The file, for the message.

    Raises
    ------
    SchemaError
        A value is no number: the message shows the first one and its row, from 1.
    """
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return column.to_numpy(np.float32, na_value=np.nan)
    column = column.astype(object)
    parsed = pd.to_numeric(column, errors="coerce")
    bad = np.flatnonzero(column.notna().to_numpy() & parsed.isna().to_numpy())
    said = column.iloc[bad].astype(str).str.strip().str.lower()
    bad = bad[~said.isin(("", "nan")).to_numpy()]
    if len(bad) > 0:
        raise SchemaError(
            f"{file}: column {name}",
            seen=f"text {str(column.iloc[bad[0]]).strip()!r} in row {bad[0] + 1}",
            allowed="numbers",
            fix=f"clean column {name}, or map another one (data=table, data.columns.{CPU}=...)",
        )
    return parsed.to_numpy(np.float32, na_value=np.nan)


def _with_cpu(frame: pd.DataFrame, path: str) -> pd.DataFrame:
    """Keep services with any CPU value; at least two must remain."""
    codes = frame[SERVICE].cat.codes.to_numpy()
    names = frame[SERVICE].cat.categories
    measured = np.bincount(codes, frame[CPU].notna().to_numpy(), minlength=len(names)) > 0
    present = np.bincount(codes, minlength=len(names)) > 0
    if (present & ~measured).any():
        _log.info(
            "%d of %d services have no %s and are left out",
            (present & ~measured).sum(),
            present.sum(),
            CPU,
        )
        frame = frame.loc[measured[codes]]
    if (present & measured).sum() < 2:
        found = list(names[present & measured])
        raise SourceError(
            f"data.path={path}",
            seen=f"{len(found)} service with {CPU}" + (f" ({found[0]})" if found else ""),
            allowed="at least 2 services: models learn by comparing them",
            fix="point data.path at several services (table: map service_id, cpu_utilization)",
        )
    return frame


def _in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Sort by service, then time; rows of equal key keep their order in the file."""
    columns = {}
    for name in (SERVICE, CLUSTER):
        used = frame[name].cat.remove_unused_categories()
        columns[name] = used.cat.reorder_categories(sorted(used.cat.categories))
    frame = frame.assign(**columns)
    codes = frame[SERVICE].cat.codes.to_numpy()
    clock = micros_of(frame[TIMESTAMP])
    later = (np.diff(codes) > 0) | ((np.diff(codes) == 0) & (np.diff(clock) >= 0))
    if later.all():
        return frame.reset_index(drop=True)
    return frame.iloc[np.lexsort((clock, codes))].reset_index(drop=True)
