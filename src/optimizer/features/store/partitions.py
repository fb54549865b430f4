"""The offline feature store: weekly Parquet partitions per view, written by ranges of time.

A value depends on the telemetry and the week it lies in, never on the range that was asked for:
a write starts its history as long before the week as any feature reaches. So a range that is
stored twice, or in pieces, gives the same values to the last bit. For the same reason weeks can be
computed side by side, by threads or other processes; only the manifest is kept in one place.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from optimizer.core.artifacts import code_digest
from optimizer.core.durations import count_steps
from optimizer.core.panel import Panel
from optimizer.features.engine import longest_reach
from optimizer.features.schema import StoreSchema
from optimizer.features.store.integrity import check_files, check_range, check_version, monday
from optimizer.features.store.manifest import (
    FILE,
    Manifest,
    Partition,
    locked,
    mark_pending,
    read_manifest,
    write_manifest,
)
from optimizer.features.store.weeks import WeekJob, try_week

Week = tuple[str, int, int]
"""A week's Monday, its first and its last step in the range."""
MapFunction = Callable[..., Iterable[Any]]
"""The builtin ``map``, or what calls a function as it does, on threads or in other processes, and
gives the results in the order of the arguments. What it is given can be pickled."""
AHEAD = 8
"""Weeks given to an engine at a time: most engines take all arguments before the first result, so
this bounds the memory that they hold, and the weeks that stay pending if a run breaks off."""


@dataclass(frozen=True)
class Stored:
    """What came of storing a range.

    Parameters
    ----------
    first, last : pandas.Timestamp
        The range stored, both included.
    written, kept : tuple of str
        Weeks (their Mondays) that were written, and that held these very values already.
    """

    first: pd.Timestamp
    last: pd.Timestamp
    written: tuple[str, ...]
    kept: tuple[str, ...]


def store_range(
    directory: Path,
    panel: Panel,
    schema: StoreSchema,
    start: pd.Timestamp | None = None,
    end: pd.Timestamp | None = None,
    *,
    rebuild: bool = False,
    map_fn: MapFunction = map,
) -> Stored:
    """Compute the features of a range and write them; what is there already is left alone.

    Parameters
    ----------
    directory : pathlib.Path
        The project's directory.
    panel : Panel
        Telemetry of the range and of the history before it.
    schema : StoreSchema
        The features, planned on this panel's metrics and step.
    start, end : pandas.Timestamp, optional
        Range of ``event_timestamp``, start included, end excluded; all that can be stored if
        absent.
    rebuild : bool
        Drop what is stored first.
    map_fn : callable
        Runs the weeks: the builtin ``map`` one after the other, an engine's ``map`` side by side.
        Files and manifest are the same.

    Raises
    ------
    StoreError
        The range would leave a hole, or the files are not those of the manifest.
    SchemaError
        The files hold other columns than the schema.
    InsufficientHistoryError
        The telemetry does not reach back far enough before the range.
    """
    with locked(directory):
        known = None if rebuild else read_manifest(directory)
        if known is not None:
            check_files(directory, known, schema)
        lo, hi = check_range(panel, known, schema, start, end)
        first, last = _moment(panel, lo), _moment(panel, hi)
        if known is None:
            _clear(directory)
            known = Manifest(schema, first, first)
        check_version(known, schema, first, last)
        manifest, written, kept = replace(known, schema=schema), [], []
        weeks = _outwards(_weeks(panel, lo, hi), known.first)
        size = 1 if map_fn is map else AHEAD  # with nothing side by side, stop at the first error
        for batch in (weeks[at : at + size] for at in range(0, len(weeks), size)):
            jobs = [_cut(directory, panel, schema, *week) for week in batch]
            due = [job for job in jobs if not _holds(known, job)]
            if due:  # not every engine takes an empty list
                manifest = _write_weeks(directory, manifest, due, map_fn)
            written += [job.week for job in due]
            kept += [job.week for job in jobs if job not in due]
    return Stored(first, last, tuple(written), tuple(kept))


def _write_weeks(
    directory: Path, manifest: Manifest, jobs: list[WeekJob], map_fn: MapFunction
) -> Manifest:
    """Write some weeks and return the manifest, which covers each once all before it are whole."""
    # if the run breaks off now, readers refuse these weeks and the next run writes them anew
    for job in jobs:
        before = manifest.partitions.get(job.week)
        manifest = mark_pending(manifest, job.week, before.rows if before else {})
    write_manifest(directory, manifest)
    failed: Exception | None = None
    for job, result in zip(jobs, map_fn(try_week, jobs), strict=True):
        if isinstance(result, Exception):
            failed = failed or result
        elif failed is None:  # a week after one that failed may be whole, but would leave a hole
            one = Partition(job.first.isoformat(), job.last.isoformat(), job.source, result)
            manifest = manifest.extended(job.first, job.last, {job.week: one})
            write_manifest(directory, manifest)
    if failed is not None:
        raise failed
    return manifest


def _holds(known: Manifest, job: WeekJob) -> bool:
    """Tell whether a week holds these very values already."""
    before = known.partitions.get(job.week)
    return before is not None and before.holds(job.first, job.last, job.source)


def _moment(panel: Panel, step: int) -> pd.Timestamp:
    return pd.Timestamp(panel.timestamps[step], tz="UTC")


def _weeks(panel: Panel, lo: int, hi: int) -> Iterator[Week]:
    """Yield each week's Monday with its first and last step in the range."""
    days = panel.timestamps[lo : hi + 1].astype("datetime64[D]").astype(np.int64)
    weeks = (days + 3) // 7  # the epoch was a Thursday
    edges = np.flatnonzero(np.diff(weeks, prepend=weeks[0] - 1, append=weeks[-1] + 1))
    for begin, stop in pairwise(edges):
        week = monday(_moment(panel, lo + int(begin))).date().isoformat()
        yield week, lo + int(begin), lo + int(stop) - 1


def _outwards(weeks: Iterable[Week], known: pd.Timestamp) -> list[Week]:
    """Return the weeks so that what is covered grows without a hole, even if a run breaks off."""
    ordered, pivot = list(weeks), monday(known).date().isoformat()
    later = [week for week in ordered if week[0] >= pivot]
    return [*later, *(week for week in reversed(ordered) if week[0] < pivot)]


def _cut(
    directory: Path, panel: Panel, schema: StoreSchema, week: str, begin: int, stop: int
) -> WeekJob:
    """Return what writing a week needs; the telemetry as views, which copy nothing."""
    part, offset = _with_history(panel, schema, week, begin, stop)
    ends = _moment(panel, begin), _moment(panel, stop)
    # a worker may run in another directory
    return WeekJob(directory.resolve(), schema, week, part, offset, *ends, _hash(part, schema))


def _with_history(
    panel: Panel, schema: StoreSchema, week: str, begin: int, stop: int
) -> tuple[Panel, int]:
    """Return the week's steps with their history before them, and where the steps begin."""
    opening = pd.Timestamp(week, tz="UTC") - _moment(panel, 0)
    reach = count_steps(longest_reach(schema.specs), panel.step)
    start = max(0, int(opening // panel.step) - reach)
    return panel.between(start, stop + 1), begin - start


def _hash(part: Panel, schema: StoreSchema) -> str:
    """Return a hash of all that the values depend on."""
    digest = hashlib.sha256(f"{schema.version} {code_digest()} {part.services}".encode())
    digest.update(" ".join(part.cluster_names).encode())
    for array in (part.values, part.clusters, part.present, part.timestamps):
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def _clear(directory: Path) -> None:
    """Remove every view's files, and the manifest first."""
    (directory / FILE).unlink(missing_ok=True)
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
