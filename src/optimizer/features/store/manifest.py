"""What a project's offline store holds, in one JSON file beside its Parquet partitions."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from optimizer.core.artifacts import write_json
from optimizer.core.errors import StoreError
from optimizer.features.schema import StoreSchema

FILE = "manifest.json"


@dataclass(frozen=True)
class Partition:
    """One week of all views.

    Parameters
    ----------
    first, last : str
        Range of ``event_timestamp`` of the last write, ISO 8601, both included.
    source : str
        Hash of the telemetry, code and schema of the last write; empty while it goes on.
    rows : dict
        View to the rows that its file holds.
    """

    first: str
    last: str
    source: str
    rows: dict[str, int]

    @property
    def pending(self) -> bool:
        """Whether a write has begun and not ended: its files may be of two writes."""
        return not self.source

    def holds(self, first: pd.Timestamp, last: pd.Timestamp, source: str) -> bool:
        """Tell whether the last write was of this range and from this source."""
        ends = (first.isoformat(), last.isoformat())
        return (self.first, self.last, self.source) == (*ends, source)


@dataclass(frozen=True)
class Manifest:
    """The store's own record: schema, the range without a hole, and its partitions.

    Parameters
    ----------
    schema : StoreSchema
        What the files were written with.
    first, last : pandas.Timestamp
        The range that is covered, both included.
    partitions : dict
        Monday of the week (ISO date) to its partition.
    """

    schema: StoreSchema
    first: pd.Timestamp
    last: pd.Timestamp
    partitions: dict[str, Partition] = field(default_factory=dict)

    def extended(
        self, first: pd.Timestamp, last: pd.Timestamp, written: dict[str, Partition]
    ) -> Manifest:
        """Return the manifest after another range was written."""
        return replace(
            self,
            first=min(self.first, first),
            last=max(self.last, last),
            partitions=dict(sorted({**self.partitions, **written}.items())),
        )


def read_manifest(directory: Path) -> Manifest | None:
    """Return the manifest of a project's directory, None if nothing was stored yet."""
    path = directory / FILE
    if not path.is_file():
        return None
    values: dict[str, Any] = json.loads(path.read_text())
    return Manifest(
        StoreSchema.from_dict(values["schema"]),
        pd.Timestamp(values["first"]),
        pd.Timestamp(values["last"]),
        {week: Partition(**one) for week, one in values["partitions"].items()},
    )


def require_manifest(directory: Path) -> Manifest:
    """Return the manifest of a project's directory.

    Raises
    ------
    StoreError
        Nothing was stored there.
    """
    manifest = read_manifest(directory)
    if manifest is None:
        known = sorted(path.parent.name for path in directory.parent.glob(f"*/{FILE}"))
        raise StoreError(
            f"feature store {directory.name}",
            seen=f"nothing stored under this name in {directory.parent}",
            allowed=", ".join(known) or "no project: nothing was stored there yet",
            fix="run `python flows/features.py` first, correct the name, or start in the "
            "directory that store.offline begins at",
        )
    return manifest


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write the manifest, all or nothing."""
    values = {
        "version": manifest.schema.version,
        "schema": manifest.schema.to_dict(),
        "first": manifest.first.isoformat(),
        "last": manifest.last.isoformat(),
        "partitions": {week: asdict(one) for week, one in manifest.partitions.items()},
    }
    write_json(directory / FILE, values)


def mark_pending(manifest: Manifest, week: str, rows: dict[str, int]) -> Manifest:
    """Return the manifest while a week is written; what is covered does not grow by it."""
    old = manifest.partitions.get(week)
    ends = (old.first, old.last) if old else ("", "")
    pending = Partition(*ends, "", rows)
    return replace(manifest, partitions={**manifest.partitions, week: pending})


@contextmanager
def locked(directory: Path, *, reading: bool = False) -> Iterator[None]:
    """Let one process write to a directory, or several read it, at a time."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH if reading else fcntl.LOCK_EX)
        yield
