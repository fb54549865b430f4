"""Azure Public Dataset V1 and V2, VM traces: vmtable and CPU readings in their native layout."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from optimizer.core.errors import ConfigError, SourceError
from optimizer.core.schema import CLUSTER, CPU, SERVICE, TIMESTAMP
from optimizer.sources.base import WholeSource
from optimizer.sources.clock import parse_instant, to_utc
from optimizer.sources.files import find_files, fingerprint, read_columns, scan_csv
from optimizer.sources.frames import categorical, check_choices, complete, join, numbers

VM = "vm id"
VM_COLUMNS = (
    VM,
    "subscription id",
    "deployment id",
    "timestamp vm created",
    "timestamp vm deleted",
    "max cpu",
    "avg cpu",
    "p95 max cpu",
    "vm category",
    "vm virtual core count",
    "vm memory (gb)",
)
READING_COLUMNS = ("timestamp", VM, "min cpu", "max cpu", "avg cpu")
CREATED, DELETED = VM_COLUMNS[3], VM_COLUMNS[4]
CORES, MEMORY = VM_COLUMNS[9], VM_COLUMNS[10]
CLUSTERS = {"deployment": VM_COLUMNS[2], "subscription": VM_COLUMNS[1]}
READINGS = ("avg", "max", "min")
SUFFIXES = (".csv", ".csv.gz")


@dataclass(frozen=True)
class AzureVmTelemetry(WholeSource):
    """A directory with ``vmtable.csv[.gz]`` and ``vm_cpu_readings-file-*-of-*.csv[.gz]``.

    Parameters
    ----------
    path : str
        Directory, searched deeply.
    reading : str
        ``avg``, ``max`` or ``min``: which CPU reading of the 5 minutes is the utilisation.
    cluster : str
        ``deployment`` or ``subscription``: what a cluster is.
    max_vms : int, optional
        Keep the VMs that lived longest, ties in the table's order; None keeps all (the whole
        trace has 2 million).
    start : str
        The instant of second 0, UTC. The published clock is anonymised: V1 was recorded from
        2016-11-16, V2 in 2019, so weekdays and hours are approximate at best.
    freq, clock, name
        As for the other sources: step to resample to; ``start`` (also if None) or ``end``;
        empty or null means ``azure_vm``.

    Notes
    -----
    No file has a header. The published schema, V1 and V2 alike: vmtable = vm id, subscription
    id, deployment id, timestamp vm created, timestamp vm deleted, max cpu, avg cpu, p95 max
    cpu, vm category, vm virtual core count (V2: bucket), vm memory in GB (V2: bucket); readings
    = timestamp (seconds from 0, every 300), vm id, min cpu, max cpu, avg cpu (percent). V2's
    open buckets ``>24`` cores and ``>64`` GB count as their lower bound, 24 and 64 (the
    publishers' notebook puts 30 and 70 there); the others are taken as the number they show.

    References
    ----------
    .. [1] https://github.com/Azure/AzurePublicDataset: AzurePublicDatasetV1.md,
       AzurePublicDatasetV2.md, and the headers in their analysis notebooks.
    .. [2] Cortez et al., Resource Central: Understanding and Predicting Workloads for Improved
       Resource Management in Large Cloud Platforms, SOSP 2017.
    """

    path: str
    reading: str = "avg"
    cluster: str = "deployment"
    max_vms: int | None = None
    start: str = "2016-11-16"
    freq: str | None = None
    clock: str | None = None
    name: str = ""

    def __post_init__(self) -> None:
        check_choices(self.path, self.clock, self.freq)
        object.__setattr__(self, "name", self.name or "azure_vm")
        for key, allowed in (("reading", READINGS), ("cluster", tuple(CLUSTERS))):
            if getattr(self, key) not in allowed:
                raise ConfigError(
                    f"data.{key}",
                    seen=repr(getattr(self, key)),
                    allowed=", ".join(allowed),
                    fix=f"set data.{key}={allowed[0]}",
                )
        if self.max_vms is not None and self.max_vms < 2:
            raise ConfigError(
                "data.max_vms", seen=self.max_vms, allowed="at least 2, or null", fix="raise it"
            )
        parse_instant(self.start, "data.start")

    def _files(self) -> tuple[Path, list[Path]]:
        found = find_files(self.path, SUFFIXES)
        tables = [file for file in found if file.name.startswith("vmtable.")]
        readings = [file for file in found if file.name.startswith("vm_cpu_readings-file-")]
        if len(tables) != 1 or not readings:
            raise SourceError(
                f"data.path={self.path}",
                seen=f"{len(tables)} vmtable and {len(readings)} vm_cpu_readings files",
                allowed="one vmtable.csv[.gz] and vm_cpu_readings-file-*-of-*.csv[.gz]",
                fix="download both kinds of file into one directory",
            )
        return tables[0], sorted(readings, key=_number)

    def snapshot_id(self) -> str:
        """Return the arguments and the hashes of all files."""
        table, readings = self._files()
        return fingerprint({"source": "azure_vm"} | asdict(self), [table, *readings])

    def _read(self) -> pd.DataFrame:
        """Return the canonical long frame.

        Raises
        ------
        SourceError
            A file is missing, empty or damaged, or fewer than two VMs have readings.
        SchemaError
            A field holds what is no number.
        """
        table, readings = self._files()
        vms = _read_table(table, self.max_vms)
        zero = parse_instant(self.start, "data.start").value // 1000
        frames = [self._read_file(file, vms, zero) for file in readings]
        return complete(
            join(frames, self.path),
            self.name,
            clock=self.clock or "start",
            path=self.path,
        )

    def _read_file(self, file: Path, vms: pd.DataFrame, zero: int) -> pd.DataFrame:
        """Return the readings of one file for the VMs of the table."""
        column = f"{self.reading} cpu"
        raw = scan_csv(file, READING_COLUMNS, ("timestamp", VM, column), VM, list(vms[VM]))
        service = raw[VM]
        codes = service.cat.codes.to_numpy()
        seconds = raw["timestamp"].to_numpy(np.float64)
        micros = zero + (seconds * 1e6).astype(np.int64)
        at = pd.Index(vms[VM]).get_indexer(pd.Index(service.cat.categories))[codes]
        owner = vms[CLUSTERS[self.cluster]].astype("category")
        return pd.DataFrame(
            {
                SERVICE: service,
                CLUSTER: categorical(owner.cat.codes.to_numpy()[at], list(owner.cat.categories)),
                TIMESTAMP: to_utc(micros),
                CPU: raw[column].to_numpy(np.float32) / np.float32(100),
                "cpu_capacity_cores": vms[CORES].to_numpy()[at],
                "memory_capacity_gib": vms[MEMORY].to_numpy()[at],
            }
        )


def _number(file: Path) -> tuple[int, str]:
    """Return the number of a readings file: 10 comes after 9."""
    found = re.search(r"file-(\d+)-of", file.name)
    return (int(found.group(1)) if found else 0, file.name)


def _read_table(file: Path, max_vms: int | None) -> pd.DataFrame:
    """Return the VMs with numeric cores and memory, unique, in the table's order."""
    wanted = [VM, *CLUSTERS.values(), CREATED, DELETED, CORES, MEMORY]
    ids = [VM, *CLUSTERS.values()]
    vms = read_columns(file, wanted, ids, names=VM_COLUMNS)
    for name in (CREATED, DELETED):
        vms[name] = numbers(vms[name], name, str(file))
    for name in (CORES, MEMORY):
        vms[name] = numbers(_lower_bound(vms[name]), name, str(file))
    vms[VM] = vms[VM].astype(str)
    vms = vms.drop_duplicates(VM, keep="last").reset_index(drop=True)
    if max_vms is None or len(vms) <= max_vms:
        return vms
    longest = np.argsort((vms[CREATED] - vms[DELETED]).to_numpy(), kind="stable")[:max_vms]
    return vms.iloc[np.sort(longest)].reset_index(drop=True)


def _lower_bound(column: pd.Series) -> pd.Series:
    """Return V2's open buckets (``>24``, also ``&gt;24``) as their lower bound."""
    if pd.api.types.is_numeric_dtype(column):
        return column
    text = column.astype(str).str.replace("&gt;", ">", regex=False)
    return text.str.strip().str.removeprefix(">").str.strip()
