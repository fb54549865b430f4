"""Baselines against numbers computed by hand, and against a changed future."""

from __future__ import annotations

from dataclasses import replace

import cloudpickle
import numpy as np
import pytest
from factories import (
    event_task,
    forecast_task,
    panel_of,
    tiny_folds,
    tiny_panel,
    tiny_samples,
    tiny_table,
)

from optimizer.core.errors import ConfigError, TargetError
from optimizer.models.base import EventClassifier, Explainable, Forecaster, Runtime
from optimizer.models.baselines.last_hour_max import LastHourMax
from optimizer.models.baselines.linear import Linear
from optimizer.models.baselines.logistic import Logistic
from optimizer.models.baselines.persistence import Persistence
from optimizer.models.baselines.persistence_seasonal import PersistenceSeasonal
from optimizer.models.baselines.residual_quantiles import residual_quantiles
from optimizer.models.baselines.same_hour_mean import SameHourMean
from optimizer.models.baselines.seasonal_naive import SeasonalNaive
from optimizer.models.baselines.service_rate import ServiceRate
from optimizer.models.imbalance.base import ImbalanceStrategy
from optimizer.models.imbalance.class_weight import ClassWeight
from optimizer.models.imbalance.focal import Focal
from optimizer.models.imbalance.smote import Smote
from optimizer.targets.dataset import Dataset

NAN = np.nan
NONE = ImbalanceStrategy()
RUN = Runtime()
CLASSIFIERS = [Persistence, LastHourMax, SameHourMean, ServiceRate, Logistic]
FORECASTERS = [Persistence, SeasonalNaive, PersistenceSeasonal, SameHourMean, Linear]


def rows_at(cpu: object, steps: list[int], *, step: str = "1h") -> Dataset:
    """Return rows of the first service at the steps, with labels of zero."""
    panel = panel_of(cpu, step=step)
    y = np.zeros(len(steps), dtype=np.float32)
    return Dataset(panel, tiny_table(panel), np.array(steps, dtype=np.int64), y)


def fit_and_score(model: EventClassifier, samples: Dataset) -> list[float]:
    model.fit_events(samples, samples, event_task(samples.panel), NONE, RUN)
    return model.score_events(samples).tolist()


def fit_and_point(model: Forecaster, samples: Dataset, horizons: tuple[str, ...]) -> list[float]:
    """Return the 0.5 quantile of the first row, per horizon."""
    task = forecast_task(samples.panel, horizons)
    samples = replace(samples, y=np.full((len(samples), len(horizons)), NAN, dtype=np.float32))
    model.fit_forecast(samples, samples, task, RUN)
    points: list[float] = model.predict_quantiles(samples)[0, :, 1].tolist()
    return points


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_event_baselines_obey_the_protocol(kind: type[EventClassifier]) -> None:
    assert isinstance(kind(), EventClassifier)
    assert isinstance(kind(), Forecaster) == (kind in FORECASTERS)


@pytest.mark.parametrize("kind", FORECASTERS)
def test_forecast_baselines_obey_the_protocol(kind: type[Forecaster]) -> None:
    assert isinstance(kind(), Forecaster)
    assert isinstance(kind(), EventClassifier) == (kind in CLASSIFIERS)


def test_persistence_scores_the_value_now_clipped() -> None:
    samples = rows_at([0.3, 1.7, NAN, 0.5], [0, 1, 2, 3])
    assert fit_and_score(Persistence(), samples) == pytest.approx([0.3, 1.0, 1.0, 0.5])


def test_last_hour_max_at_five_minutes_looks_back_twelve_steps() -> None:
    cpu = np.full(30, 0.1)
    cpu[5] = 0.7
    samples = rows_at(cpu, [4, 5, 16, 17], step="5min")
    assert fit_and_score(LastHourMax(), samples) == pytest.approx([0.1, 0.7, 0.7, 0.1])


def test_same_hour_mean_scores_the_past_days_at_the_horizon() -> None:
    cpu = np.zeros(72)
    cpu[33], cpu[9] = 0.8, 0.4  # 24 and 48 h before the target of t = 54 with a horizon of 3 h
    samples = rows_at(cpu, [54])
    assert fit_and_score(SameHourMean(), samples) == pytest.approx([0.6])


def test_service_rate_shrinks_by_twenty_rows_and_unseen_gets_the_fleet() -> None:
    panel = tiny_panel(3, 50, gaps=0.0)
    table = tiny_table(panel)
    y = np.zeros(40, dtype=np.float32)
    y[:10] = 1.0  # service 0: 10 of 30 in training; service 1: 0 of 10 in validation
    train = Dataset(panel, table, np.arange(30), y[:30])
    valid = Dataset(panel, table, np.arange(50, 60), y[30:])
    test = Dataset(panel, table, np.array([5, 55, 105]), np.zeros(3, dtype=np.float32))
    model = ServiceRate()
    model.fit_events(train, valid, event_task(panel), NONE, RUN)
    np.testing.assert_allclose(
        model.score_events(test), [(10 + 20 * 0.25) / 50, (0 + 20 * 0.25) / 30, 0.25], rtol=1e-6
    )
    other = replace(panel, services=("new", "svc-000", "svc-001"))
    np.testing.assert_allclose(
        model.score_events(replace(test, panel=other)), [0.25, 0.3, 5 / 30], rtol=1e-6
    )


def test_persistence_forecasts_the_value_now_or_the_last_one() -> None:
    assert fit_and_point(Persistence(), rows_at([0.3, 0.6], [0]), ("1h", "24h")) == pytest.approx(
        [0.3, 0.3]
    )
    assert fit_and_point(Persistence(), rows_at([0.3, NAN], [1]), ("1h",)) == pytest.approx([0.3])


def test_seasonal_naive_reads_one_season_before_the_target() -> None:
    samples = rows_at(np.arange(100) / 100, [60])
    # 1 h: 61 - 24; 24 h: 84 - 24 = t itself; 30 h: 90 - 48, since 90 - 24 is in the future
    found = fit_and_point(SeasonalNaive(), samples, ("1h", "24h", "30h"))
    assert found == pytest.approx([0.37, 0.60, 0.42])


def test_seasonal_naive_season_is_configurable() -> None:
    samples = rows_at(np.arange(200) / 1000, [180])
    assert fit_and_point(SeasonalNaive("7d"), samples, ("1h",)) == pytest.approx([0.013])
    with pytest.raises(ConfigError, match=r"model\.season"):
        SeasonalNaive("often")


def test_persistence_seasonal_is_the_mean_of_both_or_the_one_there_is() -> None:
    cpu = np.arange(100) / 100
    model = PersistenceSeasonal()
    assert fit_and_point(model, rows_at(cpu, [60]), ("1h",)) == pytest.approx([(0.60 + 0.37) / 2])
    cpu[37] = NAN
    assert fit_and_point(model, rows_at(cpu, [60]), ("1h",)) == pytest.approx([0.60])


def test_same_hour_mean_forecasts_the_past_days() -> None:
    samples = rows_at(np.arange(100) / 100, [60])
    found = fit_and_point(SameHourMean(days=2), samples, ("1h",))
    assert found == pytest.approx([(0.37 + 0.13) / 2])


def test_point_without_any_past_is_the_service_mean_and_the_fleet_mean_if_unseen() -> None:
    cpu = np.array([[NAN, 0.2, 0.4], [NAN, 0.9, 0.9]])
    panel = panel_of(cpu)
    samples = Dataset(panel, tiny_table(panel), np.arange(6), np.full((6, 1), NAN, np.float32))
    model = Persistence()
    model.fit_forecast(samples, samples, forecast_task(panel, ("1h",)), RUN)
    points = model.points(samples)[:, 0]
    np.testing.assert_allclose(points, [0.3, 0.2, 0.4, 0.9, 0.9, 0.9], rtol=1e-6)
    unseen = replace(samples, panel=replace(panel, services=("a", "svc-000")))
    np.testing.assert_allclose(model.points(unseen)[[0, 3], 0], [0.6, 0.3], rtol=1e-6)


def test_residual_quantiles_are_each_services_own_or_the_fleets() -> None:
    own = np.arange(101, dtype=np.float32) - 50.0  # quantiles by hand: -40 and 40
    few = np.full(49, 7.0, dtype=np.float32)
    service = np.repeat([0, 1], [101, 49]).astype(np.int32)
    residual = np.concatenate([own, few])[:, None]
    table = residual_quantiles(service, residual, ("a", "b", "c"), (0.1, 0.5, 0.9))
    np.testing.assert_allclose(table.values[0, 0], [-40.0, 0.0, 40.0], atol=1e-5)
    fleet = np.quantile(residual, [0.1, 0.9])
    for row in (1, 2, 3):
        np.testing.assert_allclose(table.values[row, 0], [fleet[0], 0.0, fleet[1]], rtol=1e-5)


def test_residual_quantiles_of_a_biased_forecast_still_ascend() -> None:
    residual = np.linspace(1.0, 2.0, 60, dtype=np.float32)[:, None]
    table = residual_quantiles(np.zeros(60, np.int32), residual, ("a",), (0.1, 0.5, 0.9))
    np.testing.assert_allclose(table.values[0, 0], [0.0, 0.0, 1.9], atol=1e-5)


@pytest.mark.parametrize("kind", FORECASTERS)
def test_forecast_baseline_covers_and_ascends_and_survives_pickling(kind: type[Forecaster]) -> None:
    panel = tiny_panel(8, 500, seed=3)
    task = forecast_task(panel)
    folds = tiny_folds(task, panel)
    model = kind()
    model.fit_forecast(folds.train, folds.valid, task, RUN)
    found = model.predict_quantiles(folds.test)
    assert found.shape == (len(folds.test), 2, 3)
    assert found.dtype == np.float32
    assert (np.diff(found, axis=-1) >= 0).all()
    actual = folds.test.y
    inside = (actual >= found[..., 0]) & (actual <= found[..., 2])
    assert 0.65 < inside[~np.isnan(actual)].mean() < 0.95
    again = cloudpickle.loads(cloudpickle.dumps(model))
    np.testing.assert_array_equal(again.predict_quantiles(folds.test), found)


def test_linear_beats_persistence_a_day_ahead() -> None:
    panel = tiny_panel(8, 500, seed=3)
    task = forecast_task(panel, ("6h",))
    folds = tiny_folds(task, panel)
    error = {}
    for model in (Linear(), Persistence()):
        model.fit_forecast(folds.train, folds.valid, task, RUN)
        point = model.predict_quantiles(folds.test)[:, 0, 1]
        error[type(model)] = np.nanmean(np.abs(point - folds.test.y[:, 0]))
    assert error[Linear] < 0.9 * error[Persistence]


@pytest.mark.parametrize("strategy", [NONE, ClassWeight(), Smote(), Focal()])
def test_logistic_with_each_kind_of_strategy_beats_a_constant(strategy: ImbalanceStrategy) -> None:
    from sklearn.metrics import average_precision_score

    panel = tiny_panel()
    task = event_task(panel)
    folds = tiny_folds(task, panel)
    model = Logistic()
    log = model.fit_events(folds.train, folds.valid, task, strategy, RUN)
    score = model.score_events(folds.test)
    assert average_precision_score(folds.test.y, score) > 1.5 * folds.test.y.mean()
    assert len(log.notes) == int(strategy.resamples or strategy.loss is not None)
    assert isinstance(model, Explainable)
    assert sum(model.importance().values()) == pytest.approx(1.0)


def test_logistic_without_positives_says_so() -> None:
    samples = rows_at(np.full(50, 0.2), list(range(50)))
    with pytest.raises(TargetError, match="0 positive and 50 negative"):
        fit_and_score(Logistic(), samples)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_event_baseline_ignores_the_future(kind: type[EventClassifier]) -> None:
    panel = tiny_panel()
    task, cut = event_task(panel), 300
    model = kind()
    train, valid = (tiny_samples(task, panel, stop=s) for s in (200, 240))
    model.fit_events(train, valid, task, NONE, RUN)
    samples = tiny_samples(task, panel, start=250, stop=cut)
    before = model.score_events(samples)
    panel.values[:, :, cut:] = 5.0
    np.testing.assert_array_equal(model.score_events(samples), before)
    assert before.min() >= 0.0
    assert before.max() <= 1.0


@pytest.mark.parametrize("kind", FORECASTERS)
def test_forecast_baseline_ignores_the_future(kind: type[Forecaster]) -> None:
    panel = tiny_panel()
    task, cut = forecast_task(panel), 300
    model = kind()
    train = tiny_samples(task, panel, stop=200)
    model.fit_forecast(train, train, task, RUN)
    samples = tiny_samples(task, panel, start=250, stop=cut)
    before = model.predict_quantiles(samples)
    panel.values[:, :, cut:] = 5.0
    np.testing.assert_array_equal(model.predict_quantiles(samples), before)


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        (SameHourMean, "days", 0),
        (ServiceRate, "shrinkage", -1.0),
        (Logistic, "C", 0.0),
        (Linear, "alpha", -1.0),
        (LastHourMax, "window", "0h"),
    ],
)
def test_baseline_wrong_argument_names_the_key(kind: type, key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"model\.{key}"):
        kind(**{key: value})
