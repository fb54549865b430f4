from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from optimizer.evaluation.metrics import events as em

Y = np.array([1.0, 0.0, 0.0, 1.0])
P = np.array([0.9, 0.2, 0.4, 0.5])


def test_brier_skill_against_prevalence_and_reference() -> None:
    # squares: 0.01, 0.04, 0.16, 0.25 -> mean 0.115; prevalence 0.5 -> 0.25
    assert em.brier_score(Y, P) == pytest.approx(0.115)
    assert em.brier_skill(Y, P) == pytest.approx(1 - 0.115 / 0.25)
    # reference 0.8, 0.2, 0.2, 0.8 -> 0.04
    assert em.brier_skill(Y, P, np.array([0.8, 0.2, 0.2, 0.8])) == pytest.approx(1 - 0.115 / 0.04)


def test_average_precision_lift_is_a_multiple_of_prevalence() -> None:
    # ranks of the positives: 1 and 2, precision 1 and 1 -> AP 1; prevalence 0.5
    assert em.average_precision_lift(Y, P) == pytest.approx(2.0)


def test_expected_calibration_error_of_two_bins() -> None:
    # bins {0.2, 0.4}: mean 0.3, rate 0; {0.5, 0.9}: mean 0.7, rate 1 -> (0.3 + 0.3) / 2
    assert em.expected_calibration_error(Y, P, 2) == pytest.approx(0.3)


def test_expected_calibration_error_with_ties_ignores_row_order() -> None:
    y, p = np.array([1.0, 0.0, 0.0, 0.0, 1.0]), np.array([0.4, 0.4, 0.4, 0.4, 0.9])
    order = np.array([3, 4, 2, 1, 0])
    # cuts at 0, 2, 5: {0.4, 0.4} rate 1/4; {0.4, 0.4, 0.9} mean 1.7/3, rate (0.5 + 1)/3
    expected = (2 * 0.15 + 3 * abs(1.7 / 3 - 0.5)) / 5
    assert em.expected_calibration_error(y, p, 2) == pytest.approx(expected)
    assert em.expected_calibration_error(y[order], p[order], 2) == pytest.approx(expected)


def test_reliability_bins_have_equal_mass() -> None:
    rng = np.random.default_rng(0)
    _, _, count = em.reliability_bins(np.zeros(1000), rng.random(1000), 15)
    assert count.sum() == 1000
    assert set(count) == {66, 67}


def test_reliability_bins_of_few_rows_are_single_rows() -> None:
    score, rate, count = em.reliability_bins(Y, P, 15)
    np.testing.assert_allclose(score, [0.2, 0.4, 0.5, 0.9])
    np.testing.assert_allclose(rate, [0, 0, 1, 1])
    np.testing.assert_array_equal(count, 1)


def test_f_beta_weighs_recall() -> None:
    # at 0.45: rows 0 and 3, both right -> 1; at 0.3: precision 2/3, recall 1
    assert em.f_beta(Y, P, 0.45) == 1.0
    assert em.f_beta(Y, P, 0.3, beta=2.0) == pytest.approx(5 * (2 / 3) / (4 * (2 / 3) + 1))


def test_precision_without_alarms_is_unknown_and_f_beta_zero() -> None:
    assert np.isnan(em.precision(Y, P, 0.99))
    assert em.f_beta(Y, P, 0.99) == 0.0


@pytest.mark.parametrize(
    "metric", [em.average_precision, em.average_precision_lift, em.roc_auc, em.brier_skill]
)
@pytest.mark.parametrize("y", [np.zeros(4), np.ones(4), np.empty(0)])
def test_ranking_metrics_of_one_class_are_nan(metric: Callable[..., float], y: np.ndarray) -> None:
    assert np.isnan(metric(y, P[: len(y)]))


@pytest.mark.parametrize(
    "metric", [em.brier_score, em.log_loss, em.expected_calibration_error, em.prevalence]
)
def test_probability_metrics_without_rows_are_nan(metric: Callable[..., float]) -> None:
    args = (np.empty(0),) if metric is em.prevalence else (np.empty(0), np.empty(0))
    assert np.isnan(metric(*args))


def test_log_loss_of_a_certain_mistake_is_finite() -> None:
    assert em.log_loss(np.array([1.0]), np.array([0.0])) == pytest.approx(-np.log(1e-15))
