from __future__ import annotations

import numpy as np
import pytest

from optimizer.evaluation.metrics import forecasts as fm

Y = np.array([1.0, 2.0, np.nan, 4.0])
P = np.array([2.0, 2.0, 9.0, 1.0])
LEVELS = (0.1, 0.5, 0.9)


def test_point_metrics_skip_unknown_actuals() -> None:
    # errors +1, 0, -3
    assert fm.mae(Y, P) == pytest.approx(4 / 3)
    assert fm.rmse(Y, P) == pytest.approx(np.sqrt(10 / 3))
    assert fm.bias(Y, P) == pytest.approx(-2 / 3)


def test_bias_of_a_forecast_too_high_is_positive() -> None:
    assert fm.bias(np.array([1.0]), np.array([1.5])) == 0.5


def test_pinball_of_three_levels() -> None:
    # y = 2, forecasts 1, 2, 4: 0.1 * 1 + 0 + (0.9 - 1) * (2 - 4) = 0.1 + 0 + 0.2, over 3
    y, predicted = np.array([2.0, np.nan]), np.array([[1.0, 2.0, 4.0], [0.0, 0.0, 0.0]])
    assert fm.pinball(y, predicted, LEVELS) == pytest.approx(0.1)
    # twice that over |y| = 2
    assert fm.weighted_quantile_loss(y, predicted, LEVELS) == pytest.approx(0.1)


def test_interval_coverage_includes_the_bounds() -> None:
    lower, upper = np.array([1.0, 2.1, 0.0, 3.0]), np.array([1.5, 3.0, 1.0, 4.0])
    # 1 in [1, 1.5]; 2 not in [2.1, 3]; unknown; 4 in [3, 4]
    assert fm.interval_coverage(Y, lower, upper) == pytest.approx(2 / 3)
    assert fm.interval_width(Y, lower, upper) == pytest.approx((0.5 + 0.9 + 1.0) / 3)


def test_seasonal_naive_scale_reads_the_training_steps_only() -> None:
    values = np.array([[1.0, 2.0, 2.0, 5.0, 9.0, 9.0], [0.0, np.nan, 0.5, 1.0, 0.0, 0.0]])
    # season 2, training steps 0..3: |2 - 1|, |5 - 2| -> 2; |0.5 - 0|, unknown -> 0.5
    scale = fm.seasonal_naive_scale(values, 2, 4)
    np.testing.assert_allclose(scale, [2.0, 0.5])
    later = values.copy()
    later[:, 4:] = 77.0
    np.testing.assert_array_equal(fm.seasonal_naive_scale(later, 2, 4), scale)


def test_seasonal_naive_scale_of_a_service_without_pairs_is_the_fleets() -> None:
    values = np.array([[0.0, 0.0, 1.0], [np.nan, np.nan, 4.0]])
    np.testing.assert_allclose(fm.seasonal_naive_scale(values, 2, 3), [1.0, 1.0])


def test_seasonal_naive_scale_of_a_short_history_is_nan() -> None:
    assert np.isnan(fm.seasonal_naive_scale(np.zeros((2, 3)), 5, 3)).all()
    assert np.isnan(fm.seasonal_naive_scale(np.zeros((2, 9)), 3, 2)).all()


def test_mase_is_a_ratio_of_sums() -> None:
    # |errors| 1, 0, 3 over scales 2, 2, 4
    assert fm.mase(Y, P, np.array([2.0, 2.0, 9.0, 4.0])) == pytest.approx(0.5)


def test_metrics_of_a_missing_prediction_are_nan() -> None:
    holed = np.array([2.0, np.nan, 9.0, 1.0])
    assert np.isnan(fm.mae(Y, holed))
    assert np.isnan(fm.pinball(Y, np.repeat(holed[:, None], 3, 1), LEVELS))
    assert np.isnan(fm.mase(Y, holed, np.ones(4)))


def test_metrics_without_a_known_actual_are_nan() -> None:
    y = np.array([np.nan])
    values = [fm.mae(y, y), fm.rmse(y, y), fm.pinball(y, y[:, None], (0.5,)), fm.mase(y, y, y)]
    values += [fm.interval_coverage(y, y, y), fm.weighted_quantile_loss(y, y[:, None], (0.5,))]
    assert np.isnan(values).all()
