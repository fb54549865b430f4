"""Training sets from the store: both engines, the rule of point-in-time joins, and equality."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from stores import moment, moving_panel, store_of

from optimizer.core.errors import StoreError
from optimizer.core.schema import CLUSTER, SERVICE, TIMESTAMP
from optimizer.features.engine import compute_features
from optimizer.features.storage import load_features
from optimizer.features.store import retrieval
from optimizer.features.store.feast_objects import INFERENCE, REALTIME, TRAINING
from optimizer.features.store.partitions import store_range
from optimizer.features.store.retrieval import (
    ROW,
    fetch_with_duckdb,
    fetch_with_feast,
    retrieve_training_set,
)
from optimizer.features.store.store import FeatureStore

PANEL = moving_panel(5, 24 * 15)
ENGINES = {"feast": fetch_with_feast, "duckdb": fetch_with_duckdb}
ROWS = {"feast": 10**9, "duckdb": 0}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    found = store_of(tmp_path_factory.mktemp("store"), PANEL)
    store_range(found.directory, PANEL, found.schema)
    found.register()
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_training_set_equals_the_panels_own_features(
    store: FeatureStore, tmp_path: Path, engine: str
) -> None:
    settings = {"feast_rows": ROWS[engine]}
    chosen = store_of(Path(store.settings.feast).parent, PANEL, **settings)
    found = load_features(retrieve_training_set(chosen, PANEL, tmp_path / engine))
    want = compute_features(PANEL, store.schema.groups)
    assert found.specs == want.specs
    np.testing.assert_array_equal(found.service, want.service)
    np.testing.assert_array_equal(found.step, want.step)
    np.testing.assert_array_equal(np.isnan(found.values), np.isnan(want.values))
    scale = np.maximum(1, np.abs(want.values))
    assert np.nanmax(np.abs(found.values - want.values) / scale) < 1e-5


def odd_keys() -> pa.Table:
    """Return moments off the grid, long after the last row, before the first, and a stranger."""
    rng = np.random.default_rng(5)
    n = 400
    at = rng.integers(-6, PANEL.n_steps + 10, n)
    times = PANEL.timestamps[0] + at * np.timedelta64(1, "h") + np.timedelta64(7, "m") * (at % 3)
    names = [*PANEL.services, "stranger"]
    frame = pd.DataFrame(
        {
            SERVICE: [names[i] for i in rng.integers(0, len(names), n)],
            CLUSTER: [PANEL.cluster_names[i] for i in rng.integers(0, 2, n)],
            TIMESTAMP: pd.DatetimeIndex(times, tz="UTC").as_unit("us"),
            ROW: np.arange(n),
        }
    )
    return pa.Table.from_pandas(frame, preserve_index=False)


def known_then(store: FeatureStore, keys: pa.Table) -> np.ndarray:
    """Return what the rule says, row by row: the newest row at or before, within the ttl."""
    table = compute_features(PANEL, store.schema.groups)
    names, scope = table.names, {s.name: s.scope for s in table.specs}
    clock = pd.DatetimeIndex(PANEL.timestamps, tz="UTC")
    homes = PANEL.clusters[table.service, table.step]
    out = np.full((len(names), len(keys)), np.nan, dtype=np.float32)
    for row, key in enumerate(keys.to_pylist()):
        own = np.array([PANEL.services[i] == key[SERVICE] for i in table.service])
        mates = np.array([PANEL.cluster_names[i] == key[CLUSTER] for i in homes])
        for index, name in enumerate(names):
            of = own if scope[name] == "service" else mates
            past = np.flatnonzero(of & (clock[table.step] <= key[TIMESTAMP]))
            if len(past):
                newest = past[np.argmax(table.step[past])]
                if key[TIMESTAMP] - clock[table.step[newest]] <= store.ttl:
                    out[index, row] = table.values[index, newest]
    return out


@pytest.mark.parametrize("engine", ENGINES)
def test_engine_follows_the_rule_of_point_in_time(store: FeatureStore, engine: str) -> None:
    keys = odd_keys().slice(0, 120)
    out = np.full((len(store.schema.specs), len(keys)), np.nan, dtype=np.float32)
    ENGINES[engine](store, keys, out)
    want = known_then(store, keys)
    stored = [i for i, spec in enumerate(store.schema.specs) if not spec.inputs]
    np.testing.assert_allclose(out[stored], want[stored], rtol=1e-5, atol=1e-5)
    assert np.isnan(want).any()
    assert np.isfinite(want).any()


def test_engines_agree_to_the_last_bit_on_any_rows(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieval, "CHUNK_ROWS", 90)
    keys = odd_keys()
    found = [np.full((len(store.schema.specs), len(keys)), np.nan, np.float32) for _ in ENGINES]
    for engine, out in zip(ENGINES.values(), found, strict=True):
        engine(store, keys, out)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("rows", [1, 150_000, 150_001])
def test_engine_switches_at_the_stated_size(store: FeatureStore, rows: int) -> None:
    want = fetch_with_feast if rows <= 150_000 else fetch_with_duckdb
    assert retrieval.choose_engine(store, rows) is want


def test_training_set_of_a_service_unknown_to_the_store_names_it(
    store: FeatureStore, tmp_path: Path
) -> None:
    from dataclasses import replace

    other = replace(PANEL, services=(*PANEL.services[:-1], "svc-new"))
    with pytest.raises(StoreError, match=r"first service svc-new at 2024-01-08"):
        retrieve_training_set(store, other, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_training_set_from_a_store_that_lost_a_file_names_it(tmp_path: Path) -> None:
    part = store_of(tmp_path, PANEL)
    store_range(part.directory, PANEL, part.schema)
    min((part.directory / "workload_features").rglob("*.parquet")).unlink()
    with pytest.raises(StoreError, match=r"workload_features/week=.*no file"):
        retrieve_training_set(part, PANEL, tmp_path / "set")


def test_training_set_of_a_time_that_was_not_stored_names_it(tmp_path: Path) -> None:
    part = store_of(tmp_path, PANEL)
    store_range(part.directory, PANEL, part.schema, None, moment(PANEL, 200))
    with pytest.raises(StoreError, match=r"run `python flows/features\.py` over that time"):
        retrieve_training_set(part, PANEL, tmp_path / "set")


def test_definitions_are_those_of_the_specs(store: FeatureStore) -> None:
    from feast.types import Float32

    schema = store.schema
    for view, specs in schema.views.items():
        found = store.feast.get_feature_view(view)
        assert {field.name for field in found.features} == {spec.name for spec in specs}
        assert all(field.dtype == Float32 for field in found.features)
        assert found.entities == [schema.scope(view)]
        assert found.ttl == store.ttl
    named = {
        TRAINING: {spec.name for spec in schema.specs},
        INFERENCE: {spec.name for spec in schema.specs},
        REALTIME: {s.name for s in schema.specs if not s.inputs} | {"cluster"},
    }
    for name, wanted in named.items():
        service = store.feast.get_feature_service(name)
        members = {f.name for p in service.feature_view_projections for f in p.features}
        assert members == wanted
        assert service.tags == {"version": schema.version}
    views = {"workload_features", "rolling_features", "lag_features", "cluster_features"}
    assert views | {"temporal_features", "interaction_features"} <= set(store.objects)


def test_apply_removes_what_is_no_longer_defined(tmp_path: Path) -> None:
    whole = store_of(tmp_path, PANEL)
    whole.register()
    fewer = store_of(tmp_path, PANEL, choice="no_calendar")
    fewer.register()
    names = {view.name for view in fewer.feast.list_batch_feature_views()}
    assert "temporal_features" not in names
    assert "rolling_features" in names


def test_version_changes_with_any_spec(store: FeatureStore) -> None:
    versions = {store_of_version(choice) for choice in ("full", "no_calendar", "core", "minimal")}
    assert len(versions) == 4


def test_store_of_another_version_than_the_model_says_both(store: FeatureStore) -> None:
    store.require_version(store.schema.version)
    with pytest.raises(StoreError, match=rf"version {store.schema.version}\. .*version 0badcafe"):
        store.require_version("0badcafe")


def store_of_version(choice: str) -> str:
    from stores import schema_of

    return schema_of(PANEL, choice).version
