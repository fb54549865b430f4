"""Watched trainings: what they tell, that they can be ended, and that watching changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from boosters import BOOSTERS, EVENT, FORECAST, PANEL, RUN, TABLE, make
from factories import Folds, tiny_folds

from optimizer.core.panel import FloatArray
from optimizer.models.base import TrainingLog
from optimizer.models.boosting.data import BoostingData
from optimizer.models.boosting.lightgbm import LightGBM
from optimizer.models.callbacks import TrainingCallback, TrainingStopped
from optimizer.models.imbalance.base import ImbalanceStrategy
from optimizer.models.imbalance.class_weight import ClassWeight
from optimizer.models.imbalance.focal import Focal
from optimizer.models.recurrent.gru import GRU
from optimizer.models.recurrent.lstm import LSTM

NONE = ImbalanceStrategy()
EPOCHS, ROUNDS = 3, 12
EVENTS, FORECASTS = tiny_folds(EVENT, PANEL, TABLE), tiny_folds(FORECAST, PANEL, TABLE)
KINDS = ["events", "forecasts"]


class Notes:
    """Takes what is told, and ends the training after so many reports."""

    def __init__(self, patience: int = 10_000) -> None:
        self.patience = patience
        self.told: list[tuple[float, float]] = []

    def __call__(self, share: float, value: float) -> None:
        self.told.append((share, value))
        if len(self.told) == self.patience:
            raise TrainingStopped("enough")

    @property
    def shares(self) -> list[float]:
        return [share for share, _ in self.told]


def small(kind: type) -> Any:
    if kind in BOOSTERS:
        return make(kind, ROUNDS)
    return kind(window="12h", hidden_size=8, max_epochs=EPOCHS, learning_rate=0.02)


def train(
    kind: type, what: str, watch: TrainingCallback | None = None, strategy: ImbalanceStrategy = NONE
) -> tuple[Any, TrainingLog, FloatArray]:
    """Return a fitted model, its log and its predictions of the test rows."""
    model, runtime = small(kind), replace(RUN, watch=watch or TrainingCallback())
    folds: Folds = EVENTS if what == "events" else FORECASTS
    if what == "events":
        log = model.fit_events(folds.train, folds.valid, EVENT, strategy, runtime)
        return model, log, model.score_events(folds.test)
    log = model.fit_forecast(folds.train, folds.valid, FORECAST, runtime)
    return model, log, model.predict_quantiles(folds.test)


def shown(log: TrainingLog) -> dict[str, list[float]]:
    """Return the validation curves; CatBoost sums up its training curve in another way."""
    found = {name: curve for name, curve in log.curves.items() if name.startswith("valid")}
    assert found
    return found


def test_part_divides_what_is_there_evenly() -> None:
    whole = TrainingCallback(print)
    halves = [whole.part(index, 2) for index in range(2)]
    assert [(one.start, one.stop) for one in halves] == [(0.0, 0.5), (0.5, 1.0)]
    quarter = halves[1].part(0, 2).part(1, 2)
    assert (quarter.start, quarter.stop) == (0.625, 0.75)
    assert quarter.tell is print


def test_report_places_a_share_within_its_part() -> None:
    notes = Notes()
    part = TrainingCallback(notes).part(1, 4)
    for share in (0.5, 1.0):
        part.report(share, 0.25)
    assert notes.told == [(0.375, 0.25), (0.5, 0.25)]


def test_report_of_no_number_is_not_told_and_nobody_need_watch() -> None:
    notes = Notes()
    for value in (np.nan, np.inf, -np.inf):
        TrainingCallback(notes).report(0.5, value)
    assert notes.told == []
    assert TrainingCallback(notes).active
    assert not TrainingCallback().part(0, 2).active
    TrainingCallback().report(0.5, 1.0)


def test_constant_loss_is_that_of_the_training_rows_quantiles() -> None:
    X = np.zeros((3, 1), dtype=np.float32)
    y, y_valid = np.array([0.0, 1.0, 2.0], "f4"), np.array([1.0, 2.0, 5.0], "f4")
    fold = BoostingData(X, y, X, y_valid)
    # the median is 1: (0 + 1 + 4) / 3 short, half of it; the quartile is 0.5: a quarter of 6.5 / 3
    assert fold.constant_loss((0.5,)) == pytest.approx(2.5 / 3)
    assert fold.constant_loss((0.25, 0.5)) == pytest.approx((6.5 / 12 + 2.5 / 3) / 2)
    assert replace(fold, y_valid=np.ones(3, "f4")).constant_loss((0.5,)) == 1.0  # not 0: a divisor


@pytest.mark.parametrize("what", KINDS)
@pytest.mark.parametrize("kind", [*BOOSTERS, GRU])
def test_training_tells_shares_that_increase_to_its_end(kind: type, what: str) -> None:
    notes = Notes()
    train(kind, what, TrainingCallback(notes).part(1, 2))
    assert len(notes.told) >= EPOCHS
    assert (np.diff(notes.shares) > 0).all()
    assert 0.5 < notes.shares[0] < 0.5 + 0.5 / EPOCHS + 1e-9
    assert notes.shares[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("strategy", [ClassWeight(), Focal()], ids=["weight", "focal"])
@pytest.mark.parametrize("kind", BOOSTERS)
def test_training_that_stops_on_the_watched_figure_tells_each_round_once(
    kind: type, strategy: ImbalanceStrategy
) -> None:
    notes = Notes()
    train(kind, "events", TrainingCallback(notes), strategy)
    np.testing.assert_allclose(notes.shares, np.arange(1, ROUNDS + 1) / ROUNDS)


@pytest.mark.parametrize("kind", [*BOOSTERS, GRU])
def test_events_tell_the_average_precision_of_the_validation_rows(kind: type) -> None:
    from sklearn.metrics import average_precision_score

    notes = Notes()
    model, log, _ = train(kind, "events", TrainingCallback(notes))
    found = average_precision_score(EVENTS.valid.y, model.score_events(EVENTS.valid))
    # XGBoost interpolates its curve
    assert notes.told[log.best_iteration - 1][1] == pytest.approx(found, abs=0.02)


@pytest.mark.parametrize("kind", BOOSTERS)
def test_booster_forecasts_tell_their_loss_relative_to_a_constants(kind: type) -> None:
    notes = Notes()
    train(kind, "forecasts", TrainingCallback(notes))
    values = np.array([value for _, value in notes.told])
    assert values[:ROUNDS].min() < 0.9  # an hour ahead something can be learned
    assert ((values > 0.2) & (values < 1.3)).all()  # of all models alike


def test_booster_of_a_metric_that_never_moves_can_be_watched() -> None:
    still = replace(PANEL, values=np.full_like(PANEL.values, 0.25))
    folds, notes = tiny_folds(FORECAST, still), Notes()
    make(LightGBM, 3).fit_forecast(
        folds.train, folds.valid, FORECAST, replace(RUN, watch=TrainingCallback(notes))
    )
    assert {value for _, value in notes.told} == {0.0}


def test_recurrent_forecasts_tell_the_pinball_loss_that_the_log_shows() -> None:
    notes = Notes()
    _, log, _ = train(GRU, "forecasts", TrainingCallback(notes))
    assert [value for _, value in notes.told] == log.curves["valid"]
    assert min(log.curves["valid"]) > 0


@pytest.mark.parametrize("what", KINDS)
@pytest.mark.parametrize("kind", [*BOOSTERS, GRU])
def test_training_ends_when_it_is_told_to_and_says_why(kind: type, what: str) -> None:
    notes = Notes(patience=2)
    with pytest.raises(TrainingStopped) as caught:
        train(kind, what, TrainingCallback(notes))
    assert caught.value.reason == "enough"
    assert len(notes.told) == 2


@pytest.mark.parametrize("what", KINDS)
@pytest.mark.parametrize("kind", [*BOOSTERS, LSTM])
def test_watched_training_that_goes_on_predicts_exactly_as_an_unwatched_one(
    kind: type, what: str
) -> None:
    notes = Notes()
    _, plain, alone = train(kind, what)
    _, log, watched = train(kind, what, TrainingCallback(notes))
    assert notes.told
    np.testing.assert_array_equal(watched, alone)
    assert (log.metric, log.best_iteration) == (plain.metric, plain.best_iteration)
    assert shown(log) == shown(plain)


@pytest.mark.parametrize("kind", BOOSTERS)
def test_watched_training_stops_early_where_an_unwatched_one_does(kind: type) -> None:
    logs = []
    tell: Callable[[float, float], None] | None
    for tell in (None, Notes()):
        model = kind(rounds=80, learning_rate=0.3, early_stopping_rounds=2)
        runtime = replace(RUN, watch=TrainingCallback(tell))
        logs.append(model.fit_events(EVENTS.train, EVENTS.valid, EVENT, NONE, runtime))
    assert logs[0].best_iteration == logs[1].best_iteration < 70
    assert shown(logs[0]) == shown(logs[1])
    assert logs[1].metric == "log loss"
