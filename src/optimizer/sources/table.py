"""One's own telemetry: CSV, Parquet or JSON files."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.errors import SchemaError
from optimizer.core.schema import CLUSTER, METRICS, REQUIRED, SERVICE, TIMESTAMP
from optimizer.core.validation import require_choice
from optimizer.sources.base import WholeSource
from optimizer.sources.cells import Cells, read_cells
from optimizer.sources.clock import (
    check_timezone,
    localise,
    parse_timestamps,
    to_utc,
)
from optimizer.sources.dialect import PLAIN, Dialect, check_dialect, tell_dialects
from optimizer.sources.files import (
    CSV_SUFFIXES,
    MISSING,
    PARQUET_SUFFIXES,
    column_names,
    find_files,
    fingerprint,
    is_text,
    name_of,
    read_columns,
)
from optimizer.sources.frames import MERGES, categorical, check_choices, complete, join
from optimizer.sources.identity import read_ids
from optimizer.sources.plausibility import judge_units
from optimizer.sources.shapes import (
    LINES_SUFFIXES,
    SERIES,
    VALUE,
    is_json,
    lengthen,
    read_json,
)
from optimizer.sources.units import (
    ABSOLUTE,
    CAPACITIES,
    COUNTERS,
    KINDS,
    START_COLUMN,
    UNITS,
    check_columns,
    check_unique,
    check_units,
    match_columns,
    plain_name,
    unit_of,
)

_log = logging.getLogger(__name__)
SUFFIXES = (*CSV_SUFFIXES, *PARQUET_SUFFIXES, *LINES_SUFFIXES)
"""Endings that are looked for in a directory; other JSON is read if it is named."""
SUFFIXED = {
    "cpu": "cores", "memory": "bytes", "cpu_capacity": "cores", "memory_capacity": "bytes",
    "latency": "s", "network": "bytes_per_s", "disk": "bytes_per_s",
}  # fmt: skip
"""The unit of cells with a suffix such as ``m`` or ``Gi``, or with a word, by kind of metric."""
BYTES_PER_SECOND = frozenset({"b/s", "bps", "bytes/s", "byte/s"})
WORDS: dict[str, frozenset[str]] = {
    "cpu": frozenset({"core", "cores"}),
    "memory": frozenset({"b", "byte", "bytes"}),
    "cpu_capacity": frozenset({"core", "cores"}),
    "memory_capacity": frozenset({"b", "byte", "bytes"}),
    "latency": frozenset({"s", "sec"}),
    "network": BYTES_PER_SECOND,
    "disk": BYTES_PER_SECOND,
    "request_rate": frozenset({"/s", "hz"}),
}
"""Words that cells of a kind of metric may end with, in lower case."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _FileRows:
    """One file's rows, the plain name of its column of times, and whether they say their zone."""

    frame: pd.DataFrame
    time: str
    has_zone: bool


@dataclass(frozen=True)
class TableTelemetry(WholeSource):
    """A CSV, Parquet or JSON file, a directory of them, or a glob; rows in any order.

    Parameters
    ----------
    path : str
        File, directory or glob.
    columns : mapping, optional
        Canonical name to the file's column; what is absent or None goes by name, recognised
        names included (see :mod:`optimizer.sources.units`). Several columns make up a
        ``service_id`` joined by ``/``.
    units : mapping, optional
        Unit by kind of metric (:data:`optimizer.sources.units.UNITS`); None goes by the
        recognised column name, else the canonical unit holds and is doubted if the values
        speak against it (:mod:`optimizer.sources.plausibility`).
    freq : str, optional
        Step to resample to; None keeps the native step and every row.
    clock : str, optional
        ``start`` or ``end``: the edge of its interval that a timestamp marks. None: a column
        called ``timestamp`` is the START, any other the END.
    join_days : bool
        Whether each service's days follow one another, without the days that it lacks between.
    name : str
        Name of the data; empty or null means the stem of ``path``.
    timezone : str, optional
        Zone of times that do not say theirs; None reads them as UTC.
    time_format : str, optional
        How times are spelled, as of ``strptime``; None reads ISO 8601 and numbers.
    missing : sequence, optional
        Further spellings of a value that was not measured, such as -1.
    value : str, optional
        Metric that a file without metric columns holds: of a wide table, one column per
        service, or of Prometheus' or CloudWatch's JSON.
    per_file : bool
        Whether each file is one service, named by its stem.
    fold_pods : bool
        Whether names of pods become those of their Deployment, DaemonSet or Job.
    merge : str, optional
        ``mean``, ``max`` or ``first`` of rows of one service and time with different values, as
        replicas of a collector leave them.
    dialect : mapping, optional
        ``delimiter``, ``decimal``, ``encoding``, ``skip_rows`` of text files; told from each
        file where None.

    Notes
    -----
    Without a ``cluster_id`` every service is in the cluster ``default``. Values out of range and
    rows of one key with different values are kept, for the quality step to judge.
    """

    path: str
    columns: Mapping[str, Any] | None = field(default=None)
    units: Mapping[str, str | None] | None = field(default=None)
    freq: str | None = None
    clock: str | None = None
    join_days: bool = False
    name: str = ""
    timezone: str | None = None
    time_format: str | None = None
    missing: Sequence[Any] | None = None
    value: str | None = None
    per_file: bool = False
    fold_pods: bool = False
    merge: str | None = None
    dialect: Mapping[str, Any] | None = field(default=None)

    def __post_init__(self) -> None:
        check_choices(self.path, self.clock, self.freq)
        for key in ("columns", "units", "dialect"):
            object.__setattr__(self, key, dict(getattr(self, key) or {}))
        object.__setattr__(self, "missing", tuple(str(word) for word in self.missing or ()))
        object.__setattr__(self, "name", self.name or name_of(self.path))
        check_columns(self._columns)
        check_units(self._units)
        check_dialect(self.dialect or {})
        check_timezone(self.timezone)
        _require("data.merge", self.merge, tuple(MERGES))
        _require("data.value", self.value, tuple(METRICS))

    @property
    def _columns(self) -> Mapping[str, Any]:
        return self.columns or {}

    @property
    def _units(self) -> Mapping[str, str | None]:
        return self.units or {}

    @property
    def _merge(self) -> str | None:
        return self.merge or ("mean" if self.fold_pods else None)

    def _files(self) -> list[Path]:
        return find_files(self.path, SUFFIXES)

    def snapshot_id(self) -> str:
        """Return the arguments and the hashes of all files."""
        return fingerprint({"source": "table"} | asdict(self), self._files())

    def _read(self) -> pd.DataFrame:
        """Return the canonical long frame.

        Raises
        ------
        SourceError
            No file, an empty or damaged one, or no service.
        SchemaError
            A required column is missing, or holds what is no number or time, or is in a unit
            that it cannot be in.
        """
        files = self._files()
        dialects = tell_dialects([file for file in files if is_text(file)], self.dialect or {})
        read = [self._read_file(file, dialects.get(file, PLAIN)) for file in files]
        starts = [rows.time == START_COLUMN for rows in read]
        if any(starts) and not all(starts) and self.clock is None:
            _refuse_clocks(files, [rows.time for rows in read])
        if self.timezone is None and not all(rows.has_zone for rows in read):
            _log.warning(
                "%s: times without a zone are read as UTC; if they are local, set data.timezone",
                self.path,
            )
        return complete(
            join([rows.frame for rows in read], self.path),
            self.name,
            clock=self.clock or ("start" if all(starts) else "end"),
            path=self.path,
            joined=self.join_days,
            merge=self._merge,
        )

    def _read_file(self, file: Path, dialect: Dialect) -> _FileRows:
        """Return one file's rows under canonical names."""
        raw, found = self._raw(file, dialect)
        service = self._services(file, raw, found)
        time = found[TIMESTAMP][0]
        times = parse_timestamps(raw[time], time, str(file), self.time_format)
        micros = localise(times, service.codes, self.timezone, time, str(file))
        cluster = categorical(np.zeros(len(raw), dtype=np.int32), ["default"])
        if CLUSTER in found:
            cluster = read_ids([raw[found[CLUSTER][0]]])
        data: dict[str, object] = {SERVICE: service, TIMESTAMP: to_utc(micros), CLUSTER: cluster}
        units: dict[str, str | None] = dict(self._units)
        for name in sorted((n for n in METRICS if n in found), key=_capacities_first):
            column = found[name][0]
            cells = self._cells(raw[column], name, column, dialect, file)
            unit = _unit(name, column, cells, self._units, str(file))
            units[KINDS.get(name, name)] = unit
            data[name] = _convert(name, unit, cells, data, micros, str(file))
        names = [n for n in (SERVICE, CLUSTER, TIMESTAMP, *METRICS) if n in data]
        frame = judge_units(pd.DataFrame({n: data[n] for n in names}), units, str(file))
        return _FileRows(frame, plain_name(time), times.has_zone)

    def _raw(self, file: Path, dialect: Dialect) -> tuple[pd.DataFrame, dict[str, list[str]]]:
        """Return the columns of a file that are used, and those of each canonical name."""
        raw = read_json(file) if is_json(file) else None
        available = column_names(file, dialect) if raw is None else list(map(str, raw.columns))
        if self.value is not None:
            check_unique(available, str(file))
            if raw is None:
                raw = read_columns(file, available, [], dialect=dialect, missing=self._words)
            return self._series(file, raw)
        found = self._match(file, available)
        wanted = list(dict.fromkeys(column for several in found.values() for column in several))
        ignored = [name for name in available if name not in wanted]
        if ignored:
            _log.info("%s: columns not used: %s", file.name, ", ".join(ignored))
        if raw is None:
            ids = [column for name in (SERVICE, CLUSTER) for column in found.get(name, [])]
            raw = read_columns(file, wanted, ids, dialect=dialect, missing=self._words)
        return raw, found

    def _series(self, file: Path, raw: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, list[str]]]:
        """Return a file of series as rows of one metric, ``data.value``."""
        available = list(map(str, raw.columns))
        given = {name: column for name, column in self._columns.items() if column is not None}
        columns = {SERVICE: SERIES, str(self.value): VALUE} | given
        if VALUE not in available:
            times = match_columns(available, {TIMESTAMP: given.get(TIMESTAMP)}, str(file))
            _need(file, [TIMESTAMP], available, times)
            raw = lengthen(raw, times[TIMESTAMP][0])
        return raw, match_columns(list(raw.columns), columns, str(file))

    @property
    def _words(self) -> tuple[str, ...]:
        return (*MISSING, *(self.missing or ()))

    def _match(self, file: Path, available: list[str]) -> dict[str, list[str]]:
        """Return the columns of each canonical name; refuse a file that lacks a required one."""
        found = match_columns(available, self._columns, str(file))
        needed = [name for name in REQUIRED if name != CLUSTER]
        if self.per_file:
            needed.remove(SERVICE)
        _need(file, needed, available, found)
        return found

    def _services(self, file: Path, raw: pd.DataFrame, found: Mapping[str, list[str]]) -> Any:
        if self.per_file:
            return categorical(np.zeros(len(raw), dtype=np.int32), [name_of(str(file))])
        return read_ids([raw[column] for column in found[SERVICE]], fold_pods=self.fold_pods)

    def _cells(
        self, column: pd.Series, name: str, spelled: str, dialect: Dialect, file: Path
    ) -> Cells:
        decimal = (self.dialect or {}).get("decimal") or ("," if dialect.decimal == "," else None)
        return read_cells(
            column, spelled, str(file), key=name, missing=self._words, decimal=decimal
        )


def _need(
    file: Path, needed: list[str], available: list[str], found: Mapping[str, list[str]]
) -> None:
    missing = [name for name in needed if name not in found]
    if missing:
        raise SchemaError(
            f"{file}: column {', '.join(missing)}",
            seen=f"columns {', '.join(map(repr, available))}",
            allowed=f"at least {', '.join(needed)}",
            fix=_advise(missing, available),
        )


def _require(key: str, value: str | None, choices: tuple[str, ...]) -> None:
    if value is not None:
        require_choice(key, value, choices)


def _capacities_first(name: str) -> bool:
    return name not in CAPACITIES.values()


def _unit(
    name: str, column: str, cells: Cells, units: Mapping[str, str | None], file: str
) -> str | None:
    """Return the unit of a column's cells: what they say, else what is configured.

    Raises
    ------
    SchemaError
        What they say is no unit of the metric.
    """
    kind = KINDS.get(name, "")
    strange = sorted(cells.words - WORDS.get(kind, frozenset()))
    if strange or (cells.in_percent and "percent" not in UNITS.get(kind, {})):
        raise SchemaError(
            f"{file}: column {column}",
            seen=f"cells in {strange[0] if strange else '%'}",
            allowed=METRICS[name].unit,
            fix=f"export it in another unit, or map another column with data.columns.{name}=...",
        )
    if cells.with_suffix and kind in SUFFIXED:
        return SUFFIXED[kind]
    return "fraction" if cells.in_percent else unit_of(name, column, units)


def _convert(
    name: str,
    unit: str | None,
    cells: Cells,
    data: Mapping[str, Any],
    micros: NDArray[np.int64],
    file: str,
) -> NDArray[np.float32]:
    """Return a column in its canonical unit."""
    kind = KINDS.get(name, "")
    factor = UNITS[kind][unit] if unit is not None and kind in UNITS else 1.0
    if (kind, unit) not in COUNTERS and unit not in ABSOLUTE.get(kind, ()):
        values = cells.values.astype(np.float32, copy=False)
        return values if factor == 1.0 else values * np.float32(factor)
    exact = cells.values * np.float64(factor)
    if (kind, unit) in COUNTERS:
        exact = _rate(exact, data[SERVICE].codes, micros)
    if unit in ABSOLUTE.get(kind, ()):
        exact = _share(name, exact, data.get(CAPACITIES[name]), f"{unit}", file)
    return exact.astype(np.float32)


def _share(name: str, values: Floats, capacity: Any, unit: str, file: str) -> Floats:
    """Return usage as a fraction of capacity, NaN where that is unknown."""
    if capacity is None:
        raise SchemaError(
            f"{file}: column {CAPACITIES[name]}",
            seen=f"no such column, while {name} is in {unit}",
            allowed="the capacity, or limit, that the usage is a share of",
            fix=f"map it with data.columns.{CAPACITIES[name]}=..., or give {name} as a fraction",
        )
    held = np.asarray(capacity, dtype=np.float64)
    return np.asarray(np.divide(values, held, out=np.full(len(values), np.nan), where=held > 0))


def _rate(values: Floats, codes: NDArray[np.integer], micros: NDArray[np.int64]) -> Floats:
    """Return by how much a counter rose a second since the row before; after a reset, from 0."""
    order = np.lexsort((micros, codes))
    at, of, when = values[order], codes[order], micros[order]
    rise = np.diff(at, prepend=np.nan)
    rise = np.where(rise < 0, at, rise)
    seconds = np.diff(when, prepend=when[:1]) / 1e6
    same = np.append(False, np.diff(of) == 0)[: len(of)] & (seconds > 0)
    rates = np.full(len(values), np.nan)
    rates[order] = np.where(same, rise / np.where(same, seconds, 1.0), np.nan)
    return rates


def _refuse_clocks(files: list[Path], columns: list[str]) -> None:
    odd = next(place for place, column in enumerate(columns) if column != START_COLUMN)
    raise SchemaError(
        f"{files[odd]}: column {columns[odd]}",
        seen=f"the END of intervals, while {START_COLUMN} in other files is their START",
        allowed="one meaning of time in all files",
        fix="set data.clock=start or data.clock=end, or load the files apart",
    )


def _advise(missing: list[str], available: list[str]) -> str:
    if SERVICE in missing and TIMESTAMP not in missing and len(missing) > 1:
        return (
            "name the file's columns, for example data.columns.service_id=my_column; of a wide "
            "table, one column per service, set data.value=cpu_utilization"
        )
    close = f", for example data.columns.{missing[0]}={(available or ['my_column'])[0]!r}"
    one = "; or data.per_file=true if each file is one service" if missing == [SERVICE] else ""
    return f"name the file's column{close}{one}"
