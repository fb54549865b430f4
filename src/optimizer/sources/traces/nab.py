"""Numenta Anomaly Benchmark: CPU series of AWS CloudWatch with labelled anomaly windows."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from optimizer.core.errors import SchemaError, SourceError
from optimizer.core.schema import ANOMALY, CLUSTER, CPU, SERVICE, TIMESTAMP
from optimizer.sources.base import WholeSource
from optimizer.sources.clock import parse_timestamps, to_utc
from optimizer.sources.files import column_names, find_files, fingerprint, read_columns
from optimizer.sources.frames import categorical, check_choices, complete, join, numbers

_log = logging.getLogger(__name__)
WINDOWS = "combined_windows.json"
Windows = dict[str, list[tuple[pd.Timestamp, pd.Timestamp]]]


@dataclass(frozen=True)
class NabTelemetry(WholeSource):
    """A directory of native CSVs (``timestamp,value``) and ``combined_windows.json``.

    Parameters
    ----------
    path : str
        Directory, searched deeply, or glob; files without ``cpu`` in their name are skipped.
    labels : str, optional
        The windows' file; None looks for ``combined_windows.json`` in ``path`` and in a
        ``labels`` folder beside it. Without one there is no ``is_anomaly``.
    freq : str, optional
        Step to resample to; None keeps 5 minutes.
    clock : str, optional
        ``start`` (also if None) or ``end``: the edge of its interval that a timestamp marks.
    name : str
        Name of the data; empty or null means ``nab``.

    Notes
    -----
    Values are percent and become fractions. A row is anomalous if its own timestamp lies in a
    window, both ends included. The cluster is the first word of the file's name: ec2, rds.

    References
    ----------
    .. [1] Lavin and Ahmad, Evaluating Real-time Anomaly Detection Algorithms: the Numenta
       Anomaly Benchmark, ICMLA 2015.
    """

    path: str
    labels: str | None = None
    freq: str | None = None
    clock: str | None = None
    name: str = ""

    def __post_init__(self) -> None:
        check_choices(self.path, self.clock, self.freq)
        object.__setattr__(self, "name", self.name or "nab")

    def _files(self) -> list[Path]:
        found = find_files(self.path, (".csv",))
        kept = [file for file in found if "cpu" in file.stem.lower()]
        if len(kept) < len(found):
            skipped = [file.name for file in found if file not in kept]
            _log.info("skipped, not CPU: %s", ", ".join(skipped))
        if not kept:
            raise SourceError(
                f"data.path={self.path}",
                seen=f"{len(found)} files, none with cpu in its name",
                allowed="files such as ec2_cpu_utilization_5f5533.csv",
                fix="point data.path at realAWSCloudwatch",
            )
        return kept

    def _labels(self) -> Path | None:
        if self.labels is not None:
            chosen = Path(self.labels).expanduser()
            if not chosen.is_file():
                raise SourceError(
                    f"data.labels={self.labels}",
                    seen="no such file",
                    allowed=f"the path of {WINDOWS}, or null",
                    fix="correct data.labels",
                )
            return chosen
        root = Path(self.path).expanduser()
        places = (root, root / "labels", root.parent / "labels", root.parent.parent / "labels")
        return next((p / WINDOWS for p in places if (p / WINDOWS).is_file()), None)

    def snapshot_id(self) -> str:
        """Return the arguments and the hashes of all files, the windows included."""
        labels = self._labels()
        files = self._files() + ([labels] if labels is not None else [])
        return fingerprint({"source": "nab"} | asdict(self), files)

    def _read(self) -> pd.DataFrame:
        """Return the canonical long frame.

        Raises
        ------
        SourceError
            No file, an empty or damaged one, or fewer than two series.
        SchemaError
            A column is missing or holds what is no number or time.
        """
        labels = self._labels()
        windows = None if labels is None else _read_windows(labels)
        if windows is None:
            _log.info("no %s found: no %s column", WINDOWS, ANOMALY)
        frames = [_read(file, windows) for file in self._files()]
        return complete(
            join(frames, self.path),
            self.name,
            clock=self.clock or "start",
            path=self.path,
        )


def _read_windows(file: Path) -> Windows:
    """Return the windows of each file name, without its folder."""
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        return {
            name.rsplit("/", 1)[-1]: [
                (pd.Timestamp(first, tz="UTC"), pd.Timestamp(last, tz="UTC"))
                for first, last in windows
            ]
            for name, windows in held.items()
        }
    except (ValueError, AttributeError, TypeError) as error:
        raise SourceError(
            f"data.labels: {file}",
            seen=f"unreadable: {error}",
            allowed="file names, each with a list of [first, last] times",
            fix=f"use NAB's own {WINDOWS}",
        ) from error


def _read(file: Path, windows: Windows | None) -> pd.DataFrame:
    """Return the rows of one series."""
    available = column_names(file)
    missing = [name for name in ("timestamp", "value") if name not in available]
    if missing:
        raise SchemaError(
            f"{file}: column {', '.join(missing)}",
            seen=f"columns {', '.join(available)}",
            allowed="timestamp, value",
            fix="use data=table for other layouts",
        )
    raw = read_columns(file, ["timestamp", "value"], [])
    times = to_utc(parse_timestamps(raw["timestamp"], "timestamp", str(file)).micros)
    codes = np.zeros(len(raw), dtype=np.int32)
    data: dict[str, object] = {
        SERVICE: categorical(codes, [file.stem]),
        CLUSTER: categorical(codes, [file.stem.split("_")[0]]),
        TIMESTAMP: times,
        CPU: numbers(raw["value"], "value", str(file)) / np.float32(100),
    }
    if windows is not None:
        inside = np.zeros(len(raw), dtype=np.float32)
        for first, last in windows.get(file.name, []):
            inside[(times >= first) & (times <= last)] = 1.0
        data[ANOMALY] = inside
    return pd.DataFrame(data)
