"""The feature flow on tiny data: back-fills, what they leave alone, what training then reads."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from stores import places

from optimizer.core.errors import OptimizerError, StoreError
from optimizer.delivery.serving.online import FRESH, OnlineReader
from optimizer.features.store.integrity import view_pattern
from optimizer.features.store.repository import define_repository, open_store

ROOT = Path(__file__).resolve().parents[2]
TINY = ["data.n_services=8", "data.n_clusters=2", "data.days=30", "threads=1"]
NAMED = ["store.project=synthetic"]
LAST = "2025-01-31T00:00"
VIEWS = ("rolling_features", "cluster_features", "membership_features")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield tmp_path_factory.mktemp("features")


def fill(home: Path, *overrides: str) -> dict[str, Any]:
    from flows.features import features_flow

    return features_flow([*TINY, *NAMED, *places(home), f"now='{LAST}'", *overrides])


@pytest.fixture(scope="module")
def first(home: Path) -> dict[str, Any]:
    return fill(home)


def content(home: Path, project: str = "synthetic") -> dict[str, pd.DataFrame]:
    directory = home / "data/offline" / project
    return {
        view: duckdb.sql(
            f"SELECT * FROM read_parquet('{view_pattern(directory, view)}') ORDER BY ALL"
        ).df()
        for view in VIEWS
    }


def test_flow_fills_offline_and_online(home: Path, first: dict[str, Any]) -> None:
    assert first["project"] == "synthetic"
    assert not any(first["cached"].values())
    now = pd.Timestamp(first["last"])
    store = open_store("synthetic", places(home))
    assert store.schema.version == first["version"]
    found = OnlineReader(store).read(services(home), now)
    assert FRESH in found.status
    assert first["freshness"]["freshness.rolling_features.stale_share"] == 0.0


def services(home: Path) -> list[str]:
    return sorted(content(home)["membership_features"]["service_id"].unique())


def test_flow_logs_freshness_as_metrics(home: Path, first: dict[str, Any]) -> None:
    from mlflow import MlflowClient

    run = MlflowClient(f"sqlite:///{home}/mlflow.db").get_run(first["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["freshness.lag_features.age_s"] == 0.0


def test_flow_counts_ages_to_the_moment_asked_for(home: Path, first: dict[str, Any]) -> None:
    late = fill(home, "now=2025-01-31T05:00")["freshness"]
    assert late["freshness.lag_features.age_s"] == 5 * 3600
    assert late["freshness.lag_features.stale_share"] == 1.0


def test_second_run_finds_everything_there(home: Path, first: dict[str, Any]) -> None:
    assert all(fill(home)["cached"].values())


def test_where_weeks_are_computed_is_not_part_of_the_cache_key(
    home: Path, first: dict[str, Any]
) -> None:
    from flows.tasks.data import load_validated
    from flows.tasks.store import store_validated

    from optimizer.core.config import load_config
    from optimizer.training.experiment import build_components

    calls = []

    def spread(function: Any, jobs: list[Any]) -> list[Any]:
        calls.append(len(jobs))
        return [function(job) for job in jobs]

    config = load_config([*TINY, *places(home), f"store.offline={home}/spread"])
    validated, _ = load_validated(config, build_components(config).source)
    _, cached = store_validated(config, validated, "spread", map_fn=spread)
    assert not cached
    asked = list(calls)
    assert asked
    _, cached = store_validated(config, validated, "spread")
    assert cached
    shutil.rmtree(home / "spread")  # Prefect remembers the manifest, which is gone
    _, cached = store_validated(config, validated, "spread", map_fn=spread)
    assert not cached
    assert calls == asked * 2


def test_training_reads_what_was_stored(home: Path, first: dict[str, Any]) -> None:
    from flows.train import train_flow

    small = ["model.rounds=20", "evaluation.bootstrap_resamples=5"]
    record = train_flow([*TINY, *NAMED, *places(home), *small], str(home / "trained"))
    reused = {"telemetry", "validated data", "features"}
    assert {name for name, hit in record["cached"].items() if hit} == reused


def test_backfill_of_a_range_twice_leaves_the_same_bytes(home: Path, first: dict[str, Any]) -> None:
    before = content(home)
    span = ["backfill.start=2025-01-10", "backfill.end=2025-01-15T06:00"]
    for name in ("one", "two"):  # a cache of its own: the second is no mere memory of the first
        assert not fill(home, *span, f"cache.dir={home}/{name}")["cached"]["features"]
        for view, frame in content(home).items():
            pd.testing.assert_frame_equal(frame, before[view], check_exact=True)
    newest = OnlineReader(open_store("synthetic", places(home))).read(
        services(home), pd.Timestamp(first["last"])
    )
    assert FRESH in newest.status  # a back-fill of the past does not put the past online


def test_backfill_beyond_the_data_is_told(
    home: Path, first: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    fill(home, "backfill.start=2025-01-29", "backfill.end=2025-03-01", f"cache.dir={home}/far")
    assert "backfill.end=2025-03-01 00:00:00+00:00: the telemetry reaches to" in caplog.text


def test_other_features_have_a_project_of_their_own(home: Path, first: dict[str, Any]) -> None:
    other = fill(home, "features=minimal", "store.project=null")
    assert other["project"].startswith("synthetic_")
    assert other["version"] != first["version"]
    assert open_store("synthetic", places(home)).schema.version == first["version"]


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["backfill.start=soon"], "backfill.start: got 'soon'"),
        (["backfill.start=2030-01-01"], "a range within 2025-01-01"),
        (["store.project=no spaces"], "store.project: got 'no spaces'"),
        (["store.ttl=-1h"], "store.ttl"),
        (["store.feast=absent.yaml"], "store.feast: got no file"),
    ],
)
def test_flow_bad_input_is_one_error(
    home: Path, first: dict[str, Any], overrides: list[str], told: str
) -> None:
    with pytest.raises(OptimizerError) as caught:
        fill(home, *overrides)
    assert told in str(caught.value)


def test_open_store_of_an_unknown_project_lists_the_known(home: Path, first: Any) -> None:
    with pytest.raises(
        StoreError, match=r"nothing stored under this name in .* Allowed: .*synthetic"
    ):
        open_store("payments", places(home))


def test_repository_without_a_store_defines_every_view(tmp_path: Path) -> None:
    path = tmp_path / "feature_repo" / "feature_store.yaml"
    path.parent.mkdir()
    path.write_bytes((ROOT / "feature_repo/feature_store.yaml").read_bytes())
    objects = define_repository(path)
    wanted = {"workload_features", "temporal_features", "rolling_features", "lag_features"}
    wanted |= {"cluster_features", "interaction_features", "service", "cluster"}
    assert wanted | {"training_fs", "inference_fs", "realtime_fs"} <= set(objects)


def test_feast_command_lists_and_applies_the_definitions(tmp_path: Path) -> None:
    repo = tmp_path / "feature_repo"
    repo.mkdir()
    for name in ("feature_store.yaml", "definitions.py"):
        (repo / name).write_bytes((ROOT / "feature_repo" / name).read_bytes())
    feast = str(Path(sys.executable).with_name("feast"))
    environment = {**os.environ, "FEAST_USAGE": "False"}
    for command in (["apply"], ["feature-views", "list"]):
        done = subprocess.run(
            [feast, *command], cwd=repo, env=environment, capture_output=True, text=True, check=True
        )
    assert "rolling_features" in done.stdout
    assert "interaction_features" in done.stdout


def test_freshness_command_prints_every_view(home: Path, first: dict[str, Any]) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "flows/freshness.py"), *TINY, *NAMED, *places(home),
         f"now='{first['last']}'", f"hydra.run.dir={home}/fresh"],
        capture_output=True, text=True, check=False, cwd=home,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "rolling_features" in done.stdout
    assert "100%" not in done.stdout
