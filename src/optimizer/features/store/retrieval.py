"""Training sets from the feature store: what was known of each service at each moment.

The rule is Feast's: per view the newest row at or before the moment, if it is no older than the
ttl. Up to ``store.feast_rows`` rows Feast itself joins. Above, its plan, which carries every
column through every join, takes many times as long; DuckDB then does the same join view by view
and piece by piece.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from optimizer.core.artifacts import ArtifactRef, refer, write_directory, write_json
from optimizer.core.errors import StoreError
from optimizer.core.panel import FloatArray, Panel
from optimizer.core.schema import CLUSTER, SERVICE, TIMESTAMP
from optimizer.features.engine import derive_features
from optimizer.features.store.feast_objects import KEYS, TRAINING
from optimizer.features.store.integrity import MEMBERSHIP, REBUILD, check_files, view_pattern
from optimizer.features.store.manifest import locked, require_manifest
from optimizer.features.store.store import FeatureStore, attempt, duckdb_session

ROW, AGE = "row", "age"
CHUNK_ROWS = 1_000_000
"""Rows that DuckDB joins at a time, about: some 200 MB a view."""


def retrieve_training_set(store: FeatureStore, panel: Panel, directory: Path) -> ArtifactRef:
    """Write the features of every present row of the panel, as the store knew them.

    Parameters
    ----------
    store : FeatureStore
        Its offline partitions must cover the panel.
    panel : Panel
        Gives the rows: service, cluster and moment of each.
    directory : pathlib.Path
        Receives ``values.npy`` (feature-major), ``rows.npz`` and ``specs.json``; all or nothing.

    Returns
    -------
    ArtifactRef
        Refers to ``values.npy``; rows are sorted by service, then step, as in the panel.

    Raises
    ------
    StoreError
        A row is unknown to the store.
    """
    service, step = (index.astype(np.int32) for index in np.nonzero(panel.present))
    keys = entity_rows(panel, service, step)
    specs = store.schema.specs
    with locked(store.directory, reading=True), write_directory(directory) as draft:
        check_stored(store)
        check_known(store, keys)
        values = np.lib.format.open_memmap(
            draft / "values.npy", mode="w+", dtype=np.float32, shape=(len(specs), len(keys))
        )
        fetch = choose_engine(store, len(keys))
        fetch(store, keys, values)
        values.flush()
        np.savez(draft / "rows.npz", service=service, step=step)
        write_json(draft / "specs.json", [spec.to_dict() for spec in specs])
        del values
    return refer(directory / "values.npy")


def choose_engine(
    store: FeatureStore, rows: int
) -> Callable[[FeatureStore, pa.Table, FloatArray], None]:
    """Return who joins: Feast up to ``store.feast_rows``, DuckDB above."""
    return fetch_with_feast if rows <= store.settings.feast_rows else fetch_with_duckdb


def entity_rows(panel: Panel, service: NDArray[np.int32], step: NDArray[np.int32]) -> pa.Table:
    """Return the keys and moments of rows, with their number: joins do not keep the order."""
    home = panel.clusters[service, step]
    return pa.table(
        {
            SERVICE: _named(panel.services, service),
            CLUSTER: _named(panel.cluster_names, home),
            TIMESTAMP: pa.array(panel.timestamps[step]).cast(pa.timestamp("us", tz="UTC")),
            ROW: pa.array(np.arange(len(service), dtype=np.int64)),
        }
    )


def _named(names: tuple[str, ...], codes: NDArray[np.int32]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(names)).cast(pa.string())


def fetch_with_feast(store: FeatureStore, keys: pa.Table, out: FloatArray) -> None:
    """Fill ``out``, shape ``(n_features, n_rows)``, by Feast's point-in-time join."""
    service = attempt(lambda: store.feast.get_feature_service(TRAINING), "registry")
    with duckdb_session():
        found = store.feast.get_historical_features(keys.to_pandas(), service).to_arrow()
        order = found[ROW].to_numpy()
        _check_rows(order, len(keys))
        for index, spec in enumerate(store.schema.specs):
            out[index, order] = found[spec.name].to_numpy()
        del found


def fetch_with_duckdb(store: FeatureStore, keys: pa.Table, out: FloatArray) -> None:
    """Fill ``out``, shape ``(n_features, n_rows)``, by ASOF joins, view by view."""
    schema, place = store.schema, {spec.name: i for i, spec in enumerate(store.schema.specs)}
    with duckdb.connect() as connection:
        for start, size in _pieces(len(keys)):
            part = keys.slice(start, size)
            part = part.set_column(3, ROW, pa.array(np.arange(len(part), dtype=np.int64)))
            connection.register("entities", part)
            rows = out[:, start : start + size]
            for view, specs in schema.views.items():
                names = [spec.name for spec in specs]
                query, bounds = asof_query(store, view, names, part)
                found = connection.sql(query, params=bounds).to_arrow_table()
                _place_rows(found, names, [rows[place[name]] for name in names], store.ttl)
            connection.unregister("entities")
            for name, values in derive_features(schema.derived, partial(_row_of, rows, place)):
                rows[place[name]] = values


def _pieces(rows: int) -> list[tuple[int, int]]:
    """Return start and length of pieces of about the same size: each reads every file anew."""
    size = -(-rows // max(1, round(rows / CHUNK_ROWS)))
    return [(start, min(size, rows - start)) for start in range(0, rows, size)]


def _place_rows(
    found: pa.Table, names: list[str], out: list[FloatArray], ttl: pd.Timedelta
) -> None:
    """Write what a join found in the order of the entities; too old a value is none."""
    order = found[ROW].to_numpy()
    _check_rows(order, len(out[0]))
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    stale = np.flatnonzero(found[AGE].to_numpy()[back] > ttl // pd.Timedelta(microseconds=1))

    def fill(name: str, row: FloatArray) -> None:
        np.take(found[name].to_numpy(), back, out=row, mode="clip")
        row[stale] = np.nan

    with ThreadPoolExecutor() as pool:  # numpy lets go of the interpreter while it copies
        list(pool.map(fill, names, out))


def asof_query(
    store: FeatureStore, view: str, names: list[str], part: pa.Table
) -> tuple[str, list[Any]]:
    """Return the point-in-time join of the table ``entities`` with one view, and its arguments.

    Parameters
    ----------
    store : FeatureStore
        Gives the files and the ttl.
    view : str
        The view.
    names : list of str
        Its features.
    part : pyarrow.Table
        The entities: their keys and moments bound what is read.
    """
    key = KEYS[store.schema.scope(view)]
    times, names_of = (pc.min_max(part[column]).as_py() for column in (TIMESTAMP, key))
    columns = ", ".join(f'f."{name}"' for name in names)
    query = f"""
        SELECT e.{ROW}, epoch_us(e.{TIMESTAMP}) - epoch_us(f.{TIMESTAMP}) AS {AGE}, {columns}
        FROM entities e ASOF LEFT JOIN (
            SELECT * FROM read_parquet('{view_pattern(store.directory, view)}')
            WHERE {TIMESTAMP} BETWEEN $1 AND $2 AND {key} BETWEEN $3 AND $4
        ) f ON e.{key} = f.{key} AND e.{TIMESTAMP} >= f.{TIMESTAMP}
    """  # noqa: S608 - every part is our own
    begin = times["min"] - store.ttl.to_pytimedelta()
    return query, [begin, times["max"], names_of["min"], names_of["max"]]


def check_stored(store: FeatureStore) -> None:
    """Raise unless the offline store is whole and of the schema's version.

    Raises
    ------
    StoreError, SchemaError
        Nothing is stored, a write broke off, or files are missing, foreign or of other columns.
    """
    manifest = require_manifest(store.directory)
    check_files(store.directory, manifest, store.schema, reading=True)
    store.require_version(manifest.schema.version)


def check_known(store: FeatureStore, keys: pa.Table) -> None:
    """Raise unless the store has a row of its own for every entity and moment.

    Raises
    ------
    StoreError
        A service or a moment is unknown to the store.
    """
    pattern = view_pattern(store.directory, MEMBERSHIP)
    query = f"""
        SELECT {SERVICE}, {TIMESTAMP}, count(*) OVER () FROM entities
        ANTI JOIN read_parquet('{pattern}') USING ({SERVICE}, {TIMESTAMP})
        ORDER BY 1, 2 LIMIT 1
    """  # noqa: S608 - every part is our own
    with duckdb.connect() as connection:
        connection.register("entities", keys)
        unknown = connection.execute(query).fetchone()
    if unknown is not None:
        service, moment, count = unknown
        raise StoreError(
            f"feature store {store.project}",
            seen=f"no row of {count:,} of the {len(keys):,} wanted, first service {service} at "
            f"{pd.Timestamp(moment).tz_convert('UTC').isoformat()}",
            allowed="services and moments that were stored",
            fix=f"run `python flows/features.py` over that time, or {REBUILD}",
        )


def _row_of(rows: FloatArray, place: dict[str, int], name: str) -> FloatArray:
    row: FloatArray = rows[place[name]]
    return row


def _check_rows(order: NDArray[np.int64], wanted: int) -> None:
    """Raise if a join did not give each wanted row once."""
    met = np.zeros(wanted, dtype=bool)
    met[order] = True
    if len(order) != wanted or not met.all():
        raise StoreError(
            "feature store",
            seen=f"{len(order):,} rows, {int(met.sum()):,} of them distinct, for {wanted:,} wanted",
            allowed="one row for each: keys are unique",
            fix=REBUILD,
        )
