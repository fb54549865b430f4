"""What models read of the past: hand-computed numbers."""

from __future__ import annotations

import numpy as np
import pytest
from factories import panel_of, tiny_panel, tiny_table

from optimizer.core.schema import CPU
from optimizer.models import lookback as past
from optimizer.models.lookback import (
    EIGHT,
    anchor_of,
    eight_features,
    last_observed,
    rolling,
    same_hour_mean,
    same_hour_quantiles,
    steps_back,
    trailing_quantiles,
)
from optimizer.targets.dataset import Dataset

NAN = np.nan


def test_last_observed_carries_a_value_over_its_gap() -> None:
    values = np.array([[NAN, 1, NAN, NAN, 2, NAN]], dtype=np.float32)
    np.testing.assert_array_equal(last_observed(values), [[NAN, 1, 1, 1, 2, 2]])


def test_last_observed_older_than_allowed_is_nan() -> None:
    values = np.array([[1, NAN, NAN, NAN]], dtype=np.float32)
    np.testing.assert_array_equal(last_observed(values, max_age=2), [[1, 1, 1, NAN]])


def test_rolling_leaves_gaps_out() -> None:
    values = np.array([[1, NAN, 3, NAN, NAN, NAN]], dtype=np.float32)
    np.testing.assert_allclose(rolling(values, 3, "mean"), [[1, 1, 2, 3, 3, NAN]])
    np.testing.assert_allclose(rolling(values, 3, "median"), [[1, 1, 2, 3, 3, NAN]])
    np.testing.assert_allclose(rolling(values, 2, "max"), [[1, 1, 3, 3, NAN, NAN]])


@pytest.mark.parametrize("window", [5, 24, 500])
def test_trailing_quantiles_equal_those_of_each_window(
    window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = tiny_panel(3, 60, seed=1, gaps=0.3).metric(CPU)
    values[1, :20] = NAN
    service, step = (index.ravel().astype(np.int32) for index in np.indices(values.shape))
    levels = (0.1, 0.5, 0.9)
    found = trailing_quantiles(values, (service, step), window, levels)
    assert found.dtype == np.float32
    for row, (i, t) in enumerate(zip(service, step, strict=True)):
        seen = values[i, max(0, t - window + 1) : t + 1]
        seen = seen[~np.isnan(seen)]
        want = np.quantile(seen, levels) if len(seen) else [NAN] * 3
        np.testing.assert_allclose(found[row], want, atol=1e-6)
    monkeypatch.setattr(past, "SORTED", 70)
    again = trailing_quantiles(values, (service, step), window, levels)
    np.testing.assert_array_equal(again, found)


def test_same_hour_mean_averages_past_days_at_the_target_hour() -> None:
    grid = np.arange(12, dtype=np.float32)[None]  # a day of 4 steps; at t = 9, one step ahead
    at = np.array([0], dtype=np.int32), np.array([9], dtype=np.int32)
    assert same_hour_mean(grid, *at, ahead=1, day=4, days=2)[0] == pytest.approx((6 + 2) / 2)
    # a day ahead the target is step 13, so the first day back is t itself
    assert same_hour_mean(grid, *at, ahead=4, day=4, days=2)[0] == pytest.approx((9 + 5) / 2)
    # six steps ahead the first day back that is known is two days back
    assert same_hour_mean(grid, *at, ahead=6, day=4, days=1)[0] == pytest.approx(7)


@pytest.mark.parametrize("ahead", [4, 6, 7 * 4])
def test_same_hour_quantiles_equal_those_of_past_days_at_the_target_hour(
    ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = tiny_panel(2, 60, seed=1, gaps=0.3).metric(CPU)
    values[1, :20] = NAN
    service, step = (index.ravel().astype(np.int32) for index in np.indices(values.shape))
    found = same_hour_quantiles(values, (service, step), steps_back(ahead, 4, 3), (0.1, 0.5, 0.9))
    for row, (i, t) in enumerate(zip(service, step, strict=True)):
        days = [s for s in range(t + ahead - 4, -1, -4) if s <= t][:3]
        seen = values[i, days][~np.isnan(values[i, days])] if days else []
        want = np.quantile(seen, (0.1, 0.5, 0.9)) if len(seen) else [NAN] * 3
        np.testing.assert_allclose(found[row], want, atol=1e-6)
    monkeypatch.setattr(past, "SORTED", 70)
    again = same_hour_quantiles(values, (service, step), steps_back(ahead, 4, 3), (0.1, 0.5, 0.9))
    np.testing.assert_array_equal(again, found)


def test_anchor_is_the_value_now_or_the_last_of_the_day_or_zero() -> None:
    cpu = np.full((1, 30), NAN)
    cpu[0, 0], cpu[0, 2] = 0.4, 0.6
    panel = panel_of(cpu)
    rows = np.array([0, 1, 2, 26, 27])
    samples = Dataset(panel, tiny_table(panel), rows, np.zeros(5, dtype=np.float32))
    np.testing.assert_allclose(anchor_of(samples, CPU), [0.4, 0.4, 0.6, 0.6, 0.0], rtol=1e-6)


def test_eight_features_equal_hand_computed() -> None:
    cpu = np.arange(60, dtype=np.float32)
    panel = panel_of(cpu)
    row = eight_features(panel, CPU, np.array([0], np.int32), np.array([54], np.int32))[0]
    expected = {
        "now": 54,
        "lag_1": 53,
        "lag_24h": 30,
        "mean_24h": (31 + 54) / 2,
        "max_24h": 54,
        "max_7d": 54,
        "hour_sin": 1.0,  # 06:00
        "hour_cos": 0.0,
    }
    assert tuple(expected) == EIGHT
    np.testing.assert_allclose(row, list(expected.values()), atol=1e-5)


def test_eight_features_do_not_see_the_future() -> None:
    panel = tiny_panel(3, 80, seed=2)
    service, step = np.repeat(np.arange(3, dtype=np.int32), 40), np.tile(np.arange(40), 3)
    step = step.astype(np.int32)
    before = eight_features(panel, CPU, service, step)
    panel.values[:, :, 40:] = 99.0
    np.testing.assert_array_equal(eight_features(panel, CPU, service, step), before)
