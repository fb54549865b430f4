"""Decayed weights, quantiles and means against loops over services and steps."""

from __future__ import annotations

import numpy as np
import pytest
from usages import at, fleet

from optimizer.demand.decay import (
    age_weights,
    decayed_means,
    decayed_quantiles,
    first_reaching,
    ranked_quantiles,
)

LEVELS = (0.01, 0.5, 0.9, 0.99, 1.0)


def naive_quantile(past: np.ndarray, half_life: float, level: float, *, by_load: bool) -> float:
    weighed = []
    for step, value in enumerate(past):
        if not np.isnan(value):
            weight = 0.5 ** ((len(past) - 1 - step) / half_life)
            weighed.append((float(value), weight * (float(value) if by_load else 1.0)))
    total, reached = sum(weight for _, weight in weighed), 0.0
    for value, weight in sorted(weighed):
        reached += weight
        if reached >= level * total * (1 - 1e-12):
            return value
    return np.nan


def test_weights_halve_with_every_half_life_and_the_future_has_none() -> None:
    # Half-life 2 steps, cutoff 3: ages 2, 1, 0 weigh 2^-1, 2^-0.5, 1; steps 3 and 4 are unknown.
    np.testing.assert_allclose(age_weights(5, 3, 2.0), [0.5, 2**-0.5, 1.0, 0.0, 0.0])


@pytest.mark.parametrize("by_load", [False, True])
def test_decayed_quantiles_equal_a_loop(by_load: bool) -> None:
    usage, cutoffs = fleet(), at(1, 30, 250, 480)
    found = decayed_quantiles(usage.values, cutoffs, 24.0, LEVELS, by_load=by_load)
    for j, cutoff in enumerate(cutoffs):
        for s, row in enumerate(usage.values):
            expected = [naive_quantile(row[:cutoff], 24.0, q, by_load=by_load) for q in LEVELS]
            np.testing.assert_allclose(found[:, j, s], expected, rtol=1e-6)


def test_decayed_means_equal_a_loop() -> None:
    usage, cutoffs = fleet(), at(1, 30, 250, 480)
    found = decayed_means(usage.values, cutoffs, 12.0)
    for j, cutoff in enumerate(cutoffs):
        for s, row in enumerate(usage.values):
            seen = np.flatnonzero(~np.isnan(row[:cutoff]))
            weights = [0.5 ** ((cutoff - 1 - step) / 12.0) for step in seen]
            expected = np.average(row[seen], weights=weights) if len(seen) else np.nan
            np.testing.assert_allclose(found[j, s], expected, rtol=1e-5)


def test_quantile_is_the_first_value_that_reaches_the_level() -> None:
    # Weights 1, 2, 1 add up to 4: a level of 0.25 is reached by the first value exactly.
    values, weights = np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 2.0, 1.0]])
    found = ranked_quantiles(values, weights, (0.25, 0.26, 0.75, 0.76, 1.0))
    np.testing.assert_array_equal(found[:, 0], [1.0, 2.0, 2.0, 3.0, 3.0])


def test_idle_service_has_a_load_quantile_of_zero_and_a_silent_one_none() -> None:
    values = np.array([[0.0, 0.0, 0.0], [np.nan] * 3], dtype=np.float32)
    found = decayed_quantiles(values, at(3), 1.0, (0.5, 1.0), by_load=True)
    np.testing.assert_array_equal(found[:, 0], [[0.0, np.nan], [0.0, np.nan]])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9])
def test_bisection_equals_searchsorted(size: int) -> None:
    rng = np.random.default_rng(size)
    ascending = np.sort(rng.integers(0, 6, (4, size)).astype(float), axis=1)
    wanted = np.arange(-1.0, 8.0)
    found = first_reaching(ascending, np.tile(wanted, (4, 1)))
    expected = [np.minimum(np.searchsorted(row, wanted), size - 1) for row in ascending]
    np.testing.assert_array_equal(found, expected)
