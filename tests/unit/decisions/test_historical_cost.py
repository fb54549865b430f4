"""The cheapest level in hindsight: by hand, and against a loop over candidates."""

from __future__ import annotations

import numpy as np
import pytest
from usages import at, fleet, usage_from

from optimizer.core.errors import ConfigError
from optimizer.decisions.policies.heuristic.historical_cost import HistoricalCost

NAN = np.nan


def objective(
    level: float, past: np.ndarray, capacity: float, lambda_: float, w: float,
    half_lives: tuple[float, ...],
) -> float:  # fmt: skip
    seen = np.flatnonzero(~np.isnan(past))
    share = shortfall = 0.0
    for half_life in half_lives:
        weights = np.array([0.5 ** ((len(past) - 1 - step) / half_life) for step in seen])
        excess = past[seen].astype(float) - level
        share += np.average(excess > 0, weights=weights) / len(half_lives)
        shortfall += np.average(np.maximum(excess, 0), weights=weights) / len(half_lives)
    return level / capacity + lambda_ * (w * share + (1 - w) * 15 * shortfall / capacity)


def test_request_minimises_cost_and_risk() -> None:
    # A step a day, a half-life of a day, capacity 10: 2, 4, 8 have shares 1/7, 2/7, 4/7.
    # L = 2: P = 6/7, E = (2 * 2 + 6 * 4) / 7 = 4:    0.2 + λ (3/7 + 7.5 * 4 / 10)    = 0.2 + 3.43 λ
    # L = 4: P = 4/7, E = 4 * 4 / 7 = 16/7:           0.4 + λ (2/7 + 7.5 * 16/70)     = 0.4 + 2.00 λ
    # L = 8: P = 0, E = 0:                            0.8
    # 2 is cheapest up to λ = 0.2 / 1.43 = 0.14, then 4 up to λ = 0.4 / 2.00 = 0.2, then 8.
    usage = usage_from([2.0, 4.0, 8.0], step="24h")
    policy = HistoricalCost(half_lives=["24h"])
    found = policy.request(usage, at(3), (0.13, 0.15, 0.19, 0.21))
    np.testing.assert_array_equal(found[:, 0, 0], [2.0, 4.0, 4.0, 8.0])


@pytest.mark.parametrize("w", [0.0, 0.2, 0.5, 1.0])
def test_request_equals_the_best_candidate_of_a_loop(w: float) -> None:
    usage, cutoffs, prices = fleet(days=6), at(24, 77, 144), (0.1, 1.0, 8.0, 300.0)
    found = HistoricalCost(w=w).request(usage, cutoffs, prices)
    for j, cutoff in enumerate(cutoffs):
        for s in range(usage.n_services):
            past, capacity = usage.values[s, :cutoff], float(usage.capacity[s])
            candidates = np.sort(past[~np.isnan(past)])
            if len(candidates) < 24:
                assert np.isnan(found[:, j, s]).all()
                continue
            for k, price in enumerate(prices):
                costs = [objective(c, past, capacity, price, w, (24.0, 72.0)) for c in candidates]
                chosen = objective(found[k, j, s], past, capacity, price, w, (24.0, 72.0))
                assert found[k, j, s] in candidates
                assert chosen == pytest.approx(min(costs), rel=1e-5)


def test_no_level_between_observed_ones_is_cheaper() -> None:
    usage = fleet(days=4)
    past, capacity = usage.values[0], float(usage.capacity[0])
    found = HistoricalCost().request(usage, at(96), (2.0,))[0, 0, 0]
    best = objective(found, past, capacity, 2.0, 0.5, (24.0, 72.0))
    for level in np.linspace(0.0, np.nanmax(past), 300):
        assert objective(level, past, capacity, 2.0, 0.5, (24.0, 72.0)) >= best - 1e-6


def test_higher_price_of_risk_never_lowers_a_request() -> None:
    usage, policy = fleet(), HistoricalCost()
    found = policy.request(usage, at(100, 300, 480), policy.knobs)
    assert (np.diff(found, axis=0)[:, ~np.isnan(found[0])] >= 0).all()


def test_idle_service_and_unknown_capacity() -> None:
    usage = usage_from([[0.0] * 4, [1.0] * 4], [4.0, NAN], step="6h")
    found = HistoricalCost().request(usage, at(4), (1.0,))
    np.testing.assert_array_equal(found[0, 0], [0.0, NAN])


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"lambda_": 0.0}, "policy.lambda_"),
        ({"w": 1.5}, "policy.w"),
        ({"half_lives": ["long"]}, "policy.half_lives"),
        ({"half_lives": []}, "policy.half_lives"),
    ],
)
def test_value_out_of_range_is_named(settings: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        HistoricalCost(**settings)  # type: ignore[arg-type]
