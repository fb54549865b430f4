"""The whole training flow on tiny data, in one Prefect server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from stores import places

ROOT = Path(__file__).resolve().parents[2]
TINY = [
    "data.n_services=8", "data.n_clusters=2", "data.days=40", "features=core", "model.rounds=30",
    "evaluation.bootstrap_resamples=20", "threads=1",
]  # fmt: skip
STEPS = ("telemetry", "validated data", "features", "training set")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield tmp_path_factory.mktemp("flow")


def run(home: Path, name: str, *overrides: str) -> dict[str, Any]:
    from flows.train import train_flow

    return train_flow([*TINY, *places(home), *overrides], str(home / name))


@pytest.fixture(scope="module")
def first(home: Path) -> dict[str, Any]:
    return run(home, "first")


def client(home: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{home}/mlflow.db")


def test_flow_writes_metrics_predictions_and_plots(home: Path, first: dict[str, Any]) -> None:
    record = json.loads((home / "first/metrics.json").read_text())
    assert record["model"]["name"] == "lightgbm"
    assert record["rows"]["test"]["n_rows"] == record["model"]["n_rows"]
    assert {"service_rate", "persistence", "logistic"} <= set(record["baselines"])
    frame = pd.read_parquet(home / "first/predictions.parquet")
    assert list(frame.columns) == ["service_id", "event_timestamp", "y_true", "y_score"]
    assert len(frame) == record["rows"]["test"]["n_rows"]
    assert frame["y_score"].between(0, 1).all()
    pictures = {path.stem for path in (home / "first/plots").glob("*.png")}
    assert pictures >= {"precision_recall", "reliability", "training_curve", "feature_importance"}
    assert first["cached"] == dict.fromkeys(STEPS, False)


def test_flow_tracks_and_registers(home: Path, first: dict[str, Any]) -> None:
    import mlflow

    found = client(home).get_run(first["run_id"])
    assert found.info.status == "FINISHED"
    assert found.data.params["model.rounds"] == "30"
    assert found.data.metrics["average_precision"] == first["model"]["average_precision"]
    assert "logistic.average_precision" in found.data.metrics
    version = client(home).get_model_version_by_alias("scale_event-synthetic", "challenger")
    assert version.run_id == first["run_id"]
    assert version.tags["feature_project"].startswith("synthetic_")
    assert len(version.tags["feature_version"]) == 8
    mlflow.set_tracking_uri(f"sqlite:///{home}/mlflow.db")
    model = mlflow.pyfunc.load_model(f"models:/scale_event-synthetic/{version.version}")
    from optimizer.core.config import build, load_config

    frame = build(load_config(TINY).data, "data").fetch()
    naive = frame["event_timestamp"].dt.tz_localize(None)  # MLflow's datetime has no zone
    telemetry = frame.astype({"service_id": str, "cluster_id": str}).assign(event_timestamp=naive)
    predicted = model.predict(
        telemetry[telemetry["event_timestamp"] < telemetry["event_timestamp"].max()]
    )
    known = pd.read_parquet(home / "first/predictions.parquet")
    both = predicted.assign(
        event_timestamp=pd.to_datetime(predicted["event_timestamp"], utc=True)
    ).merge(known, on=["service_id", "event_timestamp"])
    assert len(predicted) == 8
    assert len(both) >= 4  # rows at the ceiling are predicted but not scored
    assert (both["y_score_x"] - both["y_score_y"]).abs().max() < 1e-5


def test_flow_second_run_reuses_data_and_judges_the_champion(
    home: Path, first: dict[str, Any]
) -> None:
    second = run(home, "second", "model=xgboost")
    assert second["cached"] == dict.fromkeys(STEPS, True)
    if first["registry"]["champion"]:
        assert "of the champion on" in second["registry"]["reason"]


def test_flow_recomputes_what_was_deleted(home: Path, first: dict[str, Any]) -> None:
    for path in (home / "cache/features").glob("*/values.npy"):
        path.unlink()
    again = run(home, "again")
    assert again["cached"] == dict.fromkeys(STEPS[:-1], True) | {"training set": False}
    assert again["model"]["average_precision"] == first["model"]["average_precision"]


def test_flow_recomputes_when_the_code_changed(
    home: Path, first: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.tasks import caching

    monkeypatch.setattr(caching, "code_digest", lambda: "another")
    assert not any(run(home, "changed")["cached"].values())


def test_flow_failure_is_tracked_as_failed(home: Path) -> None:
    from optimizer.core.errors import DataQualityError

    with pytest.raises(DataQualityError, match="service_count"):
        run(home, "failed", "quality.min_services=50")
    runs = client(home).search_runs(["1"], order_by=["attributes.start_time DESC"], max_results=1)
    assert runs[0].info.status == "FAILED"
    assert not (home / "failed/metrics.json").exists()


def test_flow_forecasts_in_several_folds(home: Path) -> None:
    record = run(home, "demand", "target=utilization", "split.folds=2", "model.rounds=15")
    assert len(record["folds"]) == 2
    frame = pd.read_parquet(home / "demand/predictions.parquet")
    quantiles = [f"q0.{k}" for k in range(1, 10)]
    assert list(frame.columns) == [
        "service_id", "event_timestamp", "horizon", "y_true", *quantiles
    ]  # fmt: skip
    assert set(frame["horizon"]) == {"1h", "24h"}
    assert record["model"]["pinball_1h"] > 0


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["model=nonsense"], "model: got 'nonsense'. Allowed: "),
        (["data=table", "data.path=absent.csv"], "absent.csv"),
    ],
)
def test_command_answers_bad_input_with_one_message(
    tmp_path: Path, overrides: list[str], told: str
) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "flows/train.py"), *overrides, *places(tmp_path),
         f"hydra.run.dir={tmp_path}/run"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "PREFECT_HOME": str(tmp_path / "prefect")},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("error:") == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
