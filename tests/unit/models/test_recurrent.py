"""The LSTM and the GRU on tiny data: they learn, repeat, travel and leave no trace."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
from factories import Folds, event_task, forecast_task, tiny_folds, tiny_panel

from optimizer.core.errors import InsufficientHistoryError
from optimizer.core.panel import FloatArray
from optimizer.core.schema import CPU
from optimizer.models.base import EventClassifier, Forecaster, Runtime
from optimizer.models.imbalance.base import FocalLoss, ImbalanceStrategy
from optimizer.models.recurrent.base import RecurrentModel
from optimizer.models.recurrent.gru import GRU
from optimizer.models.recurrent.lstm import LSTM
from optimizer.targets.dataset import Dataset

torch = pytest.importorskip("torch")

PANEL = tiny_panel(8, 300)
EVENT, FORECAST = event_task(PANEL), forecast_task(PANEL)
RUNTIME = Runtime(seed=0)


class Weighted(ImbalanceStrategy):
    def sample_weight(self, y: FloatArray) -> FloatArray | None:
        return np.where(y > 0.5, 10.0, 1.0).astype(np.float32)


class Focused(ImbalanceStrategy):
    @property
    def loss(self) -> FocalLoss | None:
        return FocalLoss(gamma=1.0, alpha=0.75)


class Repeated(ImbalanceStrategy):
    @property
    def resamples(self) -> bool:
        return True

    def resample(
        self, X: FloatArray, y: FloatArray, seed: int
    ) -> tuple[FloatArray, FloatArray, str]:
        again = np.flatnonzero(y > 0.5).repeat(3)
        return np.concatenate([X, X[again]]), np.concatenate([y, y[again]]), "repeated"


def _small(cls: type[RecurrentModel], **changes: object) -> RecurrentModel:
    arguments = {"window": "12h", "hidden_size": 8, "batch_size": 64, "max_epochs": 4}
    return cls(**(arguments | {"learning_rate": 0.02} | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def event_folds() -> Folds:
    return tiny_folds(EVENT, PANEL)


@pytest.fixture(scope="module")
def forecast_folds() -> Folds:
    return tiny_folds(FORECAST, PANEL)


@pytest.fixture(scope="module")
def fitted(event_folds: Folds) -> RecurrentModel:
    return _fit(_small(LSTM), event_folds)


def _fit(
    model: RecurrentModel, folds: Folds, strategy: ImbalanceStrategy | None = None, seed: int = 0
) -> RecurrentModel:
    runtime = replace(RUNTIME, seed=seed)
    strategy = strategy or ImbalanceStrategy()
    model.fit_events(folds.train, folds.valid, EVENT, strategy, runtime)
    return model


def _average_precision(model: RecurrentModel, folds: Folds) -> float:
    from sklearn.metrics import average_precision_score

    scores = model.score_events(folds.test)
    assert scores.shape == (len(folds.test),)
    assert scores.dtype == np.float32
    assert ((scores >= 0.0) & (scores <= 1.0)).all()
    return float(average_precision_score(folds.test.y > 0.5, scores))


@pytest.mark.parametrize("cls", [LSTM, GRU])
@pytest.mark.parametrize("strategy", [ImbalanceStrategy, Weighted, Focused, Repeated])
def test_events_rank_better_than_a_constant(
    cls: type[RecurrentModel], strategy: type[ImbalanceStrategy], event_folds: Folds
) -> None:
    model = _fit(_small(cls), event_folds, strategy())
    assert _average_precision(model, event_folds) > 1.7 * event_folds.test.y.mean()


@pytest.mark.parametrize("cls", [LSTM, GRU])
def test_forecast_beats_the_constant_quantiles(
    cls: type[RecurrentModel], forecast_folds: Folds
) -> None:
    model, (train, valid, test) = _small(cls), _parts(forecast_folds)
    log = model.fit_forecast(train, valid, FORECAST, RUNTIME)
    quantiles = model.predict_quantiles(test)
    assert quantiles.shape == (len(test), 2, 3)
    assert (np.diff(quantiles, axis=-1) >= 0.0).all()
    assert (quantiles >= 0.0).all()
    constant = np.nanquantile(train.y, FORECAST.quantiles, axis=0).T[None]
    assert _pinball(test.y, quantiles)[0] < 0.6 * _pinball(test.y, constant)[0]
    assert log.metric == "pinball loss"
    assert log.curves["valid"][log.best_iteration - 1] == min(log.curves["valid"])


def _parts(folds: Folds) -> tuple[Dataset, Dataset, Dataset]:
    return folds.train, folds.valid, folds.test


def _pinball(y: FloatArray, quantiles: FloatArray) -> FloatArray:
    levels = np.array(FORECAST.quantiles)
    short = y[..., None] - quantiles
    return np.nanmean(np.maximum(levels * short, (levels - 1.0) * short), axis=(0, 2))


def test_untrained_forecast_is_persistence_with_residual_quantiles(
    forecast_folds: Folds,
) -> None:
    train, valid, test = _parts(forecast_folds)
    model = _small(GRU, max_epochs=1, learning_rate=1e-12)
    model.fit_forecast(train, valid, FORECAST, RUNTIME)
    now = test.current(CPU)
    known = ~np.isnan(now)
    hour_ahead = model.predict_quantiles(test)[known, 0]
    # The middle residual of a stationary series is near zero, and the tails lie on both sides.
    assert np.median(np.abs(hour_ahead[:, 1] - now[known])) < 0.02
    assert (hour_ahead[:, 0] < now[known]).mean() > 0.95
    assert (hour_ahead[:, 2] > now[known]).all()


def test_log_holds_one_score_per_epoch_and_the_note_of_the_strategy(event_folds: Folds) -> None:
    model = _small(LSTM, max_epochs=2)
    log = model.fit_events(event_folds.train, event_folds.valid, EVENT, Repeated(), RUNTIME)
    assert {name: len(values) for name, values in log.curves.items()} == {"train": 2, "valid": 2}
    assert log.metric == "average precision"
    assert log.curves["valid"][log.best_iteration - 1] == max(log.curves["valid"])
    assert log.notes == ("repeated",)


def test_training_stops_when_patience_ends_and_keeps_the_best_weights(
    event_folds: Folds,
) -> None:
    from sklearn.metrics import average_precision_score

    model = _small(LSTM, max_epochs=30, patience=1, learning_rate=0.1, precision="32-true")
    valid = event_folds.valid
    log = model.fit_events(event_folds.train, valid, EVENT, ImbalanceStrategy(), RUNTIME)
    assert len(log.curves["valid"]) == log.best_iteration + 1 < 30
    again = average_precision_score(valid.y > 0.5, model.score_events(valid))
    assert again == pytest.approx(max(log.curves["valid"]), abs=1e-6)


def test_validation_without_positives_is_scored_by_the_loss(event_folds: Folds) -> None:
    valid = event_folds.valid.select(event_folds.valid.y < 0.5)
    model = _small(LSTM, max_epochs=1)
    log = model.fit_events(event_folds.train, valid, EVENT, ImbalanceStrategy(), RUNTIME)
    assert log.metric == "loss"
    assert log.curves["valid"][0] > 0.0


def test_scores_ignore_the_future_exactly(fitted: RecurrentModel, event_folds: Folds) -> None:
    cut = int(event_folds.test.step.min()) + 20
    test = event_folds.test.select(event_folds.test.step <= cut)
    later = PANEL.values.copy()
    later[:, :, cut + 1 :] = np.random.default_rng(1).random(later[:, :, cut + 1 :].shape)
    changed = replace(test, panel=replace(PANEL, values=later))
    np.testing.assert_array_equal(fitted.score_events(test), fitted.score_events(changed))


def test_unseen_service_is_scored_like_a_seen_one(
    fitted: RecurrentModel, event_folds: Folds
) -> None:
    test = event_folds.test
    renamed = replace(PANEL, services=tuple(f"new-{name}" for name in PANEL.services))
    np.testing.assert_array_equal(
        fitted.score_events(test), fitted.score_events(replace(test, panel=renamed))
    )


def test_pickle_round_trip_predicts_the_same_without_torch_inside(
    fitted: RecurrentModel, event_folds: Folds
) -> None:
    data = cloudpickle.dumps(fitted)
    assert b"torch._utils" not in data
    again = cloudpickle.loads(data)
    np.testing.assert_array_equal(
        again.score_events(event_folds.test), fitted.score_events(event_folds.test)
    )


def test_same_seed_repeats_and_another_differs(event_folds: Folds) -> None:
    a, b, c = (_fit(_small(GRU, max_epochs=2), event_folds, seed=s) for s in (0, 0, 1))
    test = event_folds.test
    np.testing.assert_array_equal(a.score_events(test), b.score_events(test))
    assert not np.array_equal(a.score_events(test), c.score_events(test))


def test_fit_gives_random_state_threads_and_log_level_back(event_folds: Folds) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    threads, level = torch.get_num_threads(), logging.getLogger("pytorch_lightning").level
    _fit(_small(LSTM, max_epochs=1), event_folds)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert torch.get_num_threads() == threads
    assert logging.getLogger("pytorch_lightning").level == level


def test_fit_writes_no_file_and_prints_nothing(
    event_folds: Folds,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    _fit(_small(LSTM, max_epochs=2), event_folds)
    assert list(tmp_path.iterdir()) == []
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""


def test_fit_works_outside_the_main_thread(event_folds: Folds) -> None:
    model = _small(LSTM, max_epochs=1)
    worker = threading.Thread(target=_fit, args=(model, event_folds))
    worker.start()
    worker.join()
    assert model.fitted is not None


@pytest.mark.parametrize(("batch_size", "threads"), [(64, 1), (600, 2)])
def test_threads_are_those_of_the_runtime_that_a_batch_can_feed(
    batch_size: int, threads: int, event_folds: Folds
) -> None:
    model = _small(GRU, batch_size=batch_size, max_epochs=1, max_train_rows=64, max_valid_rows=64)
    runtime = Runtime(seed=0, threads=4)
    model.fit_events(event_folds.train, event_folds.valid, EVENT, ImbalanceStrategy(), runtime)
    assert model.fitted is not None
    assert model.fitted.threads == threads


@pytest.mark.parametrize(("step", "length"), [("1h", 48), ("5min", 72)])
def test_window_is_a_duration_bounded_in_steps(step: str, length: int) -> None:
    panel = tiny_panel(3, 200, step=step)
    task = event_task(panel, "1h")
    folds = tiny_folds(task, panel)
    model = LSTM(hidden_size=4, max_epochs=1, max_train_rows=64, max_valid_rows=64)
    model.fit_events(folds.train, folds.valid, task, ImbalanceStrategy(), RUNTIME)
    assert model.fitted is not None
    assert model.fitted.channels.length == length
    assert np.isfinite(model.score_events(folds.test)).all()


def test_empty_validation_fold_is_refused(event_folds: Folds) -> None:
    train = event_folds.train
    empty = train.select(np.zeros(len(train), dtype=bool))
    with pytest.raises(InsufficientHistoryError, match="validation fold"):
        _small(LSTM).fit_events(train, empty, EVENT, ImbalanceStrategy(), RUNTIME)


def test_prediction_before_fitting_or_of_the_other_task_is_a_mistake(
    fitted: RecurrentModel, event_folds: Folds
) -> None:
    with pytest.raises(RuntimeError, match="LSTM has to be fitted"):
        LSTM().score_events(event_folds.test)
    with pytest.raises(RuntimeError, match="fitted on events"):
        fitted.predict_quantiles(event_folds.test)


def test_both_cells_serve_both_protocols() -> None:
    for model in (LSTM(), GRU()):
        assert isinstance(model, EventClassifier)
        assert isinstance(model, Forecaster)
