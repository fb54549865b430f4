"""The offline store: ranges of time, written once, whole or not at all."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from stores import moment, moving_panel, schema_of

from optimizer.core.errors import ConfigError, InsufficientHistoryError, SchemaError, StoreError
from optimizer.core.panel import Panel
from optimizer.core.schema import CLUSTER, SERVICE, TIMESTAMP
from optimizer.features.engine import compute_features
from optimizer.features.store import weeks
from optimizer.features.store.integrity import (
    HOME,
    MEMBERSHIP,
    check_files,
    check_values,
    view_pattern,
)
from optimizer.features.store.manifest import read_manifest
from optimizer.features.store.partitions import store_range

PANEL = moving_panel()
SCHEMA = schema_of(PANEL)


def rows_of(directory: Path, view: str) -> pd.DataFrame:
    pattern = view_pattern(directory, view)
    query = f"SELECT * FROM read_parquet('{pattern}', hive_partitioning = false) ORDER BY 1, 2"
    frame = duckdb.sql(query).df()
    return frame.assign(event_timestamp=frame[TIMESTAMP].dt.tz_convert("UTC"))


def digest(directory: Path) -> dict[str, str]:
    files = sorted(directory.rglob("*.parquet"))
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_store_holds_the_panels_own_values(tmp_path: Path) -> None:
    store_range(tmp_path, PANEL, SCHEMA)
    table = compute_features(PANEL, SCHEMA.groups)
    column = dict(zip(table.names, table.values, strict=True))
    names = np.array(PANEL.services)[table.service]
    times = pd.DatetimeIndex(PANEL.timestamps[table.step], tz="UTC")
    homes = np.array(PANEL.cluster_names)[PANEL.clusters[table.service, table.step]]
    keys = pd.DataFrame(
        {SERVICE: names, TIMESTAMP: times, CLUSTER: homes, "row": range(len(names))}
    )
    for view, specs in SCHEMA.views.items():
        found = keys.merge(rows_of(tmp_path, view), how="left").sort_values("row")
        for spec in specs:
            want, have = column[spec.name], found[spec.name].to_numpy()
            np.testing.assert_array_equal(np.isnan(have), np.isnan(want))
            scale = np.maximum(1, np.abs(want))
            assert np.nanmax(np.abs(have - want) / scale, initial=0) < 1e-5, spec.name
    membership = keys.merge(rows_of(tmp_path, MEMBERSHIP), how="left")
    assert (membership[HOME] == membership[CLUSTER]).all()


def test_store_again_changes_nothing(tmp_path: Path) -> None:
    first = store_range(tmp_path, PANEL, SCHEMA)
    before = digest(tmp_path)
    again = store_range(tmp_path, PANEL, SCHEMA)
    assert (again.written, again.kept) == ((), first.written)
    assert digest(tmp_path) == before


@pytest.mark.parametrize("cuts", [[100, 101, 333], [168], [7, 300]])
def test_store_in_pieces_and_in_any_order_is_the_whole(tmp_path: Path, cuts: list[int]) -> None:
    store_range(tmp_path / "whole", PANEL, SCHEMA)
    edges = [0, *cuts, PANEL.n_steps]
    pieces = list(pairwise(edges))
    for lo, hi in [*pieces[1:], pieces[0], pieces[-1]]:
        end = None if hi == PANEL.n_steps else moment(PANEL, hi)
        store_range(tmp_path / "parts", PANEL, SCHEMA, moment(PANEL, lo), end)
    for view in (*SCHEMA.views, MEMBERSHIP):
        whole, parts = (rows_of(tmp_path / name, view) for name in ("whole", "parts"))
        pd.testing.assert_frame_equal(whole, parts, check_exact=True)


def test_store_of_the_past_ignores_the_future(tmp_path: Path) -> None:
    cut = 400
    values = PANEL.values.copy()
    values[:, :, cut:] = 9.0
    store_range(tmp_path / "one", PANEL, SCHEMA)
    store_range(tmp_path / "other", replace(PANEL, values=values), SCHEMA)
    for view in SCHEMA.views:
        one, other = (rows_of(tmp_path / name, view) for name in ("one", "other"))
        past = one[TIMESTAMP] < moment(PANEL, cut)
        pd.testing.assert_frame_equal(one[past], other[past], check_exact=True)


def test_store_later_telemetry_continues_where_it_has_the_history(tmp_path: Path) -> None:
    store_range(tmp_path / "whole", PANEL, SCHEMA)
    store_range(tmp_path / "parts", PANEL.between(0, 480), SCHEMA)
    tail = PANEL.between(30, PANEL.n_steps)
    done = store_range(tmp_path / "parts", tail, SCHEMA)
    assert done.first > moment(tail, 0)
    for view in SCHEMA.views:
        whole, parts = (rows_of(tmp_path / name, view) for name in ("whole", "parts"))
        pd.testing.assert_frame_equal(whole, parts, rtol=1e-5, atol=1e-5)


def test_store_without_the_history_of_a_range_says_so(tmp_path: Path) -> None:
    store_range(tmp_path, PANEL.between(0, 480), SCHEMA)
    tail = PANEL.between(470, PANEL.n_steps)
    with pytest.raises(InsufficientHistoryError, match=r"backfill.start: got .*telemetry begins"):
        store_range(tmp_path, tail, SCHEMA, moment(tail, 0))


@pytest.mark.parametrize(("lo", "hi"), [(500, 560), (0, 30)])
def test_store_leaving_a_hole_is_refused(tmp_path: Path, lo: int, hi: int) -> None:
    store_range(tmp_path, PANEL, SCHEMA, moment(PANEL, 200), moment(PANEL, 400))
    before = digest(tmp_path)
    with pytest.raises(StoreError, match="a hole would be left"):
        store_range(tmp_path, PANEL, SCHEMA, moment(PANEL, lo), moment(PANEL, hi))
    assert digest(tmp_path) == before


def test_store_of_an_empty_range_names_both_ends(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"backfill.start, backfill.end: got 2031"):
        store_range(tmp_path, PANEL, SCHEMA, pd.Timestamp("2031-01-01", tz="UTC"))


def test_store_interrupted_covers_what_was_written_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = weeks._write_week, []

    def broken(*args: object) -> dict[str, int]:
        calls.append(args)
        if len(calls) == 3:
            raise OSError("disk full")
        return write(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(weeks, "_write_week", broken)
    with pytest.raises(OSError, match="disk full"):
        store_range(tmp_path / "parts", PANEL, SCHEMA)
    known = read_manifest(tmp_path / "parts")
    assert known is not None
    assert [one.pending for one in known.partitions.values()] == [False, False, True]
    assert known.last < moment(PANEL, PANEL.n_steps - 1)
    done = store_range(tmp_path / "parts", PANEL, SCHEMA)
    assert len(done.kept) == 2
    store_range(tmp_path / "whole", PANEL, SCHEMA)
    assert digest(tmp_path / "parts") == digest(tmp_path / "whole")


def test_store_broken_off_within_a_week_is_refused_to_readers_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = PANEL.between(0, 200)  # ends within a week, to which the next run appends
    store_range(tmp_path / "parts", half, SCHEMA)
    replace_rows, calls = weeks._replace_rows, []

    def broken(*args: object) -> int:
        calls.append(args)
        if len(calls) == 3:
            raise OSError("disk full")
        return replace_rows(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(weeks, "_replace_rows", broken)
    with pytest.raises(OSError, match="disk full"):
        store_range(tmp_path / "parts", PANEL, SCHEMA, moment(PANEL, 200))
    known = read_manifest(tmp_path / "parts")
    assert known is not None
    assert known.last == moment(PANEL, 199)
    with pytest.raises(StoreError, match="a write that broke off"):
        check_files(tmp_path / "parts", known, SCHEMA, reading=True)
    monkeypatch.undo()
    store_range(tmp_path / "parts", PANEL, SCHEMA, moment(PANEL, 200))
    store_range(tmp_path / "whole", PANEL, SCHEMA)
    for view in (*SCHEMA.views, MEMBERSHIP):
        whole, parts = (rows_of(tmp_path / name, view) for name in ("whole", "parts"))
        pd.testing.assert_frame_equal(whole, parts, check_exact=True)


def test_store_of_another_definition_for_a_part_is_refused(tmp_path: Path) -> None:
    store_range(tmp_path, PANEL, SCHEMA)
    changed = {**SCHEMA.nodes, "seasonal": {**SCHEMA.nodes["seasonal"], "lead": "3h"}}
    other = replace(SCHEMA, nodes=changed)
    with pytest.raises(SchemaError, match="is stored with version"):
        store_range(tmp_path, PANEL, other, moment(PANEL, 300))
    store_range(tmp_path, PANEL, other)
    known = read_manifest(tmp_path)
    assert known is not None
    assert known.schema.version == other.version


def test_store_of_a_range_without_any_value_is_told(tmp_path: Path) -> None:
    store_range(tmp_path, PANEL.between(0, 400), SCHEMA)
    check_values(tmp_path, SCHEMA, moment(PANEL, 0), moment(PANEL, 399))
    values = PANEL.values.copy()
    values[:, :, 400:] = np.nan
    store_range(tmp_path, replace(PANEL, values=values), SCHEMA, moment(PANEL, 400))
    with pytest.raises(StoreError, match=r"workload_features: got no value from"):
        check_values(tmp_path, SCHEMA, moment(PANEL, 400), moment(PANEL, PANEL.n_steps - 1))


def test_store_rows_unique_keys(tmp_path: Path) -> None:
    store_range(tmp_path, PANEL, SCHEMA)
    for view in (*SCHEMA.views, MEMBERSHIP):
        frame = rows_of(tmp_path, view)
        assert not frame.duplicated(list(frame.columns[:2])).any()


def test_store_of_other_features_names_columns_and_types(tmp_path: Path) -> None:
    store_range(tmp_path, PANEL, SCHEMA)
    fewer = replace(PANEL, values=PANEL.values[:2], metrics=PANEL.metrics[:2])
    with pytest.raises(SchemaError) as caught:
        store_range(tmp_path, fewer, schema_of(fewer))
    assert "request_rate (float in the files, absent defined)" in str(caught.value.seen)
    assert "store.rebuild=true" in caught.value.fix


def test_store_of_another_type_names_both(tmp_path: Path) -> None:
    store_range(tmp_path, PANEL, SCHEMA)
    path = min((tmp_path / "lag_features").rglob("*.parquet"))
    table = pq.ParquetFile(path).read()
    name = f"{PANEL.metrics[0]}_lag_1"
    position = table.column_names.index(name)
    pq.write_table(table.set_column(position, name, table[name].cast("float64")), path)
    with pytest.raises(SchemaError, match=rf"{name} \(double in the files, float defined\)"):
        store_range(tmp_path, PANEL, SCHEMA)


def test_store_of_another_clock_is_refused(tmp_path: Path) -> None:
    store_range(tmp_path, PANEL, SCHEMA)
    other = replace(PANEL, step=pd.Timedelta("30min"))
    with pytest.raises(SchemaError, match="telemetry of one clock"):
        store_range(tmp_path, other, schema_of(other))


def spoil_missing(path: Path) -> None:
    path.unlink()


def spoil_short(path: Path) -> None:
    pq.write_table(pq.ParquetFile(path).read().slice(1), path)


def spoil_foreign(path: Path) -> None:
    (path.parent / "copy.parquet").write_bytes(path.read_bytes())


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (spoil_missing, "no file"),
        (spoil_short, "a write was interrupted, or it was changed"),
        (spoil_foreign, "it may duplicate keys"),
    ],
)
def test_store_with_a_spoilt_file_names_it(tmp_path: Path, spoil: object, told: str) -> None:
    store_range(tmp_path, PANEL, SCHEMA)
    spoil(min((tmp_path / "rolling_features").rglob("*.parquet")))  # type: ignore[operator]
    with pytest.raises(StoreError, match="rolling_features/week=") as caught:
        store_range(tmp_path, PANEL, SCHEMA)
    assert told in str(caught.value.seen)


def test_store_rebuilt_is_as_if_never_spoilt(tmp_path: Path) -> None:
    store_range(tmp_path / "new", PANEL, SCHEMA)
    fewer = replace(PANEL, values=PANEL.values[:2], metrics=PANEL.metrics[:2])
    store_range(tmp_path / "old", fewer, schema_of(fewer))
    store_range(tmp_path / "old", PANEL, SCHEMA, rebuild=True)
    assert digest(tmp_path / "old") == digest(tmp_path / "new")


def test_store_changed_telemetry_rewrites_only_what_depends_on_it(tmp_path: Path) -> None:
    store_range(tmp_path, PANEL, SCHEMA)
    values = PANEL.values.copy()
    values[0, 0, -3] = 0.123
    changed: Panel = replace(PANEL, values=values)
    done = store_range(tmp_path, changed, SCHEMA)
    assert len(done.written) == 1
    store_range(tmp_path.with_name("fresh"), changed, SCHEMA)
    assert digest(tmp_path) == digest(tmp_path.with_name("fresh"))
