"""The production store on a real Redis and a real PostgreSQL, killed and started again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from servers import free_port, postgres, start_redis
from stores import FEAST_YAML, moment, moving_panel, store_of
from streams import drive

from optimizer.core.errors import StoreError
from optimizer.delivery.serving.freshness import measure_freshness
from optimizer.delivery.serving.online import FRESH, OnlineReader, check_online
from optimizer.features.engine import compute_features
from optimizer.features.store import store as feature_store
from optimizer.features.store.partitions import store_range
from optimizer.features.store.store import FeatureStore

PANEL = moving_panel(6, 24 * 24)
START = 24 * 16
NOW = moment(PANEL, PANEL.n_steps - 1)
PRODUCTION = FEAST_YAML.with_name("feature_store.production.yaml")


class Servers:
    """Both servers, and a store of a project of its own on them."""

    def __init__(self, home: Path, registry: str) -> None:
        self.home, self.registry, self.port = home, registry, free_port()
        self.redis = start_redis(self.port, home / "redis")

    def kill_redis(self) -> None:
        self.redis.kill()
        self.redis.wait(20)

    def restart_redis(self) -> None:
        self.redis = start_redis(self.port, self.home / "redis")

    def store(self, project: str) -> FeatureStore:
        shutil.copy(PRODUCTION, self.home)
        return store_of(self.home, PANEL, project=project, feast=str(self.home / PRODUCTION.name))


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    home = tmp_path_factory.mktemp("servers")
    with postgres(home / "postgres") as registry, pytest.MonkeyPatch.context() as patch:
        found = Servers(home, registry)
        patch.setenv("OPTIMIZER_PROJECT", "fleet")
        patch.setenv("OPTIMIZER_REGISTRY", registry)
        patch.setenv("OPTIMIZER_REDIS", f"127.0.0.1:{found.port},socket_timeout=5")
        patch.setattr(feature_store, "PAUSE_SECONDS", 0.05)
        yield found
        found.redis.kill()


def count_keys(servers: Servers) -> int:
    from redis import Redis

    return int(Redis(port=servers.port).dbsize())


def assert_newest(store: FeatureStore) -> None:
    table = compute_features(PANEL, store.schema.groups)
    want = table.values[:, table.step == PANEL.n_steps - 1]
    found = OnlineReader(store).read(PANEL.services, NOW)
    assert set(found.status) == {FRESH}
    np.testing.assert_allclose(found.values, want, rtol=1e-5, atol=1e-5)


def test_production_store_serves_the_batch_values(servers: Servers) -> None:
    store = servers.store("serves")
    store_range(store.directory, PANEL, store.schema)
    store.register()
    store.materialize(NOW)
    check_online(store, NOW)
    assert_newest(store)
    assert {one.stale for one in measure_freshness(store, NOW)} == {0.0}
    names = {view.name for view in store.feast.list_batch_feature_views()}
    assert names == {*store.schema.views, "membership_features"}


@pytest.mark.slow
def test_production_store_equals_batch_over_hundreds_of_steps(servers: Servers) -> None:
    store = servers.store("stream")
    store.register()
    told = drive(store, PANEL, START, steps=190, seed=5)
    assert (told.mismatches, told.steps) == (0, 190)
    assert told.late > 40
    assert told.duplicates > 20


def test_redis_killed_while_materializing_loses_and_doubles_nothing(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = servers.store("killed")
    store_range(store.directory, PANEL, store.schema)
    store.register()
    before = count_keys(servers)
    online = store.feast._get_provider().online_store
    write, calls = online.online_write_batch, []

    def killed(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            servers.kill_redis()
        return write(*args, **options)

    monkeypatch.setattr(online, "online_write_batch", killed)
    with pytest.raises(StoreError) as caught:
        store.materialize(NOW)
    assert "written: membership_features, workload_features" in str(caught.value.seen)
    assert "not yet: " in str(caught.value.seen)
    assert "features.py` again" in caught.value.fix
    monkeypatch.setattr(feature_store, "ATTEMPTS", 1)  # the client itself tries for seconds
    with pytest.raises(StoreError, match="feature store: online store"):
        OnlineReader(servers.store("killed")).read(PANEL.services, NOW)
    servers.restart_redis()
    monkeypatch.undo()
    again = servers.store("killed")
    half = OnlineReader(again).read(PANEL.services, NOW)
    assert FRESH not in half.status
    again.materialize(NOW)
    again.materialize(NOW)
    assert_newest(again)
    assert count_keys(servers) - before == len(PANEL.services) + len(PANEL.cluster_names)


def test_a_study_is_kept_in_postgresql_and_continued(servers: Servers) -> None:
    from optimizer.core.config import build, load_config
    from optimizer.training.tuning.space import build_space
    from optimizer.training.tuning.study import StudySpec, counted, draw, open_study, tell

    words = ["search=lightgbm", f"search.storage={servers.registry}"]
    search = build(load_config(words).search, "search")
    space, spec = build_space(search, []), StudySpec("kept", ("maximize",), {"seed": "7"})
    drawn = []
    for _ in range(2):
        study = open_study(search, spec, space, seed=7)
        for _ in range(3):
            trial, params = draw(study, space) or pytest.fail("nothing drawn")
            tell(study, trial.number, "complete", [0.5])
            drawn.append(tuple(sorted(params.items())))
    assert len(counted(study)) == 6
    assert len(set(drawn)) == 6
