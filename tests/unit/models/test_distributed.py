"""Boosters trained on the workers of Dask: as good as local ones, and no different afterwards."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import cloudpickle
import numpy as np
import pytest
from boosters import EVENT, FORECAST, PANEL, RUN, TABLE, make, pinball
from factories import Folds, tiny_folds

from optimizer.core.errors import ConfigError
from optimizer.models.base import Runtime
from optimizer.models.boosting.base import Booster
from optimizer.models.boosting.dask_data import drawn_rows
from optimizer.models.boosting.lightgbm import LightGBM
from optimizer.models.boosting.xgboost import XGBoost
from optimizer.models.callbacks import TrainingCallback
from optimizer.models.imbalance.base import ImbalanceStrategy
from optimizer.models.imbalance.class_weight import ClassWeight
from optimizer.models.imbalance.focal import Focal

NONE = ImbalanceStrategy()
KINDS = [LightGBM, XGBoost]


@pytest.fixture(scope="module")
def run() -> Iterator[Runtime]:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=":0",
        silence_logs=logging.CRITICAL,
    ) as cluster:
        yield replace(RUN, scheduler=cluster.scheduler_address)


@pytest.fixture(scope="module")
def events() -> Folds:
    return tiny_folds(EVENT, PANEL, TABLE)


@pytest.fixture(scope="module")
def forecasts() -> Folds:
    return tiny_folds(FORECAST, PANEL, TABLE)


def spread(kind: type[Booster], rounds: int = 40, patience: int = 40) -> Booster:
    """Return a small booster that trains on the workers."""
    model = make(kind, rounds)
    model.distributed = True  # type: ignore[attr-defined]
    model.early_stopping_rounds = patience
    return model


@pytest.mark.parametrize("strategy", [NONE, ClassWeight(), Focal()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_distributed_events_are_ranked_as_well_as_locally(
    kind: type[Booster], strategy: ImbalanceStrategy, events: Folds, run: Runtime
) -> None:
    from sklearn.metrics import average_precision_score

    found, curves = [], []
    for model in (make(kind, 40), spread(kind)):
        log = model.fit_events(events.train, events.valid, EVENT, strategy, run)
        score = model.score_events(events.test)
        found.append((average_precision_score(events.test.y, score), score.mean()))
        curves.append({name: len(values) for name, values in log.curves.items()})
        assert 1 <= log.best_iteration <= 40
    (local, level), (there, level_there) = found
    assert there == pytest.approx(local, abs=0.05)
    assert level_there == pytest.approx(level, rel=0.15)  # as well calibrated
    assert curves[0] == curves[1]


@pytest.mark.parametrize("kind", KINDS)
def test_distributed_forecast_is_as_good_as_a_local_one(
    kind: type[Booster], forecasts: Folds, run: Runtime
) -> None:
    losses, curves = [], []
    for model in (make(kind, 40), spread(kind)):
        log = model.fit_forecast(forecasts.train, forecasts.valid, FORECAST, run)
        losses.append(pinball(forecasts.test.y, model.predict_quantiles(forecasts.test)))
        curves.append(log.curves.keys())
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.05)
    assert curves[0] == curves[1]


@pytest.mark.parametrize("kind", KINDS)
def test_distributed_fit_repeats_and_is_a_plain_model_afterwards(
    kind: type[Booster], events: Folds, run: Runtime
) -> None:
    scores = []
    for seed in (1, 1, 2):
        model = spread(kind, 10)
        model.fit_events(events.train, events.valid, EVENT, NONE, replace(run, seed=seed))
        scores.append(model.score_events(events.test))
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])
    again = cloudpickle.loads(cloudpickle.dumps(model))
    np.testing.assert_array_equal(again.score_events(events.test), scores[2])
    assert type(again._fitted[0].model).__module__ in {"lightgbm.basic", "xgboost.core"}
    assert sum(again.importance().values()) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_distributed_fit_stops_by_the_rule_of_a_local_one(
    kind: type[Booster], events: Folds, run: Runtime
) -> None:
    model = spread(kind, rounds=200, patience=3)
    log = model.fit_events(events.train, events.valid, EVENT, NONE, run)
    valid = log.curves["valid"]
    assert len(valid) == log.best_iteration + 3 < 200
    assert int(np.argmin(valid)) + 1 == log.best_iteration
    booster = model._fitted[0].model
    trees = booster.num_trees() if kind is LightGBM else booster.num_boosted_rounds()
    assert trees == log.best_iteration


@pytest.mark.parametrize("kind", KINDS)
def test_distributed_fit_within_a_task_does_not_wait_for_its_own_thread(
    kind: type[Booster], events: Folds, run: Runtime
) -> None:
    from distributed import Client

    given = (events.train, events.valid, EVENT, Focal(), run)
    outside = spread(kind, 5).fit_events(*given)
    with Client(run.scheduler, set_as_default=False) as client:
        tasks = [client.submit(spread(kind, 5).fit_events, *given, pure=False) for _ in range(2)]
        inside = client.gather(tasks)
    assert [log.curves["valid"] for log in inside] == [outside.curves["valid"]] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_distributed_fit_reports_to_nobody(
    kind: type[Booster], events: Folds, run: Runtime
) -> None:
    told: list[float] = []
    watched = replace(run, watch=TrainingCallback(lambda share, value: told.append(value)))
    logs = [
        spread(kind, 5).fit_events(events.train, events.valid, EVENT, NONE, runtime)
        for runtime in (run, watched)
    ]
    assert told == []
    assert logs[0] == logs[1]


@pytest.mark.parametrize("kind", KINDS)
def test_distributed_fit_without_a_scheduler_names_the_key(
    kind: type[Booster], events: Folds
) -> None:
    with pytest.raises(ConfigError, match=r"model\.distributed: got True .* add runner=dask"):
        spread(kind, 2).fit_events(events.train, events.valid, EVENT, NONE, RUN)


def test_drawn_rows_are_every_row_once_in_parts_of_one_size() -> None:
    parts = drawn_rows(1001, 4, seed=7)
    assert sorted(len(part) for part in parts) == [250, 250, 250, 251]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(1001))
    assert all((np.diff(part) > 0).all() for part in parts)
    # neither blocks nor every fourth row: each part holds rows of each quarter and remainder
    assert all(np.bincount(part // 251, minlength=4).min() > 40 for part in parts)
    assert all(np.bincount(part % 4, minlength=4).min() > 40 for part in parts)
