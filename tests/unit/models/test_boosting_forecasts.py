"""Forecasts of every booster: quantiles, the folds they learn from, a day ahead, the future."""

from __future__ import annotations

from dataclasses import replace

import cloudpickle
import numpy as np
import pytest
from boosters import BOOSTERS, FORECAST, PANEL, RUN, TABLE, make, pinball
from factories import (
    Folds,
    forecast_task,
    tiny_folds,
    tiny_panel,
    tiny_samples,
    tiny_table,
)

from optimizer.models.boosting.base import Booster
from optimizer.models.boosting.data import residual_folds
from optimizer.models.boosting.lightgbm import LightGBM


@pytest.fixture(scope="module")
def forecasts() -> Folds:
    return tiny_folds(FORECAST, PANEL, TABLE)


@pytest.mark.parametrize("kind", BOOSTERS)
def test_booster_forecast_beats_a_constant_and_quantiles_ascend(
    kind: type[Booster], forecasts: Folds
) -> None:
    model = make(kind, 40)
    log = model.fit_forecast(forecasts.train, forecasts.valid, FORECAST, RUN)
    found = model.predict_quantiles(forecasts.test)
    assert found.shape == (len(forecasts.test), 2, 3)
    assert found.dtype == np.float32
    assert (np.diff(found, axis=-1) >= 0).all()
    constant = np.nanquantile(forecasts.train.y, FORECAST.quantiles, axis=0).T[None]
    beaten = pinball(forecasts.test.y, constant.astype(np.float32))
    assert (pinball(forecasts.test.y, found) < np.array([0.5, 0.95]) * beaten).all()
    assert log.metric == "pinball loss"
    assert {name.rsplit(" ", 1)[1] for name in log.curves} == {"1h", "24h"}


@pytest.mark.parametrize("kind", BOOSTERS)
def test_booster_forecast_survives_pickling(kind: type[Booster], forecasts: Folds) -> None:
    model = make(kind, 5)
    model.fit_forecast(forecasts.train, forecasts.valid, FORECAST, RUN)
    again = cloudpickle.loads(cloudpickle.dumps(model))
    expected = model.predict_quantiles(forecasts.test)
    np.testing.assert_array_equal(again.predict_quantiles(forecasts.test), expected)
    assert sum(again.importance().values()) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", BOOSTERS)
def test_booster_forecast_ignores_the_future(kind: type[Booster]) -> None:
    panel = tiny_panel(4, 300, seed=5)
    table = tiny_table(panel)
    train, valid = (tiny_samples(FORECAST, panel, table, stop=s) for s in (150, 180))
    model = make(kind, 5)
    model.fit_forecast(train, valid, FORECAST, RUN)
    samples = tiny_samples(FORECAST, panel, table, start=200, stop=250)
    before = model.predict_quantiles(samples)
    panel.values[:, :, 250:] = 9.0
    np.testing.assert_array_equal(model.predict_quantiles(samples), before)


def test_residual_folds_drop_unknown_futures_and_count_from_the_last_value() -> None:
    task = forecast_task(PANEL, ("6h",))
    train = tiny_samples(task, PANEL, TABLE, start=30, stop=100)
    y = train.y.copy()
    y[:3] = np.nan
    ((anchor, fold),) = residual_folds(replace(train, y=y), train, task, 0)
    assert anchor == "last"
    assert len(fold.y) == len(train) - 3
    now = train.current(task.metric)
    known = ~np.isnan(now)
    known[:3] = False
    np.testing.assert_allclose(
        fold.y[known[3:]], (train.y[:, 0] - now)[known], rtol=1e-4, atol=1e-6
    )


def test_residual_folds_a_day_ahead_are_the_level_and_the_residual_on_the_recent_median() -> None:
    task = forecast_task(PANEL, ("24h",))
    train = tiny_samples(task, PANEL, TABLE, start=100, stop=200)
    folds = dict(residual_folds(train, train, task, 0))
    assert tuple(folds) == ("level", "median")
    y = train.y[~np.isnan(train.y[:, 0]), 0]
    np.testing.assert_array_equal(folds["level"].y, y)
    assert folds["level"].X is folds["median"].X
    cpu = PANEL.metric(task.metric)
    known = train.select(~np.isnan(train.y[:, 0]))
    medians = [
        np.nanmedian(cpu[service, step - 71 : step + 1])
        for service, step in zip(known.service, known.step, strict=True)
    ]
    np.testing.assert_allclose(folds["median"].y, y - np.array(medians), atol=1e-6)


def test_booster_a_day_ahead_without_evidence_averages_the_quantiles_of_its_two_models(
    forecasts: Folds,
) -> None:
    model = make(LightGBM, 5)
    model.fit_forecast(forecasts.train, forecasts.valid, FORECAST, RUN)
    assert [(one.position, one.anchor) for one in model._members] == [
        (0, "last"),
        (1, "level"),
        (1, "median"),
    ]
    assert model._last_trained == forecasts.train.timestamps.max()
    # rows that the models were fitted on are no evidence
    level, median = model._member_quantiles(forecasts.train, 1)
    assert not np.array_equal(level, median)
    found = model.predict_quantiles(forecasts.train)
    np.testing.assert_allclose(found[:, 1], (level + median) / 2, atol=1e-6)
    (last,) = model._member_quantiles(forecasts.train, 0)
    np.testing.assert_array_equal(found[:, 0], last)


@pytest.mark.parametrize("kind", BOOSTERS)
def test_booster_a_day_ahead_follows_the_expert_that_did_best_lately(
    kind: type[Booster], forecasts: Folds
) -> None:
    model = make(kind, 5)
    model.fit_forecast(forecasts.train, forecasts.valid, FORECAST, RUN)
    start = int(forecasts.test.step.min())
    values = PANEL.values.copy()
    values[:, :, start:] *= 3.0  # as it never was in training
    panel = replace(PANEL, values=values)
    samples = tiny_samples(FORECAST, panel, start=start + 72)
    models = np.mean(model._member_quantiles(samples, 1), axis=0)
    weighted = model.predict_quantiles(samples)[:, 1]
    losses = [pinball(samples.y[:, 1:], one[:, None])[0] for one in (weighted, models)]
    assert losses[0] < 0.8 * losses[1]
