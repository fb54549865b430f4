"""Every model that serves both targets, with every strategy, beats a constant on tiny data."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from optimizer.core.config import CONF_DIR, build, load_config
from optimizer.core.panel import build_panel
from optimizer.evaluation.metrics.events import average_precision
from optimizer.evaluation.metrics.forecasts import pinball
from optimizer.features.engine import compute_features
from optimizer.models.base import EventClassifier, Forecaster
from optimizer.training.experiment import Experiment, build_components, build_experiment
from optimizer.training.fit import fit_model

TINY = ["data.n_services=10", "data.n_clusters=2", "data.days=30", "threads=1", "features=core"]
SMALL = {
    "rounds": 40,
    "min_child_samples": 10,
    "hidden_size": 12,
    "batch_size": 256,
    "max_epochs": 5,
}
FAST = {"rounds": 0.1, "max_epochs": 0.02}
"""Learning rates of models that count rounds, and of those that count epochs."""
EVALUATION = ["evaluation.bootstrap_resamples=0"]
QUESTION = {
    "scale_event": ["target=scale_event"],
    "utilization": ["target=utilization", "target.quantiles=[0.1,0.5,0.9]"],
}


def serves_both(name: str) -> bool:
    model = build(load_config([f"model={name}"]).model, "model")
    return isinstance(model, EventClassifier) and isinstance(model, Forecaster)


TARGETS = [path.stem for path in sorted((CONF_DIR / "target").glob("*.yaml"))]
MODELS = [path.stem for path in sorted((CONF_DIR / "model").glob("*.yaml"))]
BASELINES = {n for t in TARGETS for n in load_config([f"target={t}"]).baselines}
TRAINED = [name for name in MODELS if serves_both(name) and name not in BASELINES]
STRATEGIES = [path.stem for path in sorted((CONF_DIR / "imbalance").glob("*.yaml"))]


@cache
def experiment(target: str) -> Experiment:
    parts = build_components(load_config([*TINY, *EVALUATION, *QUESTION[target]]))
    panel = build_panel(parts.source.fetch())
    return build_experiment(parts, panel, compute_features(panel, parts.groups))


def small(model: str) -> list[str]:
    known = load_config([f"model={model}"]).model
    sizes = {key: value for key, value in SMALL.items() if key in known}
    rates = [f"model.learning_rate={rate}" for key, rate in FAST.items() if key in known]
    return [*(f"model.{key}={value}" for key, value in sizes.items()), *rates]


def test_five_models_and_six_strategies_are_found() -> None:
    assert set(TRAINED) >= {"xgboost", "lightgbm", "catboost", "lstm", "gru"}
    assert len(STRATEGIES) >= 6


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("model", TRAINED)
def test_events_beat_a_constant_and_leave_other_folds_alone(model: str, strategy: str) -> None:
    config = load_config(
        [*TINY, *EVALUATION, f"model={model}", f"imbalance={strategy}", *small(model)]
    )
    parts, found = build_components(config), experiment("scale_event")
    fold = found.folds[0]
    before = [fold.valid.y.copy(), fold.test.y.copy(), fold.valid.matrix(), fold.test.matrix()]
    fit_config = replace(found.fit_config, imbalance=parts.imbalance)
    trained, _ = fit_model(model, parts.model, fold, fit_config)
    score = trained.predict(fold.test)
    assert score.shape == (len(fold.test),)
    assert average_precision(fold.test.y, score) > 1.5 * fold.test.y.mean()
    after = [fold.valid.y, fold.test.y, fold.valid.matrix(), fold.test.matrix()]
    for was, now in zip(before, after, strict=True):
        np.testing.assert_array_equal(was, now)


@pytest.mark.parametrize("model", TRAINED)
def test_forecasts_beat_a_constant(model: str) -> None:
    config = load_config(
        [*TINY, *EVALUATION, *QUESTION["utilization"], f"model={model}", *small(model)]
    )
    parts, found = build_components(config), experiment("utilization")
    fold, task = found.folds[0], found.fit_config.task
    trained, _ = fit_model(model, parts.model, fold, found.fit_config)
    predicted = trained.predict(fold.test)
    assert (np.diff(predicted, axis=-1) >= 0).all()
    for index in range(predicted.shape[1]):
        y = fold.test.y[:, index]
        constant = np.nanquantile(fold.train.y[:, index], task.quantiles)
        flat = np.broadcast_to(constant, (len(y), len(constant))).astype(np.float32)
        assert pinball(y, predicted[:, index], task.quantiles) < pinball(y, flat, task.quantiles)
