"""Checks of the offline store before anything is written to it or read from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from optimizer.core.errors import ConfigError, InsufficientHistoryError, SchemaError, StoreError
from optimizer.core.panel import Panel
from optimizer.core.schema import CLUSTER, SERVICE, TIMESTAMP
from optimizer.features.engine import longest_reach
from optimizer.features.schema import StoreSchema
from optimizer.features.store.manifest import Manifest

MEMBERSHIP = "membership_features"
"""View that says which cluster a service is in; it has a row for every row of telemetry."""
HOME = "cluster"
"""Its only feature."""
REBUILD = "set store.rebuild=true to store it anew, or another store.project"


def view_file(directory: Path, view: str, week: str) -> Path:
    """Return the file of a view's week."""
    return directory / view / f"week={week}" / "features.parquet"


def view_pattern(directory: Path, view: str) -> str:
    """Return the pattern of all files of a view, as DuckDB and Feast read it."""
    return str(view_file(directory, view, "*"))


def view_columns(schema: StoreSchema) -> dict[str, pa.Schema]:
    """Return the columns of every view's files: keys, then the features."""
    time = pa.field(TIMESTAMP, pa.timestamp("us", tz="UTC"))
    service, cluster = pa.field(SERVICE, pa.string()), pa.field(CLUSTER, pa.string())
    found = {MEMBERSHIP: pa.schema([service, time, pa.field(HOME, pa.string())])}
    for view, specs in schema.views.items():
        key = service if schema.scope(view) == "service" else cluster
        features = [pa.field(spec.name, pa.float32()) for spec in specs]
        found[view] = pa.schema([key, time, *features])
    return found


def check_files(
    directory: Path, manifest: Manifest, schema: StoreSchema, *, reading: bool = False
) -> None:
    """Raise unless the files are those of the manifest and hold the schema's columns.

    A week whose writing broke off is passed over by a writer, who will write it anew, and
    refused to a reader.

    Raises
    ------
    SchemaError
        Columns or types differ from the definitions.
    StoreError
        A file is missing, foreign (its rows would duplicate keys) or of another length.
    """
    expected = view_columns(schema)
    if manifest.schema.step != schema.step:
        raise SchemaError(
            f"feature store {directory.name}",
            seen=f"steps of {manifest.schema.step} in the files, of {schema.step} in the telemetry",
            allowed="telemetry of one clock",
            fix=REBUILD,
        )
    pending = {week for week, one in manifest.partitions.items() if one.pending}
    if pending and reading:
        raise StoreError(
            f"feature store {directory.name}, week {min(pending)}",
            seen="a write that broke off",
            allowed="weeks that were written to their end",
            fix="run `python flows/features.py` over that week again",
        )
    for path, view, rows in _known_files(directory, manifest):
        if path.parent.name.removeprefix("week=") in pending:
            continue
        if not path.is_file():
            raise StoreError(
                str(path.relative_to(directory)),
                seen="no file",
                allowed=f"the {rows:,} rows that manifest.json lists",
                fix=f"restore it, or {REBUILD}",
            )
        file = pq.ParquetFile(path)
        if view in expected:
            _check_columns(f"{directory.name}/{view}", file.schema_arrow, expected[view])
        if file.metadata.num_rows != rows:
            raise StoreError(
                str(path.relative_to(directory)),
                seen=f"{file.metadata.num_rows:,} rows: a write was interrupted, or it was changed",
                allowed=f"{rows:,} rows",
                fix=REBUILD,
            )
    missing, gone = (sorted(a - b) for a, b in _both(set(expected), set(_views(manifest))))
    if manifest.partitions and (missing or gone):
        raise SchemaError(
            f"feature store {directory.name}",
            seen=f"views in the files only: {', '.join(gone) or 'none'}; "
            f"in the definitions only: {', '.join(missing) or 'none'}",
            allowed="files of the definitions",
            fix=REBUILD,
        )
    listed = {path for path, *_ in _known_files(directory, manifest)}
    found = {*directory.glob("*/week=*/*.parquet")} - listed
    foreign = {path for path in found if path.parent.name.removeprefix("week=") not in pending}
    if foreign:
        first = min(foreign)
        raise StoreError(
            str(first.relative_to(directory)),
            seen="a file that manifest.json does not know: it may duplicate keys",
            allowed="only what `python flows/features.py` writes",
            fix=f"move the file away, or {REBUILD}",
        )


def check_version(
    known: Manifest, schema: StoreSchema, first: pd.Timestamp, last: pd.Timestamp
) -> None:
    """Raise if only a part of what is stored would get another definition.

    Raises
    ------
    SchemaError
        Names, units, lookbacks or settings of features changed since the rest was written.
    """
    if schema.version == known.schema.version or (first <= known.first and last >= known.last):
        return
    raise SchemaError(
        "feature definitions",
        seen=f"version {schema.version}, while {known.first.isoformat()} to "
        f"{known.last.isoformat()} is stored with version {known.schema.version}",
        allowed="one version in a project",
        fix=f"store the whole of that range again, or {REBUILD}",
    )


def check_range(
    panel: Panel,
    known: Manifest | None,
    schema: StoreSchema,
    start: pd.Timestamp | None,
    end: pd.Timestamp | None,
) -> tuple[int, int]:
    """Return the first and last step of the panel to store.

    Without a start, storing begins with the telemetry, or, where the store reaches further back,
    at the first moment whose history the telemetry holds in full.

    Raises
    ------
    ConfigError
        The range holds no step of the telemetry.
    InsufficientHistoryError
        The history before the range is not in the telemetry, though the store has rows there.
    StoreError
        The range does not touch what is covered: a hole would be left.
    """
    clock = pd.DatetimeIndex(panel.timestamps, tz="UTC")
    ready = _first_ready(clock, known, schema)
    begin = start if start is not None else max(clock[0], ready)
    stop = end if end is not None else clock[-1] + panel.step
    inside = (clock >= begin) & (clock < stop)
    if not inside.any():
        raise ConfigError(
            "backfill.start, backfill.end",
            seen=f"{begin.isoformat()} to {stop.isoformat()}",
            allowed=f"a range within {clock[0].isoformat()} to {clock[-1].isoformat()}",
            fix="correct the range, or give telemetry of that time",
        )
    first, last = clock[inside][0], clock[inside][-1]
    if known is not None:
        if first < ready:
            raise InsufficientHistoryError(
                "backfill.start",
                seen=f"{first.isoformat()}, while the telemetry begins {clock[0].isoformat()}",
                allowed=f"{ready.isoformat()} or later: features read "
                f"{longest_reach(schema.specs)} of history",
                fix="give telemetry that reaches further back, or start later",
            )
        if first > known.last + panel.step or last < known.first - panel.step:
            raise StoreError(
                "backfill.start, backfill.end",
                seen=f"{first.isoformat()} to {last.isoformat()}, while "
                f"{known.first.isoformat()} to {known.last.isoformat()} is stored",
                allowed="a range that touches what is stored: a hole would be left",
                fix=f"start the back-fill at {(known.last + panel.step).isoformat()} or before, "
                f"or {REBUILD}",
            )
    return int(clock.searchsorted(first)), int(clock.searchsorted(last))


def check_values(
    directory: Path, schema: StoreSchema, first: pd.Timestamp, last: pd.Timestamp
) -> None:
    """Raise unless every view holds known values in a range, both ends included.

    Raises
    ------
    StoreError
        A view has rows but no value: its telemetry was empty, or shorter than every window.
    """
    for view in schema.views:
        if not has_values(directory, schema, view, first, last):
            raise StoreError(
                f"{directory.name}/{view}",
                seen=f"no value from {first.isoformat()} to {last.isoformat()}",
                allowed="at least one known value in every view",
                fix="give telemetry with values and enough history, or leave the group out",
            )


def has_values(
    directory: Path, schema: StoreSchema, view: str, first: pd.Timestamp, last: pd.Timestamp
) -> bool:
    """Tell whether a view holds any known value in a range, both ends included."""
    known = " OR ".join(f'isfinite("{spec.name}")' for spec in schema.views[view])
    query = f"""
        SELECT 1 FROM read_parquet('{view_pattern(directory, view)}')
        WHERE {TIMESTAMP} BETWEEN $1 AND $2 AND ({known}) LIMIT 1
    """  # noqa: S608 - every part is our own
    with duckdb.connect() as connection:
        span = [first.to_pydatetime(), last.to_pydatetime()]
        return connection.execute(query, span).fetchone() is not None


def monday(moment: pd.Timestamp) -> pd.Timestamp:
    """Return the beginning of the week that a moment lies in."""
    return moment.normalize() - pd.Timedelta(days=moment.dayofweek)


def _first_ready(
    clock: pd.DatetimeIndex, known: Manifest | None, schema: StoreSchema
) -> pd.Timestamp:
    """Return the first moment whose values the telemetry alone determines as the store needs."""
    if known is None or known.first >= clock[0]:
        return clock[0]
    return clock[0] + longest_reach(schema.specs)


def _known_files(directory: Path, manifest: Manifest) -> Iterator[tuple[Path, str, int]]:
    for week, partition in manifest.partitions.items():
        for view, rows in partition.rows.items():
            yield view_file(directory, view, week), view, rows


def _views(manifest: Manifest) -> set[str]:
    return {view for partition in manifest.partitions.values() for view in partition.rows}


def _both(one: set[str], other: set[str]) -> tuple[tuple[set[str], set[str]], ...]:
    return (one, other), (other, one)


def _check_columns(place: str, found: pa.Schema, expected: pa.Schema) -> None:
    """Raise if columns or types differ, naming each with its old and new type."""
    old = dict(zip(found.names, map(str, found.types), strict=True))
    new = dict(zip(expected.names, map(str, expected.types), strict=True))
    changed = [
        f"{name} ({old.get(name, 'absent')} in the files, {new.get(name, 'absent')} defined)"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]
    if changed:
        raise SchemaError(
            place, seen="; ".join(changed), allowed="files of the definitions", fix=REBUILD
        )
