from __future__ import annotations

import pickle

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from optimizer.evaluation.conformal import QuantileCalibrator
from optimizer.evaluation.metrics.forecasts import interval_coverage, pinball

LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
Fold = tuple[NDArray[np.float32], NDArray[np.float32]]


def narrow(seed: int, n: int = 20_000, shrink: float = 0.5) -> Fold:
    """Two horizons of forecasts whose spread is half of the truth's; spreads differ by row."""
    rng = np.random.default_rng(seed)
    mean, scale = rng.uniform(2.0, 5.0, (n, 2)), rng.uniform(0.05, 0.3, (n, 2))
    y = rng.normal(mean, scale)
    q = mean[..., None] + shrink * scale[..., None] * norm.ppf(LEVELS)
    return q.astype(np.float32), y.astype(np.float32)


def test_quantile_calibrator_of_narrow_forecasts_restores_coverage() -> None:
    calibrator = QuantileCalibrator(LEVELS).fit(*narrow(1))
    q, y = narrow(2)
    adjusted = calibrator.predict(q)
    for horizon in (0, 1):
        actual = y[:, horizon]
        assert interval_coverage(actual, q[:, horizon, 0], q[:, horizon, -1]) < 0.5
        for index, level in enumerate(LEVELS):
            assert np.mean(actual <= adjusted[:, horizon, index]) == pytest.approx(level, abs=0.012)
        after = pinball(actual, adjusted[:, horizon], LEVELS)
        assert after < pinball(actual, q[:, horizon], LEVELS)


def test_quantile_calibrator_covers_each_level_on_its_own_fold() -> None:
    q, y = narrow(1, 1000)
    adjusted = QuantileCalibrator(LEVELS).fit(q, y).predict(q)
    for index in (0, 1, 3, 4):
        assert np.mean(y[:, 0] <= adjusted[:, 0, index]) == pytest.approx(LEVELS[index], abs=2e-3)


def test_quantile_calibrator_keeps_a_good_median() -> None:
    q = np.tile(np.array([0.9, 1.0, 1.1], np.float32), (101, 1, 1))
    y = np.linspace(0.5, 1.5, 101, dtype=np.float32)[:, None]
    calibrator = QuantileCalibrator((0.1, 0.5, 0.9)).fit(q, y)
    assert calibrator.shift_[0, 1] == 0.0
    # a tenth of the actuals lies at or below 0.6: (0.6 - 0.9) / 0.2
    assert calibrator.shift_[0, 0] == pytest.approx(-1.5, abs=1e-5)


def test_quantile_calibrator_does_not_move_a_median_for_the_worse() -> None:
    # 60 narrow rows (spread 0.2) lie 0.02 low, 41 wide ones (spread 2) are right: the median of
    # the scaled errors is 0.1, which would cost 41 * 0.2 to save 60 * 0.02
    spread = np.repeat([0.2, 2.0], [60, 41])[:, None, None]
    q = (3.0 + spread * np.array([-0.5, 0.0, 0.5])).astype(np.float32)
    y = np.repeat([3.02, 3.0], [60, 41])[:, None].astype(np.float32)
    calibrator = QuantileCalibrator((0.1, 0.5, 0.9)).fit(q, y)
    assert calibrator.shift_[0, 1] == 0.0


def test_quantile_calibrator_moves_a_biased_median() -> None:
    q = np.tile(np.array([1.9, 2.0, 2.1], np.float32), (101, 1, 1))
    y = np.linspace(0.5, 1.5, 101, dtype=np.float32)[:, None]
    adjusted = QuantileCalibrator((0.1, 0.5, 0.9)).fit(q, y).predict(q)
    np.testing.assert_allclose(adjusted[0, 0], [0.6, 1.0, 1.4], atol=1e-5)


def test_quantile_calibrator_widens_certain_rows() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(3.0, 0.2, (2000, 1)).astype(np.float32)
    q = np.full((2000, 1, 3), 3.0, np.float32)
    adjusted = QuantileCalibrator((0.1, 0.5, 0.9)).fit(q, y).predict(q)
    assert np.mean((y[:, 0] >= adjusted[:, 0, 0]) & (y[:, 0] <= adjusted[:, 0, 2])) == (
        pytest.approx(0.8, abs=0.01)
    )


def test_quantile_calibrator_returns_ascending_non_negative_float32() -> None:
    rng = np.random.default_rng(0)
    q, y = rng.normal(0.0, 1.0, (500, 2, 5)).astype(np.float32), rng.random((500, 2))
    adjusted = QuantileCalibrator(LEVELS).fit(q, y.astype(np.float32)).predict(q)
    assert adjusted.dtype == np.float32
    assert (np.diff(adjusted, axis=-1) >= 0).all()
    assert adjusted.min() >= 0.0
    free = QuantileCalibrator(LEVELS, lower_bound=None).fit(q, y.astype(np.float32)).predict(q)
    assert free.min() < 0.0


def test_quantile_calibrator_leaves_a_horizon_without_actuals() -> None:
    q, y = narrow(1, 300)
    y = y.copy()
    y[:, 1] = np.nan
    adjusted = QuantileCalibrator(LEVELS).fit(q, y).predict(q)
    np.testing.assert_array_equal(adjusted[:, 1], q[:, 1])
    assert not np.array_equal(adjusted[:, 0], q[:, 0])


def test_quantile_calibrator_does_not_change_its_arguments_and_survives_pickling() -> None:
    q, y = narrow(1, 300)
    kept = q.copy()
    calibrator = QuantileCalibrator(LEVELS).fit(q, y)
    again = pickle.loads(pickle.dumps(calibrator))
    np.testing.assert_array_equal(again.predict(q), calibrator.predict(q))
    np.testing.assert_array_equal(q, kept)
