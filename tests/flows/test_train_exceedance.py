"""The training flow of the exceedance surface on tiny data, in one Prefect server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from optimizer.core.config import build, load_config
from optimizer.core.errors import ConfigError, InsufficientHistoryError
from optimizer.models.exceedance.baselines import log_losses
from optimizer.models.exceedance.fitted import TrainedSurface
from optimizer.training.tracking.registry import Version, load_trained

DATA = ["data.n_services=8", "data.n_clusters=2", "data.days=30"]
TINY = [
    *DATA, "features=minimal", "target=exceedance", "surface.cpu.model.rounds=60",
    "surface.memory.model.rounds=60", "surface.cpu.recalibration=null",
    "evaluation.bootstrap_resamples=20", "threads=1",
]  # fmt: skip
NAME = "exceedance-synthetic"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield tmp_path_factory.mktemp("flow")


def run(home: Path, name: str, *overrides: str) -> dict[str, Any]:
    from flows.train import train_flow

    places = [f"tracking.uri=sqlite:///{home}/mlflow.db", f"cache.dir={home}/cache"]
    return train_flow([*TINY, *places, *overrides], str(home / name))


@pytest.fixture(scope="module")
def first(home: Path) -> dict[str, Any]:
    return run(home, "first")


def client(home: Path) -> Any:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{home}/mlflow.db")
    return mlflow.MlflowClient()


def test_flow_writes_metrics_predictions_and_a_plot(home: Path, first: dict[str, Any]) -> None:
    record = json.loads((home / "first/metrics.json").read_text())
    assert record["metric"] == "log_loss"
    assert set(record["baselines"]) == {
        "decayed_12h", "decayed_24h", "decayed_72h", "same_part_of_day", "fleet_share"
    }  # fmt: skip
    frame = pd.read_parquet(home / "first/predictions.parquet")
    assert len(frame) == record["rows"]["test"]["n_rows"] == record["model"]["n_rows"]
    told = float(np.mean(log_losses(frame["y_true"].to_numpy(), frame["exceedance"].to_numpy())))
    assert record["model"]["log_loss"] == pytest.approx(told, rel=1e-5)
    assert pd.Timestamp(first["fitted_until"], tz="UTC") < frame["event_timestamp"].min()
    best = min(record["baselines"].values(), key=lambda one: one["log_loss"])
    assert record["baselines"][record["best_baseline"]] == best
    assert first["model"]["log_loss"] - best["log_loss"] == pytest.approx(
        first["difference"]["log_loss_change"]
    )
    assert [one["promised"] for one in record["promises"]["recalibrated"]] == [
        0.005, 0.01, 0.02, 0.05
    ]  # fmt: skip
    assert (home / "first/plots/calibration.png").stat().st_size > 1000
    assert not (home / "cache/features").exists()  # the feature store is not needed


def test_flow_tracks_and_registers_what_can_be_loaded(home: Path, first: dict[str, Any]) -> None:
    import mlflow

    found = client(home).get_run(first["run_id"])
    assert found.info.status == "FINISHED"
    assert found.data.params["surface.cpu.model.rounds"] == "60"
    assert found.data.metrics["log_loss"] == first["model"]["log_loss"]
    assert "decayed_24h.brier" in found.data.metrics
    assert first["registry"]["champion"] == (first["difference"]["log_loss_change"] < 0)
    version = client(home).get_model_version_by_alias(NAME, "challenger")
    trained = load_trained(Version(NAME, str(version.version), str(version.run_id)))
    assert isinstance(trained, TrainedSurface)
    assert str(trained.fitted_until) == first["fitted_until"]

    frame = build(load_config(DATA).data, "data").fetch()
    naive = frame["event_timestamp"].dt.tz_localize(None)  # MLflow's datetime has no zone
    telemetry = frame.astype({"service_id": str, "cluster_id": str}).assign(event_timestamp=naive)
    served = mlflow.pyfunc.load_model(f"models:/{NAME}/{version.version}").predict(telemetry)
    own = trained.predict_telemetry(frame)
    assert list(served) == ["service_id", "event_timestamp", "resource", "level", "exceedance"]
    np.testing.assert_allclose(served["exceedance"], own["exceedance"], atol=1e-6)
    assert served["service_id"].nunique() == 8


def test_flow_judges_a_later_surface_against_the_champion(
    home: Path, first: dict[str, Any]
) -> None:
    assert first["registry"]["champion"], first["registry"]["reason"]
    blunt = run(home, "blunt", "surface.cpu.model.rounds=2")
    assert blunt["cached"] == {"telemetry": True, "validated data": True}
    assert not blunt["registry"]["champion"]
    assert "of the champion on" in blunt["registry"]["reason"]
    version = client(home).get_model_version_by_alias(NAME, "champion")
    assert version.run_id == first["run_id"]


def test_flow_of_memory_in_two_folds_has_a_name_of_its_own(home: Path) -> None:
    record = run(home, "memory", "target=exceedance_memory", "split.folds=2")
    assert record["registry"]["name"] == "exceedance_memory-synthetic"
    assert len(record["folds"]) == 2
    means = [fold["figures"]["model"]["log_loss"] for fold in record["folds"]]
    assert record["model"]["log_loss"] == pytest.approx(np.mean(means))
    frame = pd.read_parquet(home / "memory/predictions.parquet")
    assert len(frame) == sum(fold["rows"]["test"]["n_rows"] for fold in record["folds"])


def test_flow_of_a_grid_is_judged_and_not_registered(home: Path) -> None:
    record = run(home, "job", "registry.register=false", "surface.cpu.model.rounds=3")
    assert record["registry"]["version"] is None
    assert record["registry"]["model"]["run_id"] == record["run_id"]
    assert record["model"]["validation"] > 0
    assert record["higher_is_better"] is False


def test_flow_refuses_settings_that_the_surface_does_not_have(home: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.rounds.*surface\.cpu\.model\.\*"):
        run(home, "unused", "model.rounds=10")
    assert not (home / "unused").exists()


def test_flow_tells_how_many_days_it_takes(home: Path) -> None:
    # 8 services teach 32 levels an interval: 400 take 13 intervals, 24 + 6 + 12 * 3 = 66 h; with
    # 12 h to align and between the parts 78 h / 0.6 = 5.4 days; 18 h / 0.15 = 5 days to validate
    with pytest.raises(InsufficientHistoryError, match=r"at least 5\.4 days for 8 services"):
        run(home, "short", "data.days=5")
