"""GWA-T-12 Bitbrains: one CSV per virtual machine of a managed hosting provider."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.errors import SchemaError
from optimizer.core.schema import CLUSTER, CPU, MEMORY, SERVICE, TIMESTAMP
from optimizer.sources.base import WholeSource
from optimizer.sources.clock import to_utc
from optimizer.sources.dialect import Dialect
from optimizer.sources.files import column_names, find_files, fingerprint, read_columns
from optimizer.sources.frames import categorical, check_choices, complete, join, numbers

STEP_SECONDS = 300
CLOCK_COLUMN = "Timestamp [ms]"
THROUGHPUTS = {
    "network_in_mbps": "Network received throughput [KB/s]",
    "network_out_mbps": "Network transmitted throughput [KB/s]",
    "disk_read_mbps": "Disk read throughput [KB/s]",
    "disk_write_mbps": "Disk write throughput [KB/s]",
}
CORES = "CPU cores"
CPU_USED, CPU_HELD = "CPU usage [MHZ]", "CPU capacity provisioned [MHZ]"
MEMORY_USED, MEMORY_HELD = "Memory usage [KB]", "Memory capacity provisioned [KB]"
LAYOUT = Dialect(delimiter=";")
NEEDED = (CORES, CPU_USED, CPU_HELD, MEMORY_USED, MEMORY_HELD, *THROUGHPUTS.values())


@dataclass(frozen=True)
class BitbrainsTelemetry(WholeSource):
    """A directory or glob of native CSVs; the file's stem is the VM.

    Parameters
    ----------
    path : str
        Directory, searched deeply, or glob.
    freq : str, optional
        Step to resample to; None keeps 5 minutes.
    clock : str, optional
        ``start`` (also if None) or ``end``: the edge of its interval that a timestamp marks.
    name : str
        Name of the data; empty or null means ``bitbrains``.

    Notes
    -----
    The header says ``Timestamp [ms]`` but the column holds seconds, drifting by a few: it is
    floored to the grid of 300 s (raised with ``clock=end``), and of two rows in one slot the
    last one stays. Utilisation is usage over provisioned capacity, NaN where the capacity is 0.
    KB are 1000 bytes in throughputs and 1024 in memory sizes. The cluster is the folder's name.

    References
    ----------
    .. [1] Shen, van Beek, Iosup, Statistical Characterization of Business-Critical Workloads
       Hosted in Cloud Datacenters, CCGrid 2015; Grid Workloads Archive, GWA-T-12.
    """

    path: str
    freq: str | None = None
    clock: str | None = None
    name: str = ""

    def __post_init__(self) -> None:
        check_choices(self.path, self.clock, self.freq)
        object.__setattr__(self, "name", self.name or "bitbrains")

    def _files(self) -> list[Path]:
        return find_files(self.path, (".csv",))

    def snapshot_id(self) -> str:
        """Return the arguments and the hashes of all files."""
        return fingerprint({"source": "bitbrains"} | asdict(self), self._files())

    def _read(self) -> pd.DataFrame:
        """Return the canonical long frame.

        Raises
        ------
        SourceError
            No file, an empty or damaged one, or fewer than two VMs.
        SchemaError
            A column of the format is missing or holds text.
        """
        edge = self.clock or "start"
        frames = [_read(file, edge) for file in self._files()]
        return complete(
            join(frames, self.path),
            self.name,
            clock=edge,
            path=self.path,
        )


def _read(file: Path, edge: str) -> pd.DataFrame:
    """Return the rows of one VM."""
    header = {name.strip(): name for name in column_names(file, LAYOUT)}
    missing = [name for name in (CLOCK_COLUMN, *NEEDED) if name not in header]
    if missing:
        raise SchemaError(
            f"{file}: column {', '.join(missing)}",
            seen=f"columns {', '.join(header)}",
            allowed="the native GWA-T-12 layout, separated by ';' and a tab",
            fix="use data=table for other layouts",
        )
    raw = read_columns(file, [header[n] for n in (CLOCK_COLUMN, *NEEDED)], [], dialect=LAYOUT)
    raw.columns = pd.Index([CLOCK_COLUMN, *NEEDED])
    raw = raw.sort_values(CLOCK_COLUMN, kind="stable", ignore_index=True)
    cells = {name: numbers(raw[name], name, str(file)) for name in NEEDED}
    seconds = _seconds(raw[CLOCK_COLUMN], file)
    codes = np.zeros(len(raw), dtype=np.int32)
    # a start is floored and an end raised, so that no value is knowable before it was
    turn = seconds // STEP_SECONDS if edge == "start" else -(-seconds // STEP_SECONDS)
    slot = turn * STEP_SECONDS
    data: dict[str, object] = {
        SERVICE: categorical(codes, [file.stem]),
        CLUSTER: categorical(codes, [file.resolve().parent.name]),
        TIMESTAMP: to_utc(slot * 1_000_000),
        CPU: _ratio(cells[CPU_USED], cells[CPU_HELD]),
        MEMORY: _ratio(cells[MEMORY_USED], cells[MEMORY_HELD]),
    }
    data |= {name: cells[column] * np.float32(8e-3) for name, column in THROUGHPUTS.items()}
    data["cpu_capacity_cores"] = cells[CORES]
    data["memory_capacity_gib"] = cells[MEMORY_HELD] / np.float32(1024**2)
    return pd.DataFrame(data).loc[np.append(np.diff(slot) != 0, True)[: len(raw)]]


def _seconds(column: pd.Series, file: Path) -> NDArray[np.int64]:
    """Return the clock in seconds; copies that were put right to milliseconds are recognised."""
    values = pd.to_numeric(column.astype(object), errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad) > 0:
        raise SchemaError(
            f"{file}: column {CLOCK_COLUMN}",
            seen=f"{str(column.iloc[bad[0]])!r} in row {bad[0] + 1}, which is no time",
            allowed="seconds since 1970",
            fix="repair or remove the row",
        )
    in_seconds = values / 1000 if len(values) > 0 and np.median(values) > 1e11 else values
    return in_seconds.astype(np.int64)


def _ratio(used: NDArray[np.float32], held: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return used over held, NaN where nothing is held."""
    return np.divide(used, held, out=np.full_like(used, np.nan), where=held > 0)
