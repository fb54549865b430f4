"""Recommendations end to end on tiny data, in one Prefect server."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from stores import places

from optimizer.core.config import build, load_config, load_presets
from optimizer.core.errors import ConfigError
from optimizer.decisions.pricing.catalogue import monthly_cost
from optimizer.delivery.report.tables import FIELDS

DATA = ["data.n_services=8", "data.n_clusters=2", "data.days=30"]
TINY = ["features=minimal", "evaluation.bootstrap_resamples=20", "threads=1"]
MORE = ("replicas", "replica_size", "standing_target", "known_until", "valid_until")
KUBECTL = shutil.which("kubectl")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield tmp_path_factory.mktemp("recommend")


def train(home: Path, target: str, *overrides: str) -> None:
    """Train a target and promote what came out, however good it is on so little data."""
    from flows.train import train_flow
    from mlflow import MlflowClient

    record = train_flow([f"target={target}", *TINY, *places(home), *overrides], str(home / target))
    entry = record["registry"]
    client = MlflowClient(f"sqlite:///{home}/mlflow.db")
    client.set_registered_model_alias(entry["name"], "champion", entry["version"])


def recommend(home: Path, name: str, *overrides: str) -> dict[str, Any]:
    from flows.recommend import recommend_flow

    words = [*TINY, *places(home), "recommend.history=14d", *overrides]
    return recommend_flow(words, str(home / name))


@pytest.fixture(scope="module")
def trained(home: Path) -> Path:
    for target, resource in (("exceedance", "cpu"), ("exceedance_memory", "memory")):
        train(home, target, *DATA, f"surface.{resource}.model.rounds=40")
    train(home, "scale_event", *DATA, "model=logistic")
    return home


@pytest.fixture(scope="module")
def record(trained: Path) -> dict[str, Any]:
    return recommend(trained, "priced", *DATA, "prices=aws", "recommend.scale_out='^web'")


@pytest.fixture(scope="module")
def frame(trained: Path, record: dict[str, Any]) -> pd.DataFrame:
    return pd.read_parquet(trained / "priced" / "recommendations.parquet")


def test_every_service_and_resource_is_recommended(
    record: dict[str, Any], frame: pd.DataFrame
) -> None:
    assert set(frame.columns) == {*FIELDS, *MORE}
    assert len(frame) == 16
    assert not frame.duplicated(["service_id", "resource"]).any()
    assert set(frame["action"]) <= {"scale_up", "scale_down", "keep", "none"}
    assert (frame["lower_bound"] <= frame["upper_bound"]).all()
    assert (frame["standing_target"] >= frame["target"]).all()
    assert (frame["valid_until"] == "2025-01-31T06:00:00+00:00").all()
    assert frame["risk"].between(0, 4).all()
    assert (frame["risk"] == frame.groupby("service_id")["risk"].transform("max")).all()
    assert frame["event_probability"].between(0, 1).all()
    assert frame["confidence"].between(0.9, 1).all()
    assert (frame["drivers"].map(len) == 3).all()
    kept = frame["action"].isin(["keep", "none"])
    np.testing.assert_array_equal(frame.loc[kept, "target"], frame.loc[kept, "current"])
    assert (frame.loc[kept, "monthly_saving"] == 0).all()
    assert record["fleet"]["monthly_saving"] == pytest.approx(frame["monthly_saving"].sum())
    assert set(record["models"]) == {"exceedance", "exceedance_memory", "scale_event"}
    assert record["policies"] == {"cpu": "cost_optimal", "memory": "oom_optimal"}


def test_tables_report_and_a_run_are_written(trained: Path, record: dict[str, Any]) -> None:
    from mlflow import MlflowClient

    output = trained / "priced"
    names = {path.name for path in output.iterdir()}
    assert names >= {
        "recommendations.csv", "recommendations.json", "recommendations.parquet", "report.html",
        "recommend.json", "patches",
    }  # fmt: skip
    assert len(json.loads((output / "recommendations.json").read_text())) == 16
    page = (output / "report.html").read_text()
    assert "cost_optimal" in page
    assert "aws" in page
    run = MlflowClient(f"sqlite:///{trained}/mlflow.db").get_run(record["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["monthly_saving"] == pytest.approx(record["fleet"]["monthly_saving"])


def test_champions_are_held_to_their_promises(trained: Path, record: dict[str, Any]) -> None:
    assert [(one["group"], one["promised"]) for one in record["promises"]] == [
        (name, share) for name in ("cpu", "memory") for share in (0.005, 0.01, 0.02, 0.05)
    ]
    for one in record["bounds"]:
        assert one["intervals"] > 0
        assert 0.6 < one["covered"] < 1.0
    page = (trained / "priced" / "report.html").read_text()
    assert "8 promises came true within 0.5 to 1.5 times what was promised" in page
    assert f"memory {record['bounds'][1]['covered']:.1%} of" in page


def test_patches_hold_the_targets_of_a_pod(trained: Path, frame: pd.DataFrame) -> None:
    output = trained / "priced" / "patches"
    moved = frame[frame["action"].isin(["scale_up", "scale_down"]) & (frame["resource"] == "cpu")]
    assert len(moved)
    change = moved["standing_target"] / moved["current"] - 1.0
    agrees = (change > 0) == (moved["action"] == "scale_up")
    worth = (change.abs() > 0.1) | (moved["replicas"] > 0)
    for row in moved[agrees & worth].to_dict("records"):
        path = output / "kubernetes" / f"{row['service_id']}.yaml"
        if row["replicas"] and not path.exists():
            continue  # its standing request is the present one
        patch = yaml.safe_load(path.read_text())
        (container,) = patch["spec"]["template"]["spec"]["containers"]
        asked = row["replica_size"] if row["replicas"] else row["standing_target"]
        told = container["resources"]["requests"]["cpu"]
        assert int(told.removesuffix("m")) == pytest.approx(1000 * asked, abs=1.0)
    scaled = frame[frame["replicas"] > 0]
    assert set(scaled["service_id"].str.split("-").str[0]) == {"web"}
    assert (scaled["replicas"] * scaled["replica_size"] >= scaled["target"] * (1 - 1e-6)).all()


def test_no_patch_contradicts_the_advice_and_what_stands_is_priced() -> None:
    from optimizer.decisions.recommendations.standing import (
        contradicts,
        scale_rows,
        standing_saving,
    )

    frame = pd.DataFrame(
        {
            "resource": "cpu",
            "unit": "cores",
            "current": [10.0, 10.0, 10.0, 10.0],
            "target": [5.0, 4.0, 20.0, 10.0],
            "standing_target": [8.0, 30.0, 25.0, 30.0],
            "lower_bound": 1.0,
            "upper_bound": 2.0,
            "action": ["scale_down", "scale_down", "scale_up", "keep"],
            "replicas": 0,
            "replica_size": np.nan,
            "known_until": "now",
        }
    )
    patched = scale_rows(frame, 0.1)
    assert patched["action"].tolist() == ["scale_down", "keep", "scale_up", "keep"]
    assert contradicts(frame).tolist() == [False, True, False, False]
    prices = build(load_presets("prices", ["aws"])["aws"], "prices")
    core = monthly_cost(1.0, prices, "cpu")
    assert standing_saving(frame, patched, prices) == pytest.approx((2.0 - 15.0) * core)
    assert np.isnan(standing_saving(frame, patched, None))


def test_version_that_lost_is_told_with_what_to_do() -> None:
    from mlflow.exceptions import MlflowException

    from optimizer.decisions.services.recommend import format_missing
    from optimizer.training.tracking.registry import CHALLENGER

    def look_up(name: str, alias: str) -> Any:
        if name != "known" or alias != CHALLENGER:
            raise MlflowException("none")
        return SimpleNamespace(version=3, run_id="r")

    run: Any = SimpleNamespace(client=SimpleNamespace(get_model_version_by_alias=look_up))
    seen, fix = format_missing(run, "known", "train it")
    assert seen == "version 3 as challenger only"
    assert "set_registered_model_alias('known', 'champion', 3)" in fix
    assert format_missing(run, "other", "train it") == ("no version", "train first: train it")


@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")
def test_kubernetes_takes_every_patch(trained: Path, record: dict[str, Any]) -> None:
    import kubernetes_validate

    assert record["patches"] > 0
    for path in sorted((trained / "priced" / "patches" / "kubernetes").glob("*.yaml"))[:3]:
        name = path.stem
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"containers": [{"name": name, "image": "example/app:1"}]},
                },
            },
        }
        example = trained / f"{name}.yaml"
        example.write_text(yaml.safe_dump(deployment))
        words = [str(KUBECTL), "patch", "--local", "-f", str(example), "--type", "strategic"]
        done = subprocess.run(
            [*words, "-p", path.read_text(), "-o", "yaml"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        patched = yaml.safe_load(done.stdout)
        kubernetes_validate.validate(patched, "1.30", strict=True)
        (container,) = patched["spec"]["template"]["spec"]["containers"]
        assert container["image"] == "example/app:1"
        assert container["resources"]["requests"]


def test_without_prices_nothing_is_told_in_money(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = recommend(trained, "unpriced", *DATA, "policy/cpu=vpa", "policy/memory=vpa")
    assert found["fleet"] == {}
    assert any("no prices given" in note for note in found["notes"])
    frame = pd.read_csv(trained / "unpriced" / "recommendations.csv")
    assert frame["monthly_saving"].isna().all()
    assert frame["target"].notna().all()
    assert "no prices given" in capsys.readouterr().out


def test_a_missing_model_is_told_with_the_command_that_trains_it(home: Path) -> None:
    with pytest.raises(ConfigError, match="no version") as told:
        recommend(home, "missing", *DATA, "data.seed=3", "data.name=other")
    command = "python flows/train.py target=exceedance data.n_services=8"
    assert command in told.value.fix
    assert not (home / "missing").exists()


@pytest.mark.parametrize("resource", ["cpu", "memory"])
def test_the_policy_that_looks_ahead_cannot_recommend(home: Path, resource: str) -> None:
    with pytest.raises(ConfigError, match="does not look ahead") as told:
        recommend(home, "ahead", *DATA, f"policy/{resource}=peak_oracle")
    assert told.value.offender == f"policy/{resource}"


def test_unknown_capacity_is_told_and_answered_in_shares(home: Path) -> None:
    source = build(load_config(DATA).data, "data")
    bare = source.fetch()[["service_id", "cluster_id", "event_timestamp", "cpu_utilization"]]
    path = home / "bare.csv"
    bare.to_csv(path, index=False)
    words = ["data=table", f"data.path={path}", "data.name=bare"]
    train(home, "exceedance", *words, "surface.cpu.model.rounds=40")
    found = recommend(home, "bare", *words, "prices=aws")
    frame = pd.read_parquet(home / "bare" / "recommendations.parquet")
    assert set(frame["reason_code"]) == {"capacity_unknown"}
    assert set(frame["unit"]) == {"share of capacity"}
    assert frame["current"].isna().all()
    most = bare.groupby("service_id", observed=True)["cpu_utilization"].max()
    assert (frame["target"] <= 1.05 * most.reindex(frame["service_id"]).to_numpy() + 1.05).all()
    assert any("cpu capacity unknown: batch-" in note for note in found["notes"])
    assert any("train first: python flows/train.py target=scale_event" in n for n in found["notes"])
    assert not list((home / "bare" / "patches").glob("*/*.yaml"))
    assert found["fleet"] == {}
