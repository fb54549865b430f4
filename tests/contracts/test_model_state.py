"""Every model that a yaml offers predicts, saved and read again, what it did before: every bit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from bundles import MODELS, PANEL, RUN, TABLE, again, model_of, train
from factories import event_task, forecast_task, tiny_folds, tiny_panel

from optimizer.core.config import CONF_DIR
from optimizer.core.state import decode, encode
from optimizer.models.base import EventClassifier, Explainable, Forecaster
from optimizer.training.tracking.bundle import STATE

EVENT, FORECAST = event_task(PANEL), forecast_task(PANEL)
EVENTS, FORECASTS = tiny_folds(EVENT, PANEL, TABLE), tiny_folds(FORECAST, PANEL, TABLE)
EXCEEDANCE = sorted((CONF_DIR / "model/exceedance").glob("*.yaml"))
GROUPS = sorted((CONF_DIR / "features/group").glob("*.yaml"))
CLASSIFIERS = [path for path in MODELS if isinstance(model_of(path), EventClassifier)]
FORECASTERS = [path for path in MODELS if isinstance(model_of(path), Forecaster)]


def name_of(path: Path) -> str:
    return path.stem


def test_every_model_is_of_one_kind_at_least() -> None:
    assert {path.stem for path in MODELS} >= {"lightgbm", "xgboost", "catboost", "lstm", "gru"}
    assert set(MODELS) == {*CLASSIFIERS, *FORECASTERS}


@pytest.mark.parametrize("isotonic", [1, 10_000], ids=["isotonic", "platt"])
@pytest.mark.parametrize("path", CLASSIFIERS, ids=name_of)
def test_saved_events_are_equal_bit_by_bit(path: Path, isotonic: int, tmp_path: Path) -> None:
    trained = train(model_of(path), EVENT, EVENTS, isotonic)
    found = again(trained, tmp_path / "bundle")
    assert found.calibrator.name == trained.calibrator.name == ("isotonic", "platt")[isotonic > 1]  # type: ignore[union-attr]
    for predict in ("raw", "predict"):
        before, after = (getattr(one, predict)(EVENTS.test) for one in (trained, found))
        assert before.dtype == after.dtype
        np.testing.assert_array_equal(before, after)
    assert np.ptp(found.raw(EVENTS.test)) > 0
    assert replace(found, model=None, calibrator=None) == replace(
        trained,
        model=None,
        calibrator=None,  # type: ignore[arg-type]
    )
    if isinstance(trained.model, Explainable):
        assert found.model.importance() == trained.model.importance()


@pytest.mark.parametrize("path", FORECASTERS, ids=name_of)
def test_saved_forecasts_are_equal_bit_by_bit(path: Path, tmp_path: Path) -> None:
    trained = train(model_of(path), FORECAST, FORECASTS)
    found = again(trained, tmp_path / "bundle")
    for predict in ("raw", "predict"):
        before, after = (getattr(one, predict)(FORECASTS.test) for one in (trained, found))
        assert before.dtype == after.dtype
        np.testing.assert_array_equal(before, after)
    assert found.task == trained.task
    assert found.step == trained.step
    # the day ahead is weighed by the newest losses: what the fit has seen is saved too
    assert getattr(found.model, "_last_trained", None) == getattr(
        trained.model, "_last_trained", None
    )


@pytest.mark.parametrize("path", MODELS, ids=name_of)
def test_saved_twice_is_the_same_and_holds_no_code(path: Path, tmp_path: Path) -> None:
    task, folds = (EVENT, EVENTS) if path in CLASSIFIERS else (FORECAST, FORECASTS)
    found = again(train(model_of(path), task, folds), tmp_path / "one")
    again(found, tmp_path / "two")
    one, two = (json.loads((tmp_path / place / STATE).read_text()) for place in ("one", "two"))
    assert one["model"] == two["model"]
    files = {file.name for file in (tmp_path / "one").iterdir()}
    assert files == {STATE, *one["blobs"]}
    assert {Path(name).suffix for name in files} <= {".json", ".npz", ".bin"}


@pytest.mark.parametrize("path", EXCEEDANCE, ids=name_of)
def test_saved_exceedance_models_are_equal_bit_by_bit(path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.random((600, 5), dtype=np.float32)
    y = np.clip(X[:, 0] - 0.3, 0.0, 1.0)
    model = model_of(path)
    unfitted = decode(*encode(model))
    assert vars(unfitted) == vars(model)
    model.fit_exceedance(X, y, [1, 0, 0, 0, -1], RUN)
    found = decode(*encode(model))
    np.testing.assert_array_equal(found.predict_exceedance(X), model.predict_exceedance(X))
    np.testing.assert_array_equal(found.contributions(X), model.contributions(X))


@pytest.mark.parametrize("path", GROUPS, ids=name_of)
def test_saved_feature_groups_are_equal(path: Path) -> None:
    group = model_of(path)
    assert decode(*encode(group)) == group
    assert yaml.safe_load(path.read_text())["_target_"] == encode(group)[0]["class"]


def test_a_gap_of_everything_is_imputed_as_before(tmp_path: Path) -> None:
    panel = tiny_panel(3, 200, seed=1, gaps=0.4)
    task = forecast_task(panel)
    folds = tiny_folds(task, panel)
    for name in ("linear", "seasonal_naive"):
        trained = train(model_of(CONF_DIR / f"model/{name}.yaml"), task, folds)
        found = again(trained, tmp_path / name)
        np.testing.assert_array_equal(found.raw(folds.test), trained.raw(folds.test))
