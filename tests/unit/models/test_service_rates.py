from __future__ import annotations

import numpy as np
import pytest

from optimizer.models.baselines.service_rates import service_rates


def test_service_rates_shrink_to_the_fleet() -> None:
    # service 0: 4 of 10; service 1: 0 of 30; service 2: no rows; fleet 4/40 = 0.1
    service = np.repeat([0, 1], [10, 30])
    y = np.concatenate([np.ones(4), np.zeros(36)])
    rates = service_rates(service, y, 3, shrink=20)
    # (4 + 20 * 0.1) / (10 + 20) = 0.2; (0 + 2) / 50 = 0.04; (0 + 2) / 20 = 0.1
    np.testing.assert_allclose(rates, [0.2, 0.04, 0.1])


def test_service_rates_without_shrinkage_are_own_rates_or_the_fleets() -> None:
    rates = service_rates(np.array([0, 0, 1]), np.array([1.0, 0.0, 1.0]), 3, shrink=0)
    np.testing.assert_allclose(rates, [0.5, 1.0, 2 / 3])


def test_service_rates_without_rows_are_zero() -> None:
    np.testing.assert_array_equal(service_rates(np.empty(0, int), np.empty(0), 2), [0.0, 0.0])


def test_service_rates_of_one_service_barely_move_with_anothers_rows() -> None:
    service, y = np.repeat([0, 1], 50), np.tile([1.0, 0.0, 0.0, 0.0, 0.0], 20)
    other = y.copy()
    other[50:] = 1.0
    before, after = service_rates(service, y, 2, 0), service_rates(service, other, 2, 0)
    assert before[0] == after[0]
    assert after[1] == pytest.approx(1.0)
