"""The last steps that every file source shares: from parsed rows to the canonical frame."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import parse_duration
from optimizer.core.errors import ConfigError, SourceError
from optimizer.core.schema import CLUSTER, CPU, LABELS, SERVICE, TIMESTAMP, check_frame, metrics_of
from optimizer.sources.cells import read_cells
from optimizer.sources.clock import align, check_clock, micros_of, to_utc
from optimizer.sources.days import join_days
from optimizer.sources.identity import tell_apart
from optimizer.sources.resampling import tell_cadence

_log = logging.getLogger(__name__)
MERGES: dict[str, dict[str, str]] = {
    "mean": {"else": "mean", **dict.fromkeys(LABELS, "max")},
    "max": {"else": "max"},
    "first": {"else": "first"},
}
"""``data.merge``: how values of one service and time that differ become one, by metric."""


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
    frame: pd.DataFrame,
    source: str,
    *,
    clock: str,
    path: str,
    joined: bool = False,
    merge: str | None = None,
) -> pd.DataFrame:
    """Turn parsed rows, in any order, into the canonical frame.

    Services without any CPU value are dropped (their rows measure something else), the clock is
    moved to the END of each step, rows are brought onto the grid by shifting each service by its
    constant phase, and rows that say the same twice become one. The native step stays:
    ``data.freq`` is applied once the rows are validated
    (:func:`optimizer.sources.resampling.resample`).

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
    merge : str, optional
        How rows of one service and time with different values become one: see :data:`MERGES`.

    Raises
    ------
    SourceError
        No service measures CPU, or fewer than two have days to join.
    """
    unknown = (frame[SERVICE].isna() | frame[TIMESTAMP].isna()).to_numpy()
    odd = frame[unknown]  # has no place in any order: the quality step tells why
    frame = _in_order(_with_cpu(tell_apart(frame[~unknown] if len(odd) else frame), path))
    cadence = tell_cadence(frame)
    step = cadence.step.value // 1000
    steps = np.where((cadence.steps == 0) | (cadence.steps > step), step, cadence.steps)
    codes = frame[SERVICE].cat.codes.to_numpy()
    ends = micros_of(frame[TIMESTAMP])
    if clock == "start":
        ends = ends + steps[codes]
    if joined:
        frame, ends = join_days(frame, ends, step, path)
        codes = frame[SERVICE].cat.codes.to_numpy()
    aligned = align(ends, codes, steps)
    frame = frame.assign(**{TIMESTAMP: to_utc(aligned)})
    if aligned is not ends:
        frame = _in_order(frame)
    frame = _collapse(frame, merge, source)
    if len(odd):
        frame = join([frame, odd], path)
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
    """Return a column as float32: :func:`optimizer.sources.cells.read_cells`."""
    return read_cells(column, name, file).values.astype(np.float32)


def _with_cpu(frame: pd.DataFrame, path: str) -> pd.DataFrame:
    """Keep services with any CPU value; at least one must remain."""
    codes = frame[SERVICE].cat.codes.to_numpy()
    names = frame[SERVICE].cat.categories
    measured = np.bincount(codes, frame[CPU].notna().to_numpy(), minlength=len(names)) > 0
    present = np.bincount(codes, minlength=len(names)) > 0
    if not (present & measured).any():
        raise SourceError(
            f"data.path={path}",
            seen=f"no service with {CPU}",
            allowed="at least one service that measures it",
            fix="map its column: data.columns.service_id=..., data.columns.cpu_utilization=...",
        )
    if (present & ~measured).any():
        _log.info(
            "%d of %d services have no %s and are left out",
            (present & ~measured).sum(),
            present.sum(),
            CPU,
        )
        frame = frame.loc[measured[codes]]
    return frame


def _in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Sort by service, then time; rows of equal key keep their order in the file."""
    frame = frame.assign(**{name: _tidy(frame[name]) for name in (SERVICE, CLUSTER)})
    codes = frame[SERVICE].cat.codes.to_numpy()
    clock = micros_of(frame[TIMESTAMP])
    later = (np.diff(codes) > 0) | ((np.diff(codes) == 0) & (np.diff(clock) >= 0))
    if later.all():
        return frame.reset_index(drop=True)
    return frame.iloc[np.lexsort((clock, codes))].reset_index(drop=True)


def _tidy(ids: pd.Series) -> pd.Categorical[Any]:
    """Return ids with the categories that occur, sorted; no row is sorted for it."""
    codes, names = ids.cat.codes.to_numpy(), ids.cat.categories
    used = np.flatnonzero(np.bincount(codes[codes >= 0], minlength=len(names)))
    used = used[np.argsort(names[used].to_numpy(), kind="stable")]
    place = np.full(len(names) + 1, -1, dtype=np.int32)
    place[used] = np.arange(len(used))
    return categorical(place[codes], list(names[used]))


def _collapse(frame: pd.DataFrame, merge: str | None, source: str) -> pd.DataFrame:
    """Return a sorted frame in which rows that say the same twice are one.

    Rows of one service and time with different values are merged if ``merge`` says how; else
    they stay, for the quality step.
    """
    codes, clock = frame[SERVICE].cat.codes.to_numpy(), micros_of(frame[TIMESTAMP])
    again = np.append(False, (np.diff(codes) == 0) & (np.diff(clock) == 0))[: len(frame)]
    if not again.any():
        return frame
    shared = again | np.append(again[1:], False)
    same = np.zeros(len(frame), dtype=bool)
    same[shared] = frame[shared].duplicated(keep="last").to_numpy()
    if same.any():
        _log.info("%s: %d rows say what another row says, and are dropped", source, same.sum())
        frame = frame[~same].reset_index(drop=True)
    if merge is None or same.sum() == again.sum():
        return frame
    return _merge(frame, MERGES[merge], source)


def _merge(frame: pd.DataFrame, how: dict[str, str], source: str) -> pd.DataFrame:
    """Return one row per service and time."""
    groups = frame.groupby([SERVICE, TIMESTAMP], observed=True, sort=False)
    rules = {name: how.get(name, how["else"]) for name in metrics_of(frame)}
    merged = groups.agg({CLUSTER: "first", **rules}).reset_index()
    _log.info("%s: %d rows merged into %d (data.merge)", source, len(frame), len(merged))
    return merged[frame.columns]
