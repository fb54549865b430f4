"""PlanetLab (CoMon) as packaged with CloudSim: a directory per day, a file per node."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from optimizer.core.errors import SchemaError, SourceError
from optimizer.core.schema import CLUSTER, CPU, SERVICE, TIMESTAMP
from optimizer.sources.base import WholeSource
from optimizer.sources.clock import Micros, to_utc
from optimizer.sources.files import find_files, fingerprint
from optimizer.sources.frames import categorical, check_choices, complete

STEP_MICROS = 300 * 1_000_000
CLUSTER_NAME = "planetlab"


@dataclass(frozen=True)
class PlanetlabTelemetry(WholeSource):
    """A directory of days (``20110303/``), or one day; each line is a node's CPU in percent.

    Parameters
    ----------
    path : str
        Directory of days, or one day.
    freq : str, optional
        Step to resample to; None keeps 5 minutes.
    clock : str, optional
        ``start`` (also if None) or ``end``: whether the first line measures the day's first 5
        minutes or ends at midnight.
    join_days : bool
        Whether each service's days follow one another, without the days that it lacks between.
    name : str
        Name of the data; empty or null means ``planetlab``.

    References
    ----------
    .. [1] Park and Pai, CoMon: a mostly-scalable monitoring system for PlanetLab, 2006.
    .. [2] Beloglazov and Buyya, Concurrency and Computation 24(13), 2012: ten days of it.
    """

    path: str
    freq: str | None = None
    clock: str | None = None
    join_days: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        check_choices(self.path, self.clock, self.freq)
        object.__setattr__(self, "name", self.name or "planetlab")

    def snapshot_id(self) -> str:
        """Return the arguments and, per file, day, size and content hash."""
        files = find_files(self.path)
        days = {"days": [file.parent.name for file in files]}
        return fingerprint({"source": "planetlab"} | asdict(self) | days, files)

    def _read(self) -> pd.DataFrame:
        """Return the canonical long frame.

        Raises
        ------
        SourceError
            No file, an empty one, a folder that is no date, or fewer than two nodes.
        SchemaError
            A line is no number.
        """
        files = find_files(self.path)
        midnight = [_midnight(file) for file in files]
        cells = [_read(file) for file in files]
        sizes = np.array([len(values) for values in cells])
        names = sorted({file.name for file in files})
        codes = np.repeat(np.searchsorted(names, [file.name for file in files]), sizes)
        within = np.concatenate([np.arange(size) for size in sizes])
        starts = np.repeat(np.array(midnight, dtype=np.int64), sizes) + within * STEP_MICROS
        frame = pd.DataFrame(
            {
                SERVICE: categorical(codes, names),
                CLUSTER: categorical(np.zeros(len(codes), dtype=np.int32), [CLUSTER_NAME]),
                TIMESTAMP: to_utc(starts),
                CPU: np.concatenate(cells) / np.float32(100),
            }
        )
        return complete(
            frame,
            self.name,
            clock=self.clock or "start",
            path=self.path,
            joined=self.join_days,
        )


def _midnight(file: Path) -> int:
    """Return the start of a file's day, from its folder, in microseconds since 1970."""
    day = pd.to_datetime(file.parent.name, format="%Y%m%d", errors="coerce")
    if pd.isna(day):
        raise SourceError(
            f"data.path: {file}",
            seen=f"a folder called {file.parent.name}",
            allowed="one folder per day, called like 20110303",
            fix="point data.path at the day or at the directory of days",
        )
    instant: Micros = np.array([day], dtype="datetime64[us]").view(np.int64)
    return int(instant[0])


def _read(file: Path) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Return the percentages of one node and day."""
    lines = file.read_text(encoding="utf-8", errors="replace").split()
    try:
        return np.array(lines, dtype=np.float32)
    except ValueError:
        values = pd.to_numeric(pd.Series(lines), errors="coerce")
        row = int(np.flatnonzero(values.isna().to_numpy())[0])
        raise SchemaError(
            f"{file}: line {row + 1}",
            seen=f"text {lines[row]!r}",
            allowed="one integer percentage per line",
            fix="remove files that are no PlanetLab trace from data.path",
        ) from None
