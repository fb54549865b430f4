"""Clocks of telemetry files: parsing, order, and the way onto the UTC grid."""

from __future__ import annotations

import difflib
import logging
from dataclasses import dataclass
from zoneinfo import available_timezones

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.errors import ConfigError, SchemaError
from optimizer.sources.cells import TOLERATED

_log = logging.getLogger(__name__)
Micros = NDArray[np.int64]
CLOCKS = ("start", "end")
NO_TIME = np.iinfo(np.int64).min
HOUR_MICROS = 3_600_000_000
ZONE = r"\d{1,2}:\d{2}.*(?:[zZ]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$"
SPREADSHEET_DAYS = (2e4, 8e4)
"""Numbers between them are days since 1899-12-30 from 1954 to 2118, not seconds of 1970."""
ROUNDING = 0.01
JITTER = 0.1
"""Phases below these shares of a step are cut off: constant ones, and ones that vary."""


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


@dataclass(frozen=True)
class Times:
    """The timestamps of one file.

    Parameters
    ----------
    micros : numpy.ndarray
        int64, shape ``(n_rows,)``: microseconds since 1970, UTC where the zone is known, else of
        the local clock; :data:`NO_TIME` where a cell is no time.
    has_zone : bool
        Whether the file says the zone.
    """

    micros: Micros
    has_zone: bool


def parse_timestamps(
    column: pd.Series, name: str, file: str, time_format: str | None = None
) -> Times:
    """Return the timestamps of one file.

    Numbers are seconds, milliseconds, microseconds or nanoseconds since 1970, each told by its
    own size, or days of a spreadsheet (since 1899-12-30, rounded to the second).

    Parameters
    ----------
    column : pandas.Series
        Values in the file's order.
    name : str
        Name of the column in the file.
    file : str
        The file, for the message.
    time_format : str, optional
        ``data.time_format``, as of ``strptime``.

    Raises
    ------
    SchemaError
        More than one cell in a hundred is no time: the message shows the first one and its row,
        from 1.
    """
    if time_format is not None:
        text = column.astype("str").str.strip()
        parsed = pd.to_datetime(text, format=time_format, errors="coerce", utc=True)
        has_zone = any(mark in time_format for mark in ("%z", "%Z"))
    elif pd.api.types.is_numeric_dtype(column):
        parsed, has_zone = pd.Series(_from_numbers(column, name, file)), True
    elif isinstance(column.dtype, pd.DatetimeTZDtype) or column.dtype.kind == "M":
        has_zone = isinstance(column.dtype, pd.DatetimeTZDtype)
        parsed = pd.to_datetime(column, utc=True)
    else:
        text = column.astype("str").str.strip()
        has_zone = bool(text.str.contains(ZONE, regex=True).mean() > 0.5)
        parsed = pd.to_datetime(text, utc=True, errors="coerce", format="ISO8601")
    bad = np.flatnonzero(parsed.isna().to_numpy())
    if len(bad) > max(1, TOLERATED * len(column)) or len(bad) == len(column) > 0:
        raise SchemaError(
            f"{file}: column {name}",
            seen=f"{str(column.iloc[bad[0]])!r} in row {bad[0] + 1}, which is no time",
            allowed="times such as 2025-01-31T06:00:00Z, or numbers of seconds since 1970",
            fix="set data.time_format, for example '%d/%m/%Y %H:%M', repair the column, or map "
            "another one with data.columns.event_timestamp=...",
        )
    return Times(micros_of(parsed), has_zone)


def localise(
    times: Times, codes: NDArray[np.integer], zone: str | None, name: str, file: str
) -> Micros:
    """Return UTC microseconds; times of a local clock are taken from their zone to UTC.

    Of the hour that a clock shows twice in autumn, what comes first in a service's order is the
    first one.

    Parameters
    ----------
    times : Times
        Of one file.
    codes : numpy.ndarray
        Service of each row, shape ``(n_rows,)``.
    zone : str, optional
        ``data.timezone``; None reads times without a zone as UTC.
    name, file : str
        Column and file, for the message.

    Raises
    ------
    SchemaError
        A time does not exist in the zone, or no zone is given and an hour occurs twice.
    """
    micros = times.micros
    if times.has_zone:
        return micros
    if zone is None:
        _refuse_doubled_hour(micros, codes, name, file)
        return micros
    second = _occurrence(micros, codes) > 0
    known = micros != NO_TIME
    local = pd.DatetimeIndex(np.where(known, micros, 0).view("datetime64[us]"))
    utc = local.tz_localize(zone, ambiguous=~second, nonexistent="NaT").tz_convert("UTC")
    lost = np.flatnonzero(utc.isna() & known)
    if len(lost) > 0:
        raise SchemaError(
            f"{file}: column {name}",
            seen=f"{local[lost[0]].isoformat(sep=' ')} in row {lost[0] + 1}",
            allowed=f"times that exist in {zone}, which skips an hour in spring",
            fix="set data.timezone to the zone of the clock, or null for UTC",
        )
    return np.asarray(np.where(known, micros_of(pd.Series(utc)), NO_TIME), dtype=np.int64)


def check_timezone(zone: str | None) -> None:
    """Check ``data.timezone``.

    Raises
    ------
    ConfigError
        It is no zone of the IANA database.
    """
    if zone is None or zone in available_timezones():
        return
    close = difflib.get_close_matches(str(zone), available_timezones(), 1)
    raise ConfigError(
        "data.timezone",
        seen=repr(zone),
        allowed="a zone of the IANA database such as Europe/Berlin, or null for UTC",
        fix=f"set data.timezone={close[0] if close else 'Europe/Berlin'}",
    )


def _occurrence(micros: Micros, codes: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return how often a service's time has occurred before; from the end if it runs backwards."""
    keys = pd.DataFrame({"service": codes, "time": micros})
    change = _changes(micros, codes)
    falling = (change < 0).sum() > (change > 0).sum()
    groups = (keys[::-1] if falling else keys).groupby(["service", "time"], sort=False)
    return np.asarray(groups.cumcount().sort_index(), dtype=np.int64)


def _changes(micros: Micros, codes: NDArray[np.integer]) -> Micros:
    """Return by how much time changes between the rows of a service, in the file's order."""
    if (np.diff(codes) < 0).any():
        order = np.argsort(codes, kind="stable")
        micros, codes = micros[order], codes[order]
    return np.where(np.diff(codes) == 0, np.diff(micros), 0)


def _refuse_doubled_hour(micros: Micros, codes: NDArray[np.integer], name: str, file: str) -> None:
    """Refuse times without a zone in which one hour, and that hour only, occurs twice."""
    if not (_changes(micros, codes) < 0).any():
        return
    twice = (_occurrence(micros, codes) > 0) & (micros != NO_TIME)
    hours = np.unique(micros[twice] // HOUR_MICROS)
    if len(hours) != 1 or twice.sum() == len(micros) // 2:
        return
    hour = pd.Timestamp(int(hours[0]) * HOUR_MICROS, unit="us")
    if hour.hour > 3 or hour.month not in (3, 4, 9, 10, 11):
        return
    raise SchemaError(
        f"{file}: column {name}",
        seen=f"the hour from {hour.isoformat(sep=' ')} twice, as on a local clock in autumn",
        allowed="times with a zone, or of a zone that is told",
        fix="set data.timezone, for example data.timezone=Europe/Berlin",
    )


def micros_of(times: pd.Series) -> Micros:
    """Return a column of times as microseconds since 1970, shape ``(n_rows,)``."""
    return np.asarray(times.to_numpy("datetime64[us]").view(np.int64))


def _from_numbers(column: pd.Series, name: str, file: str) -> pd.DatetimeIndex:
    values = column.to_numpy(np.float64, na_value=np.nan)
    known = np.isfinite(values)
    size = np.abs(np.where(known, values, 0.0))
    days = known & (size > SPREADSHEET_DAYS[0]) & (size < SPREADSHEET_DAYS[1])
    if days.sum() > 0.5 * known.sum():
        _log.info("%s: column %s: read as days of a spreadsheet since 1899-12-30", file, name)
        micros = np.rint((np.where(days, values, 0.0) - 25_569.0) * 86_400.0) * 1e6
        known = days
    else:
        scale = np.select([size < 1e11, size < 1e14, size < 1e17], [1e6, 1e3, 1.0], 1e-3)
        if len(np.unique(scale[known])) > 1:
            _log.info("%s: column %s: epochs of several units, each read by its size", file, name)
        micros = np.rint(np.where(known, values, 0.0) * scale)
    times = micros.astype("datetime64[us]")
    times[~known] = np.datetime64("NaT")
    return pd.DatetimeIndex(times)


def align(ends: Micros, codes: NDArray[np.integer], steps: Micros) -> Micros:
    """Move every service by its phase to the UTC grid of its step.

    A phase below a hundredth of the step, or one that varies within a tenth of it, is that of
    the clock that wrote the row, and is cut off. Else rows move UP: a value may become knowable
    later than it was, never earlier. A row that deviates from its service's own phase stays off
    the grid, for the quality step to quarantine.

    Parameters
    ----------
    ends : numpy.ndarray
        int64 microseconds, shape ``(n_rows,)``: END of each interval.
    codes : numpy.ndarray
        Service of each row, shape ``(n_rows,)``.
    steps : numpy.ndarray
        Step of each service in microseconds, shape ``(n_services,)``.

    Returns
    -------
    numpy.ndarray
        int64 microseconds, shape ``(n_rows,)``.
    """
    size = steps[codes]
    phase = ends % size
    if not phase.any():
        return ends
    n = len(steps)
    rows = np.maximum(np.bincount(codes, minlength=n), 1)
    jitters = np.bincount(codes, (phase < JITTER * size) & (phase > 0), minlength=n)
    within = np.bincount(codes, phase < JITTER * size, minlength=n) / rows
    usual, share = modes(codes, phase, n)
    floored = (usual < ROUNDING * steps) & (share > 0.5)
    floored |= (within > 0.95) & (jitters > 0) & (share < 0.9)
    shift = -usual % steps
    moved = int(np.count_nonzero(shift[~floored]))
    if moved > 0:
        _log.info("clock of %d services moved up to the grid of their step", moved)
    cut = ends - np.where(phase < JITTER * size, phase, 0)
    return np.asarray(np.where(floored[codes], cut, ends + shift[codes]), dtype=np.int64)


def modes(
    groups: NDArray[np.integer], values: Micros, n: int
) -> tuple[Micros, NDArray[np.float64]]:
    """Return the most frequent value of each group, the least among equals, and its share.

    Parameters
    ----------
    groups, values : numpy.ndarray
        Integers, shape ``(n_rows,)``; groups in [0, n).
    n : int
        Number of groups; one without rows has 0 and 0.
    """
    usual, share = np.zeros(n, dtype=np.int64), np.zeros(n)
    if len(groups) == 0:
        return usual, share
    rows = np.maximum(np.bincount(groups, minlength=n), 1)
    middle = int(np.median(values))  # most fleets have one value: no need to sort
    usual[:], share[:] = middle, np.bincount(groups, values == middle, minlength=n) / rows
    rest = (share <= 0.5)[groups]
    if rest.any():
        of, at = groups[rest].astype(np.int64), values[rest]
        order = np.lexsort((at, of))
        of, at = of[order], at[order]
        starts = np.flatnonzero(np.append(True, (np.diff(of) != 0) | (np.diff(at) != 0)))
        counts = np.diff(np.append(starts, len(of)))
        last = np.lexsort((-at[starts], counts, of[starts]))
        best = last[np.append(np.diff(of[starts][last]) != 0, True)]
        usual[of[starts][best]] = at[starts][best]
        share[of[starts][best]] = counts[best] / rows[of[starts][best]]
    usual[share == 0] = 0
    return usual, share
