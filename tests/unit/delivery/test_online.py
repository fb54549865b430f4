"""Reads from the online store: values, ages, and what is said when something is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from stores import moment, moving_panel, store_of

from optimizer.core.config import CONF_DIR
from optimizer.core.errors import ConfigError, StoreError
from optimizer.delivery.serving.freshness import freshness_figures, measure_freshness, newest_online
from optimizer.delivery.serving.online import (
    AHEAD,
    FRESH,
    MIXED,
    STALE,
    UNKNOWN,
    OnlineReader,
    check_online,
)
from optimizer.features.engine import compute_features
from optimizer.features.store import store as feature_store
from optimizer.features.store.partitions import store_range
from optimizer.features.store.store import FeatureStore

PANEL = moving_panel(5, 24 * 15)
NOW = moment(PANEL, PANEL.n_steps - 1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return filled(tmp_path_factory.mktemp("store"))


def filled(home: Path) -> FeatureStore:
    found = store_of(home, PANEL)
    store_range(found.directory, PANEL, found.schema)
    found.register()
    found.materialize(NOW)
    return found


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_store, "PAUSE_SECONDS", 0.0)


def test_read_gives_the_newest_batch_values(store: FeatureStore) -> None:
    found = OnlineReader(store).read(PANEL.services, NOW)
    table = compute_features(PANEL, store.schema.groups)
    want = table.values[:, table.step == PANEL.n_steps - 1]
    assert found.names == table.names
    assert set(found.status) == {FRESH}
    assert (found.timestamps == PANEL.timestamps[-1]).all()
    np.testing.assert_array_equal(np.isnan(found.values), np.isnan(want))
    np.testing.assert_allclose(found.values, want, rtol=1e-5, atol=1e-5)


def test_read_keeps_the_order_and_repeats(store: FeatureStore) -> None:
    names = [PANEL.services[3], PANEL.services[0], PANEL.services[3]]
    found = OnlineReader(store).read(names, NOW)
    alone = OnlineReader(store).read([PANEL.services[3]], NOW)
    assert found.services == tuple(names)
    np.testing.assert_array_equal(found.values[:, 0], found.values[:, 2])
    np.testing.assert_array_equal(found.values[:, 0], alone.values[:, 0])
    frame = found.frame()
    assert list(frame.columns[:3]) == ["service_id", "event_timestamp", "status"]
    assert list(frame["service_id"]) == names


def test_read_past_the_ttl_says_so_and_serves_nothing(store: FeatureStore) -> None:
    reader, late = OnlineReader(store), NOW + store.ttl + pd.Timedelta("1s")
    assert set(reader.read(PANEL.services, NOW + store.ttl).status) == {FRESH}
    found = reader.read(PANEL.services, late)
    assert set(found.status) == {STALE}
    assert np.isnan(found.values).all()
    with pytest.raises(StoreError, match=r"service svc-000: got stale features of 2024-"):
        found.require_fresh()
    kept = reader.read(PANEL.services, late, allow_stale=True)
    assert set(kept.status) == {STALE}
    assert np.isfinite(kept.values).any()


def test_read_before_the_stored_moment_serves_nothing(store: FeatureStore) -> None:
    found = OnlineReader(store).read(PANEL.services, NOW - pd.Timedelta("1s"))
    assert set(found.status) == {AHEAD}
    assert np.isnan(found.values).all()
    assert {one.stale for one in measure_freshness(store, NOW - pd.Timedelta("1s"))} == {1.0}


def test_reader_for_a_model_of_other_features_is_refused(store: FeatureStore) -> None:
    OnlineReader(store, store.schema.version)
    with pytest.raises(StoreError, match="which the model was trained on"):
        OnlineReader(store, "0badcafe")


def test_newest_online_is_the_newest_moment_of_any_service(store: FeatureStore) -> None:
    assert newest_online(store) == NOW


@pytest.mark.parametrize(
    ("services", "now", "offender"),
    [
        ("svc-000", NOW, "services"),
        ([], NOW, "services"),
        (["svc-000"], NOW.tz_localize(None), "now"),
        (["svc-000"], "2024-01-20", "now"),
    ],
)
def test_read_of_a_wrong_question_names_it(
    store: FeatureStore, services: Any, now: Any, offender: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        OnlineReader(store).read(services, now)
    assert caught.value.offender == offender


def test_freshness_counts_services_that_fell_silent_long_ago(tmp_path: Path) -> None:
    silent = replace(PANEL, present=PANEL.present.copy(), values=PANEL.values.copy())
    silent.present[0, 100:] = False
    silent.values[:, 0, 100:] = np.nan
    found = store_of(tmp_path, silent)
    store_range(found.directory, silent, found.schema)
    found.register()
    found.materialize(NOW)
    told = {one.view: one for one in measure_freshness(found, NOW)}
    assert told["lag_features"].entities == 5
    assert told["lag_features"].stale == pytest.approx(0.2)


def test_read_of_an_unknown_service_says_so(store: FeatureStore) -> None:
    found = OnlineReader(store).read([PANEL.services[0], "stranger"], NOW)
    assert found.status == (FRESH, UNKNOWN)
    assert np.isnan(found.values[:, 1]).all()
    assert np.isnat(found.timestamps[1])
    with pytest.raises(StoreError, match="service stranger: got unknown features"):
        found.require_fresh()


def test_read_after_an_interrupted_write_is_mixed(tmp_path: Path) -> None:
    found = store_of(tmp_path, PANEL)
    store_range(found.directory, PANEL, found.schema)
    found.register()
    found.materialize(moment(PANEL, PANEL.n_steps - 2))
    begin = (NOW - pd.Timedelta("24h")).to_pydatetime()
    found.feast.materialize(begin, NOW.to_pydatetime(), ["workload_features"])
    read = OnlineReader(found).read(PANEL.services, NOW)
    assert MIXED in read.status
    assert np.isnan(read.values[:, [s == MIXED for s in read.status]]).all()
    found.materialize(NOW)
    assert set(OnlineReader(found).read(PANEL.services, NOW).status) == {FRESH}


def test_read_of_a_service_that_moved_is_of_its_new_cluster(store: FeatureStore) -> None:
    reader = OnlineReader(store)
    reader._homes = dict.fromkeys(PANEL.services, PANEL.cluster_names[0])
    found = reader.read(PANEL.services, NOW)
    want = OnlineReader(store).read(PANEL.services, NOW)
    np.testing.assert_array_equal(found.values, want.values)


def test_materialize_before_apply_tells_which_views_are_missing(tmp_path: Path) -> None:
    found = store_of(tmp_path, PANEL)
    store_range(found.directory, PANEL, found.schema)
    with pytest.raises(StoreError) as caught:
        found.materialize(NOW)
    assert "written: no view; not yet: membership_features" in str(caught.value.seen)


def test_store_without_its_yaml_names_the_file(tmp_path: Path) -> None:
    found = store_of(tmp_path, PANEL, feast=str(tmp_path / "absent.yaml"))
    with pytest.raises(StoreError, match=r"store\.feast: got no file .*absent\.yaml"):
        found.register()


def test_store_with_an_unset_variable_names_it(tmp_path: Path) -> None:
    yaml = CONF_DIR.parent / "feature_repo" / "feature_store.production.yaml"
    with pytest.raises(StoreError, match=r"OPTIMIZER_PROJECT, .*OPTIMIZER_REDIS not set"):
        store_of(tmp_path, PANEL, feast=str(yaml)).register()


def test_read_without_a_registry_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"feature store: online store: got FeatureViewNotFound"):
        OnlineReader(store_of(tmp_path, PANEL)).read(["svc-000"], NOW)


def test_unreachable_registry_is_tried_again_then_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = store_of(tmp_path, PANEL)
    text = Path(found.settings.feast).read_text()
    lines = "registry_type: sql\n  path: postgresql+psycopg://nobody@127.0.0.1:1/x"
    Path(found.settings.feast).write_text(text.replace("path: data/registry.db", lines))
    with pytest.raises(StoreError, match="feature store: registry: got OperationalError"):
        found.register()
    assert caplog.text.count("trying again") == 2


def test_check_online_refuses_what_did_not_arrive(tmp_path: Path) -> None:
    found = store_of(tmp_path, PANEL)
    store_range(found.directory, PANEL, found.schema)
    found.register()
    found.materialize(moment(PANEL, 100))
    with pytest.raises(StoreError, match="online store of fleet: got stale"):
        check_online(found, NOW)


def test_freshness_counts_ages_and_shares(store: FeatureStore) -> None:
    found = {one.view: one for one in measure_freshness(store, NOW)}
    assert set(found) == {*store.schema.views, "membership_features"}
    assert all(one.age == pd.Timedelta(0) and one.stale == 0 for one in found.values())
    assert found["rolling_features"].entities == 5
    assert found["cluster_features"].entities == 2
    later = measure_freshness(store, NOW + pd.Timedelta("4h"))
    assert {one.age for one in later} == {pd.Timedelta("4h")}
    assert {one.stale for one in later} == {1.0}
    figures = freshness_figures(later)
    assert figures["freshness.rolling_features.age_s"] == 4 * 3600
    assert figures["freshness.cluster_features.stale_share"] == 1.0


def test_freshness_of_an_empty_store_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nothing stored under this name.*features\.py"):
        measure_freshness(store_of(tmp_path, PANEL), NOW)
