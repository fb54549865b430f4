"""The offline feature store: weekly Parquet partitions per view, written by ranges of time.

A value depends on the telemetry and the week it lies in, never on the range that was asked for:
a write starts its history as long before the week as any feature reaches. So a range that is
stored twice, or in pieces, gives the same values to the last bit.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from optimizer.columns import CLUSTER, SERVICE, TIMESTAMP
from optimizer.durations import count_steps
from optimizer.features.engine import compute_features, longest_reach
from optimizer.features.panel import Panel
from optimizer.features.schema import StoreSchema
from optimizer.features.table import FeatureTable
from optimizer.io.artifacts import code_digest
from optimizer.io.integrity import (
    HOME,
    check_files,
    check_range,
    check_version,
    monday,
    view_columns,
    view_file,
)
from optimizer.io.manifest import (
    FILE,
    Manifest,
    Partition,
    locked,
    mark_pending,
    read_manifest,
    write_manifest,
)

Week = tuple[str, int, int]
"""A week's Monday, its first and its last step in the range."""


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
        for week, begin, stop in _outwards(_weeks(panel, lo, hi), known.first):
            part, offset = _with_history(panel, schema, week, begin, stop)
            source = _hash(part, schema)
            ends = _moment(panel, begin), _moment(panel, stop)
            before = manifest.partitions.get(week)
            if before and before.holds(*ends, source):
                kept.append(week)
                continue
            # if the run breaks off now, readers refuse the week and the next run writes it anew
            known_rows = before.rows if before else {}
            write_manifest(directory, mark_pending(manifest, week, known_rows))
            rows = _write_week(directory, week, part, schema, offset)
            one = Partition(ends[0].isoformat(), ends[1].isoformat(), source, rows)
            manifest = manifest.extended(*ends, {week: one})
            write_manifest(directory, manifest)
            written.append(week)
    return Stored(first, last, tuple(written), tuple(kept))


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


def _write_week(
    directory: Path, week: str, part: Panel, schema: StoreSchema, offset: int
) -> dict[str, int]:
    """Write the steps from the offset on into the week's files; return rows per view."""
    wanted = part.present.copy()
    wanted[:, :offset] = False
    part = replace(part, present=wanted)
    table = compute_features(part, schema.groups)
    span = [pd.Timestamp(part.timestamps[step], tz="UTC") for step in (offset, -1)]
    rows = {}
    for view, columns in view_columns(schema).items():
        fresh = _view_table(part, table, columns)
        path = view_file(directory, view, week)
        rows[view] = _replace_rows(path, fresh, span[0], span[1])
    return rows


def _view_table(part: Panel, table: FeatureTable, columns: pa.Schema) -> pa.Table:
    """Return a view's rows, sorted by key and time."""
    service, step = table.service, table.step
    home = part.clusters[service, step]
    if columns.names[0] == CLUSTER:  # one row per cluster and step: all its services agree
        _, rows = np.unique(home.astype(np.int64) * part.n_steps + step, return_index=True)
    else:
        rows = np.arange(len(service))
    names = dict(zip(table.names, table.values, strict=True))
    services = np.asarray(part.services, dtype=object)
    clusters = np.asarray(part.cluster_names, dtype=object)
    keys = {
        SERVICE: pa.array(services[service[rows]]),
        CLUSTER: pa.array(clusters[home[rows]]),
        HOME: pa.array(clusters[home[rows]]),
        TIMESTAMP: pa.array(part.timestamps[step[rows]]),
    }
    arrays = [
        keys[field.name].cast(field.type)
        if field.name in keys
        else pa.array(names[field.name][rows])
        for field in columns
    ]
    return pa.table(arrays, schema=columns)


def _replace_rows(path: Path, fresh: pa.Table, first: pd.Timestamp, last: pd.Timestamp) -> int:
    """Put the rows of a range into a file, all or nothing, and return how many it then holds."""
    if path.is_file():
        old = pq.read_table(path, partitioning=None)
        within = (pc.field(TIMESTAMP) >= first) & (pc.field(TIMESTAMP) <= last)
        kept = old.filter(~within)
        if len(kept):
            fresh = pa.concat_tables([kept, fresh])
            keys = [(fresh.column_names[0], "ascending"), (TIMESTAMP, "ascending")]
            fresh = fresh.sort_by(keys)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(".draft")
    texts = [field.name for field in fresh.schema if field.type == pa.string()]
    # dictionaries of float columns cost six times the CPU of writing them plainly
    pq.write_table(fresh, draft, compression="snappy", use_dictionary=texts)
    draft.replace(path)
    return len(fresh)


def _clear(directory: Path) -> None:
    """Remove every view's files, and the manifest first."""
    (directory / FILE).unlink(missing_ok=True)
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
