"""Every booster with every strategy, and for forecasts: learns, repeats, ignores the future."""

from __future__ import annotations

from dataclasses import replace

import cloudpickle
import numpy as np
import pytest
from boosters import BOOSTERS, EVENT, PANEL, RUN, TABLE, make
from factories import (
    Folds,
    tiny_folds,
)

from optimizer.core.errors import ConfigError
from optimizer.models.base import EventClassifier, Explainable, Forecaster, Runtime
from optimizer.models.boosting import base as boosting
from optimizer.models.boosting.base import Booster
from optimizer.models.boosting.catboost import CatBoost
from optimizer.models.boosting.data import goal_of
from optimizer.models.boosting.lightgbm import LightGBM
from optimizer.models.boosting.xgboost import XGBoost
from optimizer.models.imbalance.base import FocalLoss, ImbalanceStrategy
from optimizer.models.imbalance.class_weight import ClassWeight
from optimizer.models.imbalance.focal import Focal, focal_prior, sigmoid
from optimizer.models.imbalance.random_undersample import RandomUndersample
from optimizer.models.imbalance.smote import Smote
from optimizer.models.imbalance.smote_tomek import SmoteTomek
from optimizer.targets.dataset import Dataset

NONE = ImbalanceStrategy()
STRATEGIES = [NONE, ClassWeight(), Smote(), SmoteTomek(), RandomUndersample(), Focal()]


@pytest.fixture(scope="module")
def events() -> Folds:
    return tiny_folds(EVENT, PANEL, TABLE)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("kind", BOOSTERS)
def test_booster_with_each_strategy_beats_a_constant(
    kind: type[Booster], strategy: ImbalanceStrategy, events: Folds
) -> None:
    from sklearn.metrics import average_precision_score

    model = make(kind)
    log = model.fit_events(events.train, events.valid, EVENT, strategy, RUN)
    score = model.score_events(events.test)
    assert score.shape == (len(events.test),)
    assert score.dtype == np.float32
    assert 0.0 <= score.min() < score.max() <= 1.0
    assert average_precision_score(events.test.y, score) > 1.5 * events.test.y.mean()
    assert 1 <= log.best_iteration <= 25
    assert len(log.curves["valid"]) >= log.best_iteration
    assert log.metric == ("log loss" if strategy is NONE else "average precision")
    assert len(log.notes) == int(strategy.resamples)


@pytest.mark.parametrize("kind", BOOSTERS)
def test_booster_log_loss_scores_are_near_the_prevalence(
    kind: type[Booster], events: Folds
) -> None:
    model = make(kind)
    model.fit_events(events.train, events.valid, EVENT, NONE, RUN)
    assert model.score_events(events.train).mean() == pytest.approx(events.train.y.mean(), rel=0.2)


@pytest.mark.parametrize("kind", BOOSTERS)
def test_booster_before_it_learns_scores_the_focal_prior(
    kind: type[Booster], events: Folds
) -> None:
    model = kind(rounds=1, learning_rate=1e-6)  # type: ignore[call-arg]
    model.fit_events(events.train, events.valid, EVENT, Focal(gamma=0.0, alpha=0.5), RUN)
    np.testing.assert_allclose(model.score_events(events.test), events.train.y.mean(), rtol=1e-3)


@pytest.mark.parametrize("kind", BOOSTERS)
def test_booster_focal_loss_without_focus_equals_the_log_loss(
    kind: type[Booster], events: Folds
) -> None:
    plain, focal = make(kind), make(kind)
    plain.fit_events(events.train, events.valid, EVENT, NONE, RUN)
    focal.fit_events(events.train, events.valid, EVENT, Focal(gamma=0.0, alpha=0.5), RUN)
    difference = plain.score_events(events.test) - focal.score_events(events.test)
    assert np.abs(difference).mean() < 0.02


FREE: dict[type[Booster], dict[str, float]] = {
    LightGBM: {
        "lambda_l2": 0.0,
        "min_child_samples": 1,
        "bagging_fraction": 1.0,
        "feature_fraction": 1.0,
    },
    XGBoost: {
        "reg_lambda": 0.0,
        "min_child_weight": 0.0,
        "subsample": 1.0,
        "colsample_bytree": 1.0,
    },
    CatBoost: {"l2_leaf_reg": 0.0, "subsample": 1.0, "rsm": 1.0},
}


@pytest.mark.parametrize("kind", BOOSTERS)
def test_booster_without_regularisation_reaches_the_optimum_of_the_focal_loss(
    kind: type[Booster],
) -> None:
    X = np.repeat([[0.0], [1.0]], 500, axis=0).astype(np.float32)
    y = np.zeros(1000, dtype=np.float32)
    y[:25] = 1.0  # 5 % of the one group
    y[500:625] = 1.0  # 25 % of the other
    table = replace(TABLE, values=X.T, specs=TABLE.specs[:1], service=np.zeros(1000, np.int32))
    rows = Dataset(PANEL, table, np.arange(1000), y)
    model = kind(200, 0.1, 40, "cpu", **FREE[kind])
    model.fit_events(rows, rows.select(y < 0.5), EVENT, Focal(2.0, 0.25), RUN)
    expected = sigmoid(np.array([focal_prior(rate, FocalLoss(2.0, 0.25)) for rate in (0.05, 0.25)]))
    np.testing.assert_allclose(model.score_events(rows)[[0, -1]], expected, rtol=1e-3)


@pytest.mark.parametrize("kind", BOOSTERS)
def test_booster_survives_pickling_with_its_threads_and_explains_itself(
    kind: type[Booster], events: Folds
) -> None:
    model = make(kind)
    assert isinstance(model, EventClassifier)
    assert isinstance(model, Forecaster)
    assert isinstance(model, Explainable)
    model.fit_events(events.train, events.valid, EVENT, Focal(), RUN)
    again = cloudpickle.loads(cloudpickle.dumps(model))
    np.testing.assert_array_equal(again.score_events(events.test), model.score_events(events.test))
    share = again.importance()
    assert tuple(share) == TABLE.names
    assert sum(share.values()) == pytest.approx(1.0)
    assert max(share, key=lambda name: share[name]).startswith("cpu")


@pytest.mark.parametrize("strategy", [NONE, Smote()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("kind", BOOSTERS)
def test_booster_same_seed_gives_same_scores(
    kind: type[Booster], strategy: ImbalanceStrategy, events: Folds
) -> None:
    scores = []
    for seed in (1, 1, 2):
        model = make(kind, 10)
        model.fit_events(events.train, events.valid, EVENT, strategy, Runtime(seed=seed))
        scores.append(model.score_events(events.test))
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


@pytest.mark.parametrize("kind", BOOSTERS)
def test_booster_leaves_its_samples_untouched(kind: type[Booster], events: Folds) -> None:
    table, train, valid = TABLE.values.copy(), events.train.y.copy(), events.valid.y.copy()
    make(kind, 2).fit_events(events.train, events.valid, EVENT, Smote(), RUN)
    np.testing.assert_array_equal(TABLE.values, table)
    np.testing.assert_array_equal(events.train.y, train)
    np.testing.assert_array_equal(events.valid.y, valid)


@pytest.mark.parametrize("kind", BOOSTERS)
def test_booster_reads_features_by_name(kind: type[Booster], events: Folds) -> None:
    model = make(kind, 5)
    model.fit_events(events.train, events.valid, EVENT, NONE, RUN)
    turned = replace(TABLE, values=TABLE.values[::-1].copy(), specs=TABLE.specs[::-1])
    np.testing.assert_array_equal(
        model.score_events(replace(events.test, table=turned)), model.score_events(events.test)
    )


def test_booster_predicts_the_same_in_chunks(
    events: Folds, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make(LightGBM, 5)
    model.fit_events(events.train, events.valid, EVENT, NONE, RUN)
    whole = model.score_events(events.test)
    monkeypatch.setattr(boosting, "CHUNK_ROWS", 100)
    np.testing.assert_array_equal(model.score_events(events.test), whole)


@pytest.mark.parametrize("strategy", [NONE, Focal()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("kind", BOOSTERS)
def test_booster_validation_of_one_class_trains_without_stopping(
    kind: type[Booster], strategy: ImbalanceStrategy, events: Folds
) -> None:
    quiet = events.valid.select(events.valid.y < 0.5)
    log = make(kind, 5).fit_events(events.train, quiet, EVENT, strategy, RUN)
    assert log.best_iteration == 5
    assert "no early stopping" in log.notes[0]


@pytest.mark.parametrize(("rows", "expected"), [(120_000, 1000), (1_700, 17), (50, 1)])
def test_least_leaf_gives_way_on_few_rows(rows: int, expected: int) -> None:
    assert boosting.least_leaf(1000, rows) == expected


def test_goal_stops_weighted_fits_on_average_precision(events: Folds) -> None:
    from optimizer.models.boosting.data import BoostingData

    X, y = events.train.matrix(), events.train.y
    plain = BoostingData(X, y, X, y)
    assert goal_of(plain, NONE).stop_on == "log_loss"
    assert goal_of(replace(plain, weight=y), ClassWeight()).stop_on == "average_precision"
    assert goal_of(plain, Focal()).stop_on == "average_precision"
    assert goal_of(plain, NONE).rate == pytest.approx(y.mean())


@pytest.mark.parametrize("kind", BOOSTERS)
def test_booster_on_a_gpu_that_fails_falls_back_to_the_cpu(
    kind: type[Booster],
    events: Folds,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = make(kind, 3)
    tried: list[str] = []
    real = model._train_events

    def train(fold: object, goal: object, device: str, runtime: object) -> object:
        tried.append(device)
        if device == "gpu":
            raise model._library_error()("no CUDA device")
        return real(fold, goal, device, runtime)  # type: ignore[arg-type]

    monkeypatch.setattr(model, "_train_events", train)
    monkeypatch.setattr(boosting, "has_gpu", lambda: True)
    model.fit_events(events.train, events.valid, EVENT, NONE, RUN)
    assert tried == ["gpu", "cpu"]
    assert "cannot use the GPU" in caplog.text


def test_booster_progress_bar_is_silent_unless_asked(
    events: Folds, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in BOOSTERS:
        make(kind, 2).fit_events(events.train, events.valid, EVENT, NONE, RUN)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("kind", BOOSTERS)
def test_booster_with_a_progress_bar_fits_the_same(kind: type[Booster], events: Folds) -> None:
    scores = []
    for progress in (False, True):
        model = make(kind, 3)
        model.fit_events(
            events.train, events.valid, EVENT, NONE, Runtime(threads=1, progress=progress)
        )
        scores.append(model.score_events(events.test))
    np.testing.assert_array_equal(scores[0], scores[1])


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [(kind, key, value) for kind in BOOSTERS for key, value in (("rounds", 0), ("device", "tpu"))]
    + [
        (LightGBM, "learning_rate", 0.0),
        (LightGBM, "num_leaves", 1),
        (LightGBM, "feature_fraction", 1.5),
        (XGBoost, "max_depth", 0),
        (XGBoost, "subsample", 0.0),
        (CatBoost, "depth", 17),
        (CatBoost, "border_count", 300),
        (CatBoost, "early_stopping_rounds", 0),
    ],
)
def test_booster_wrong_argument_names_the_key(kind: type[Booster], key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"model\.{key}"):
        kind(**{key: value})  # type: ignore[arg-type]
