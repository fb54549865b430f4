"""Our metrics against scikit-learn's, on random scores with and without ties."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as sk
from numpy.typing import NDArray

from optimizer.evaluation import bootstrap
from optimizer.evaluation.metrics import events as event_metrics
from optimizer.evaluation.metrics import forecasts as forecast_metrics
from optimizer.evaluation.per_service import service_average_precisions

Draw = tuple[NDArray[np.float32], NDArray[np.float64]]


@pytest.fixture(params=["distinct", "ties"])
def draw(request: pytest.FixtureRequest) -> Draw:
    rng = np.random.default_rng(3)
    score = rng.random(4000)
    y = (rng.random(4000) < 0.3 * score**2).astype(np.float32)
    return y, np.round(score, 1) if request.param == "ties" else score


def test_ranking_metrics_equal_sklearn(draw: Draw) -> None:
    y, score = draw
    assert event_metrics.average_precision(y, score) == sk.average_precision_score(y, score)
    assert event_metrics.roc_auc(y, score) == sk.roc_auc_score(y, score)


def test_probability_metrics_equal_sklearn(draw: Draw) -> None:
    y, score = draw
    score = np.clip(score, 0.001, 0.999)
    assert event_metrics.brier_score(y, score) == pytest.approx(sk.brier_score_loss(y, score))
    assert event_metrics.log_loss(y, score) == pytest.approx(sk.log_loss(y, score))


def test_decisions_equal_sklearn(draw: Draw) -> None:
    y, score = draw
    alarm = score >= 0.7
    assert event_metrics.precision(y, score, 0.7) == pytest.approx(sk.precision_score(y, alarm))
    assert event_metrics.recall(y, score, 0.7) == pytest.approx(sk.recall_score(y, alarm))
    for beta in (0.5, 1.0, 2.0):
        ours = event_metrics.f_beta(y, score, 0.7, beta)
        assert ours == pytest.approx(sk.fbeta_score(y, alarm, beta=beta))


def test_service_average_precisions_equal_sklearn_per_service(draw: Draw) -> None:
    y, score = draw
    service = np.random.default_rng(4).integers(0, 9, len(y))
    ours = service_average_precisions(service, y, score, 10)
    for index in range(9):
        own = service == index
        assert ours[index] == pytest.approx(sk.average_precision_score(y[own], score[own]))
    assert np.isnan(ours[9])


def test_bootstrap_average_precisions_equal_sklearn_with_weights(draw: Draw) -> None:
    y, score = draw
    service = np.random.default_rng(5).integers(0, 12, len(y))
    counts = bootstrap.resample_services(service, 12, n_resamples=5, seed=1)
    ours = bootstrap.average_precisions(service, y, score, counts)
    for value, drawn in zip(ours, counts, strict=True):
        theirs = sk.average_precision_score(y, score, sample_weight=drawn[service])
        assert value == pytest.approx(theirs)


def test_bootstrap_of_one_draw_each_equals_the_plain_metric(draw: Draw) -> None:
    y, score = draw
    service = np.random.default_rng(6).integers(0, 7, len(y))
    once = np.ones((1, 7), dtype=np.int32)
    precision = bootstrap.average_precisions(service, y, score, once)[0]
    assert precision == pytest.approx(event_metrics.average_precision(y, score))
    skill = bootstrap.brier_skills(service, y, score, once)[0]
    assert skill == pytest.approx(event_metrics.brier_skill(y, score))


def test_forecast_metrics_equal_sklearn() -> None:
    rng = np.random.default_rng(8)
    y, levels = rng.gamma(2.0, 0.1, 500), (0.1, 0.5, 0.9)
    predicted = y[:, None] + rng.normal(0.0, 0.1, (500, 3))
    losses = [
        sk.mean_pinball_loss(y, predicted[:, i], alpha=level) for i, level in enumerate(levels)
    ]
    assert forecast_metrics.pinball(y, predicted, levels) == pytest.approx(np.mean(losses))
    median = predicted[:, 1]
    assert forecast_metrics.mae(y, median) == pytest.approx(sk.mean_absolute_error(y, median))
    rmse = sk.root_mean_squared_error(y, median)
    assert forecast_metrics.rmse(y, median) == pytest.approx(rmse)
