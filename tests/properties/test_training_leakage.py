"""End to end: nothing after the validation fold reaches a trained model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256

import numpy as np
import pytest
from factories import tiny_panel

from optimizer.core.config import CONF_DIR, load_config
from optimizer.core.panel import FloatArray, Panel
from optimizer.features.engine import compute_features
from optimizer.models.imbalance.base import ImbalanceStrategy
from optimizer.targets.dataset import Dataset
from optimizer.training.experiment import Components, Experiment, build_components, build_experiment
from optimizer.training.fit import FoldDataset, fit_model

BASE = ["features=minimal", "threads=1", "target.horizon=3h", "target.metric=cpu_utilization"]
SIZES = {"rounds": 15, "min_child_samples": 10, "hidden_size": 6, "max_epochs": 2}
STRATEGIES = sorted(path.stem for path in (CONF_DIR / "imbalance").glob("*.yaml"))
PANEL = tiny_panel(8, 500)


@dataclass
class Spy(ImbalanceStrategy):
    """Does what another strategy does, and keeps what it was shown."""

    inner: ImbalanceStrategy
    shown: list[tuple[FloatArray, FloatArray]] = field(default_factory=list)

    @property
    def resamples(self) -> bool:
        return self.inner.resamples

    def resample(
        self, X: FloatArray, y: FloatArray, seed: int
    ) -> tuple[FloatArray, FloatArray, str]:
        self.shown.append((X.copy(), y.copy()))
        return self.inner.resample(X, y, seed)


def parts_of(model: str, *overrides: str) -> Components:
    known = load_config([f"model={model}"]).model
    sizes = [f"model.{key}={value}" for key, value in SIZES.items() if key in known]
    return build_components(load_config([*BASE, f"model={model}", *sizes, *overrides]))


def experiment_on(panel: Panel, parts: Components) -> Experiment:
    return build_experiment(parts, panel, compute_features(panel, parts.groups))


@cache
def plain_fold() -> FoldDataset:
    return experiment_on(PANEL, parts_of("lightgbm")).folds[0]


def digest(part: Dataset) -> str:
    arrays = (part.matrix(), part.y, part.rows, part.panel.values)
    return sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_resampling_is_shown_training_rows_only_and_leaves_the_other_folds_alone(
    strategy: str,
) -> None:
    parts = parts_of("lightgbm", f"imbalance={strategy}")
    fold = plain_fold()
    before = [digest(part) for part in (fold.train, fold.valid, fold.test)]
    spy = Spy(parts.imbalance)
    fit_config = replace(experiment_on(PANEL, parts).fit_config, imbalance=spy)
    trained, _ = fit_model("lightgbm", parts.model, fold, fit_config)
    assert len(spy.shown) == int(parts.imbalance.resamples)
    for X, y in spy.shown:
        np.testing.assert_array_equal(X, fold.train.matrix())
        np.testing.assert_array_equal(y, fold.train.y)
    assert [digest(part) for part in (fold.train, fold.valid, fold.test)] == before
    assert trained.predict(fold.test).shape == fold.test.y.shape


def test_every_eligible_test_row_is_predicted_and_no_other() -> None:
    parts = parts_of("lightgbm")
    labels, fold = parts.target.label(PANEL), plain_fold()
    start, stop = fold.fold.test
    where = np.zeros_like(labels.eligible)
    where[fold.test.service, fold.test.step] = True
    want = labels.eligible.copy()
    want[:, :start] = want[:, stop:] = False
    np.testing.assert_array_equal(where, want)
    assert len(fold.test) == want.sum() > 0


@pytest.mark.parametrize(
    ("model", "overrides"),
    [
        ("lightgbm", []),
        ("gru", []),
        ("logistic", []),
        ("service_rate", []),
        ("lightgbm", ["imbalance=smote"]),
        ("lightgbm", ["target=utilization"]),
        ("gru", ["target=utilization"]),
        ("persistence", ["target=utilization"]),
    ],
)
def test_whatever_happens_from_the_test_fold_on_the_trained_model_is_the_same(
    model: str, overrides: list[str]
) -> None:
    rng = np.random.default_rng(11)
    start = experiment_on(PANEL, parts_of(model, *overrides)).folds[0].fold.test[0]
    values = PANEL.values.copy()
    noise = rng.gamma(1.0, 1.0, values[:, :, start:].shape).astype(np.float32)
    noise[rng.random(noise.shape) < 0.2] = np.nan
    values[:, :, start:] = noise
    models, folds = [], []
    for panel in (PANEL, replace(PANEL, values=values)):
        parts = parts_of(model, *overrides)
        found = experiment_on(panel, parts)
        folds.append(found.folds[0])
        models.append(fit_model(model, parts.model, found.folds[0], found.fit_config)[0])
    one, two = models
    assert one.threshold == two.threshold
    assert one.fitted_until == two.fitted_until
    np.testing.assert_array_equal(folds[0].valid.rows, folds[1].valid.rows)
    for part in (folds[0].valid, folds[0].test):
        np.testing.assert_array_equal(one.predict(part), two.predict(part))


def test_calibration_and_threshold_read_the_validation_labels_and_not_those_of_the_test() -> None:
    parts, fold = parts_of("lightgbm"), plain_fold()
    fit_config = experiment_on(PANEL, parts).fit_config

    def fit(changed: FoldDataset) -> tuple[float | None, FloatArray]:
        fresh = parts_of("lightgbm").model
        trained = fit_model("lightgbm", fresh, changed, fit_config)[0]
        return trained.threshold, trained.calibrate(np.linspace(0, 1, 50, dtype=np.float32))

    threshold, curve = fit(fold)
    flipped = replace(fold, test=replace(fold.test, y=1 - fold.test.y))
    np.testing.assert_array_equal(fit(flipped)[1], curve)
    assert fit(flipped)[0] == threshold
    rare = fold.valid.y * (np.cumsum(fold.valid.y) % 4 == 0)
    other = replace(fold, valid=replace(fold.valid, y=rare.astype(np.float32)))
    assert not np.array_equal(fit(other)[1], curve)
