"""Clocks of telemetry files: parsing, order, and the way onto the UTC grid."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import format_duration
from optimizer.core.errors import ConfigError, DataQualityError, SchemaError

_log = logging.getLogger(__name__)
Micros = NDArray[np.int64]
CLOCKS = ("start", "end")


def check_clock(clock: str | None) -> None:
    """Check ``data.clock``.

    Raises
    ------
    ConfigError
        It is neither null, ``start`` nor ``end``.
    """
    if clock is not None and clock not in CLOCKS:
        raise ConfigError(
            "data.clock",
            seen=repr(clock),
            allowed="start (a timestamp begins its interval), end, or null",
            fix="set data.clock=start or data.clock=end",
        )


def to_utc(micros: Micros) -> pd.DatetimeIndex:
    """Return microseconds since 1970 as ``datetime64[us, UTC]``."""
    return pd.DatetimeIndex(micros.view("datetime64[us]")).tz_localize("UTC")


def parse_instant(text: str, key: str) -> pd.Timestamp:
    """Return a date of the configuration as a UTC instant.

    Raises
    ------
    ConfigError
        The text is no date.
    """
    stamp = pd.to_datetime(str(text), utc=True, errors="coerce")
    if pd.isna(stamp):
        raise ConfigError(
            key, seen=repr(text), allowed="a date such as 2025-01-01", fix=f"set {key}=2025-01-01"
        )
    return stamp


def parse_timestamps(column: pd.Series, name: str, file: str) -> Micros:
    """Return the timestamps of one file as microseconds since 1970, UTC.

    Times without a zone are UTC. Numbers are seconds, milliseconds, microseconds or
    nanoseconds since 1970, told apart by their size.

    Parameters
    ----------
    column : pandas.Series
        Values in the file's order.
    name : str
        Name of the column in the file.
    file : str
        The file, for the message.

    Raises
    ------
    SchemaError
        A value is missing or is no time: the message shows the first one and its row, from 1.
    """
    if pd.api.types.is_numeric_dtype(column):
        parsed = pd.Series(_from_numbers(column))
    elif isinstance(column.dtype, pd.DatetimeTZDtype) or column.dtype.kind == "M":
        parsed = pd.to_datetime(column, utc=True)
    else:
        parsed = pd.to_datetime(column.astype(str), utc=True, errors="coerce", format="ISO8601")
    bad = np.flatnonzero(parsed.isna().to_numpy())
    if len(bad) > 0:
        raise SchemaError(
            f"{file}: column {name}",
            seen=f"{str(column.iloc[bad[0]])!r} in row {bad[0] + 1}, which is no time",
            allowed="times such as 2025-01-31T06:00:00Z (without a zone: UTC)",
            fix=f"repair column {name}, or map another one with data.columns.event_timestamp=...",
        )
    return micros_of(parsed)


def micros_of(times: pd.Series) -> Micros:
    """Return a column of times as microseconds since 1970, shape ``(n_rows,)``."""
    return np.asarray(times.to_numpy("datetime64[us]").view(np.int64))


def _from_numbers(column: pd.Series) -> pd.DatetimeIndex:
    values = column.to_numpy(np.float64, na_value=np.nan)
    known = np.abs(values[np.isfinite(values)])
    size = float(np.median(known)) if len(known) > 0 else 0.0
    limits = ((1.0, 1e11), (1e3, 1e14), (1e6, 1e17))
    per_second = next((ticks for ticks, limit in limits if size < limit), 1e9)
    whole = np.where(np.isfinite(values), values, 0.0) * (1e6 / per_second)
    micros = np.rint(whole).astype("datetime64[us]")
    micros[~np.isfinite(values)] = np.datetime64("NaT")
    return pd.DatetimeIndex(micros)


def check_forward(micros: Micros, codes: NDArray[np.integer], names: list[str], file: str) -> None:
    """Check that no service's clock goes backwards in the order of the file.

    A row whose key occurs more than once was sent again: a duplicate, which the quality step
    quarantines, and no clock that runs backwards.

    Parameters
    ----------
    micros : numpy.ndarray
        int64, shape ``(n_rows,)``: the file's clock.
    codes : numpy.ndarray
        Service of each row, an index into ``names``, shape ``(n_rows,)``.
    names : list of str
        Services.
    file : str
        The file, for the message.

    Raises
    ------
    DataQualityError
        A row is earlier than the row before it of the same service.
    """
    order = np.argsort(codes, kind="stable")
    if not np.any((np.diff(micros[order]) < 0) & (np.diff(codes[order]) == 0)):
        return
    keys = pd.DataFrame({"service": codes, "clock": micros})
    order = order[~keys.duplicated(keep=False).to_numpy()[order]]
    back = (np.diff(micros[order]) < 0) & (np.diff(codes[order]) == 0)
    where = np.flatnonzero(back)
    if len(where) == 0:
        return
    before, after = order[where[0]], order[where[0] + 1]
    times = to_utc(micros[[before, after]])
    raise DataQualityError(
        f"{file}: clock of service {names[codes[after]]}",
        seen=(
            f"{times[1].isoformat()} in row {after + 1} after {times[0].isoformat()} in row "
            f"{before + 1}; {len(where)} such steps back in all"
        ),
        allowed="times that never decrease within a service",
        fix="find out why the clock went back (restart, time zone), then sort the file by time",
    )


def align(ends: Micros, codes: NDArray[np.integer], step: pd.Timedelta) -> Micros:
    """Move every service by its constant phase UP to the UTC grid of the step.

    A value may become knowable later than it was, never earlier. A row that deviates from its
    service's own phase stays off the grid, for the quality step to quarantine.

    Parameters
    ----------
    ends : numpy.ndarray
        int64 microseconds, shape ``(n_rows,)``: END of each interval.
    codes : numpy.ndarray
        Service of each row, shape ``(n_rows,)``.
    step : pandas.Timedelta
        Native step.

    Returns
    -------
    numpy.ndarray
        int64 microseconds, shape ``(n_rows,)``.
    """
    size = step.value // 1000
    phase = ends % size
    if not phase.any():
        return ends
    pairs, counts = np.unique(codes.astype(np.int64) * size + phase, return_counts=True)
    owner = pairs // size
    last = np.lexsort((counts, owner))  # the most frequent phase ends each service's run
    ends_run = np.append(np.diff(owner[last]) > 0, True)
    usual = np.zeros(int(codes.max()) + 1, dtype=np.int64)
    usual[owner[last][ends_run]] = pairs[last][ends_run] % size
    shift = -usual % size
    moved = int(np.count_nonzero(shift))
    if moved > 0:
        _log.info("clock of %d services moved up to the grid of %s", moved, format_duration(step))
    return np.asarray(ends + shift[codes])
