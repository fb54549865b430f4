"""One's own telemetry: CSV or Parquet files in long form."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from optimizer.core.errors import SchemaError
from optimizer.core.schema import CLUSTER, METRICS, REQUIRED, SERVICE, TIMESTAMP
from optimizer.sources.base import WholeSource
from optimizer.sources.clock import check_forward, parse_timestamps, to_utc
from optimizer.sources.files import (
    CSV_SUFFIXES,
    PARQUET_SUFFIXES,
    column_names,
    find_files,
    fingerprint,
    name_of,
    read_columns,
)
from optimizer.sources.frames import categorical, check_choices, complete, join, numbers
from optimizer.sources.units import (
    START_COLUMN,
    check_columns,
    check_units,
    factor_of,
    match_columns,
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TableTelemetry(WholeSource):
    """A CSV or Parquet file, a directory of them, or a glob; one row per service and step.

    Parameters
    ----------
    path : str
        File, directory or glob.
    columns : mapping, optional
        Canonical name to the file's column; what is absent or None goes by name, recognised
        names included (see :mod:`optimizer.sources.units`).
    units : mapping, optional
        ``cpu``, ``memory``: percent or fraction; ``network``, ``disk``: bytes_per_s, kb_per_s
        or mbit_per_s; None goes by the recognised column name, else the canonical unit holds.
        Percent is never guessed.
    freq : str, optional
        Step to resample to; None keeps the native step and every row.
    clock : str, optional
        ``start`` or ``end``: the edge of its interval that a timestamp marks. None: a column
        called ``timestamp`` is the START, any other the END.
    join_days : bool
        Whether each service's days follow one another, without the days that it lacks between.
    name : str
        Name of the data; empty or null means the stem of ``path``.

    Notes
    -----
    Without a ``cluster_id`` every service is in the cluster ``default``. Duplicate keys,
    infinities and values out of range are kept, for the quality step to quarantine.
    """

    path: str
    columns: Mapping[str, str | None] | None = field(default=None)
    units: Mapping[str, str | None] | None = field(default=None)
    freq: str | None = None
    clock: str | None = None
    join_days: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        check_choices(self.path, self.clock, self.freq)
        object.__setattr__(self, "columns", dict(self.columns or {}))
        object.__setattr__(self, "units", dict(self.units or {}))
        object.__setattr__(self, "name", self.name or name_of(self.path))
        check_columns(self._columns)
        check_units(self.units or {})

    @property
    def _columns(self) -> Mapping[str, str | None]:
        return self.columns or {}

    def _files(self) -> list[Path]:
        return find_files(self.path, (*CSV_SUFFIXES, *PARQUET_SUFFIXES))

    def snapshot_id(self) -> str:
        """Return the arguments and the hashes of all files."""
        return fingerprint({"source": "table"} | asdict(self), self._files())

    def _read(self) -> pd.DataFrame:
        """Return the canonical long frame.

        Raises
        ------
        SourceError
            No file, an empty or damaged one, or fewer than two services.
        SchemaError
            A required column is missing, or holds what is no number or time.
        DataQualityError
            A service's clock goes backwards within a file.
        """
        files = self._files()
        found = [match_columns(column_names(file), self._columns) for file in files]
        frames = [self._read_file(file, names) for file, names in zip(files, found, strict=True)]
        return complete(
            join(frames, self.path),
            self.name,
            clock=self.clock or _edge(files, found),
            path=self.path,
            joined=self.join_days,
        )

    def _read_file(self, file: Path, found: Mapping[str, str]) -> pd.DataFrame:
        """Return one file's rows under canonical names, in the file's order."""
        available = column_names(file)
        self._check_present(file, available, found)
        ignored = [name for name in available if name not in found.values()]
        if ignored:
            _log.info("%s: columns not used: %s", file.name, ", ".join(ignored))
        ids = [found[name] for name in (SERVICE, CLUSTER) if name in found]
        raw = read_columns(file, list(dict.fromkeys(found.values())), ids)
        service = _ids(raw[found[SERVICE]], found[SERVICE], str(file))
        micros = parse_timestamps(raw[found[TIMESTAMP]], found[TIMESTAMP], str(file))
        codes = service.cat.codes.to_numpy()
        check_forward(micros, codes, list(service.cat.categories), str(file))
        data: dict[str, object] = {SERVICE: service, TIMESTAMP: to_utc(micros)}
        if CLUSTER in found:
            data[CLUSTER] = _ids(raw[found[CLUSTER]], found[CLUSTER], str(file))
        else:
            data[CLUSTER] = categorical(np.zeros(len(raw), dtype=np.int32), ["default"])
        for name in (name for name in METRICS if name in found):
            factor = factor_of(name, found[name], self.units or {})
            cells = numbers(raw[found[name]], found[name], str(file))
            data[name] = cells if factor == 1.0 else cells * np.float32(factor)
        return pd.DataFrame(data)

    def _check_present(self, file: Path, available: list[str], found: Mapping[str, str]) -> None:
        for name, column in self._columns.items():
            if column is not None and column not in available:
                raise SchemaError(
                    f"data.columns.{name}",
                    seen=f"{column}, which {file} lacks",
                    allowed=", ".join(available),
                    fix=f"set data.columns.{name} to a column of the file",
                )
        missing = [name for name in REQUIRED if name not in found and name != CLUSTER]
        if missing:
            raise SchemaError(
                f"{file}: column {', '.join(missing)}",
                seen=f"columns {', '.join(available)}",
                allowed=f"at least {', '.join(n for n in REQUIRED if n != CLUSTER)}",
                fix=f"name the file's column, for example data.columns.{missing[0]}=my_column",
            )


def _edge(files: list[Path], found: list[dict[str, str]]) -> str:
    """Tell the edge that the timestamps mark by the name of their column."""
    starts = [names[TIMESTAMP] == START_COLUMN for names in found]
    if any(starts) and not all(starts):
        raise SchemaError(
            f"{files[starts.index(False)]}: column {found[starts.index(False)][TIMESTAMP]}",
            seen=f"the END of intervals, while {START_COLUMN} in other files is their START",
            allowed="one meaning of time in all files",
            fix="set data.clock=start or data.clock=end, or load the files apart",
        )
    return "start" if all(starts) else "end"


def _ids(column: pd.Series, name: str, file: str) -> pd.Series:
    missing = np.flatnonzero(column.isna().to_numpy())
    if len(missing) > 0:
        raise SchemaError(
            f"{file}: column {name}",
            seen=f"nothing in row {missing[0] + 1}",
            allowed="a name in every row",
            fix=f"fill column {name}",
        )
    return column
