"""The files of one week of the offline store: computed and written alone, wherever it is done."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from optimizer.core.panel import Panel
from optimizer.core.schema import CLUSTER, SERVICE, TIMESTAMP
from optimizer.features.engine import compute_features
from optimizer.features.schema import StoreSchema
from optimizer.features.store.integrity import HOME, MEMBERSHIP, view_columns, view_file
from optimizer.features.store.manifest import locked
from optimizer.features.table import FeatureTable


@dataclass(frozen=True, eq=False)
class WeekJob:
    """All that writing a week needs; it can be sent to another process.

    Parameters
    ----------
    directory : pathlib.Path
        The project's directory, absolute.
    schema : StoreSchema
        The features.
    week : str
        The week's Monday.
    part : Panel
        The steps to write and the history before them.
    offset : int
        The first step to write.
    first, last : pandas.Timestamp
        The moments of the first and the last of them.
    source : str
        Hash of all that the values depend on.
    """

    directory: Path
    schema: StoreSchema
    week: str
    part: Panel
    offset: int
    first: pd.Timestamp
    last: pd.Timestamp
    source: str


def try_week(job: WeekJob) -> dict[str, int] | Exception:
    """Write a week and return its rows per view, or the error.

    Were the error raised here, an engine would hand it on while other weeks are being written,
    and the store would be unlocked under them. The week's own lock is for a worker whose run was
    killed: the next run waits until it is done.
    """
    try:
        with locked(view_file(job.directory, MEMBERSHIP, job.week).parent):
            return _write_week(job)
    except Exception as error:  # noqa: BLE001 - raised again when no week is being written
        # an error from another process arrives without its traceback
        error.add_note(f"while writing week {job.week}: {traceback.format_exc()}")
        return error


def _write_week(job: WeekJob) -> dict[str, int]:
    """Write the steps from the offset on into the week's files; return rows per view."""
    wanted = job.part.present.copy()
    wanted[:, : job.offset] = False
    part = replace(job.part, present=wanted)
    table = compute_features(part, job.schema.groups)
    rows = {}
    for view, columns in view_columns(job.schema).items():
        fresh = _view_table(part, table, columns)
        path = view_file(job.directory, view, job.week)
        rows[view] = _replace_rows(path, fresh, job.first, job.last)
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
