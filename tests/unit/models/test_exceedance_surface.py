"""The exceedance surface: features before the cutoff, levels, outcomes, and an honest model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from optimizer.core.errors import InsufficientHistoryError
from optimizer.demand.bounds import RequestBounds
from optimizer.demand.usage import Usage
from optimizer.models.base import Runtime
from optimizer.models.exceedance.features import REFERENCES, describe, log_levels
from optimizer.models.exceedance.lightgbm import ExceedanceLightGBM
from optimizer.models.exceedance.outcomes import count_hits
from optimizer.models.exceedance.past import DecayedHistory, rank_values, trailing
from optimizer.models.exceedance.rolling import candidate_levels
from optimizer.models.exceedance.rows import (
    draw_levels,
    exceeding_peak,
    exceeding_share,
    past_exceedance,
)
from optimizer.models.exceedance.surface import ExceedanceSurface, expected_shortfall

DAY = 24
BOUNDS = RequestBounds(floor=0.01)
SPREAD = 0.5


def usage_from(values: np.ndarray, capacity: float = 100.0) -> Usage:
    """Return hourly usage of services of one capacity."""
    hours = np.arange(1, values.shape[1] + 1) * np.timedelta64(3600, "s")
    return Usage(
        resource="cpu",
        values=np.asarray(values, dtype=np.float32),
        capacity=np.full(len(values), capacity, dtype=np.float32),
        timestamps=(np.datetime64("2024-01-01", "us") + hours).astype("datetime64[us]"),
        step=pd.Timedelta("1h"),
        services=tuple(f"s{i}" for i in range(len(values))),
    )


def lognormal(n_services: int, days: int, seed: int = 0) -> tuple[Usage, np.ndarray]:
    """Return independent lognormal usage, and the log-median of each service."""
    rng = np.random.default_rng(seed)
    centre = np.log(rng.uniform(2.0, 20.0, n_services))
    logs = centre[:, None] + SPREAD * rng.standard_normal((n_services, days * DAY))
    return usage_from(np.exp(logs)), centre


def learn(usage: Usage, cutoffs: np.ndarray, seed: int = 0, **settings: int) -> ExceedanceSurface:
    """Return a surface that knows the six hours after each cutoff."""
    model = ExceedanceSurface(ExceedanceLightGBM(**settings), BOUNDS)
    table = describe(usage, cutoffs, 6)
    return model.fit(table, model.rows(usage, table, 6, seed), Runtime(seed, threads=1))


def ask(
    surface: ExceedanceSurface, usage: Usage, cutoffs: np.ndarray, levels: np.ndarray
) -> np.ndarray:
    """Return the exceedance of levels that are the same for several cutoffs and services."""
    shape = (len(cutoffs), usage.n_services, levels.shape[-1])
    wide = np.broadcast_to(levels.astype(np.float32), shape)
    return surface.exceedance(usage, describe(usage, cutoffs, 6), wide)


@pytest.fixture(scope="module")
def fleet() -> tuple[Usage, np.ndarray]:
    return lognormal(30, 24)


@pytest.fixture(scope="module")
def surface(fleet: tuple[Usage, np.ndarray]) -> ExceedanceSurface:
    cutoffs = np.arange(8 * DAY, 18 * DAY, 6)
    return learn(fleet[0], cutoffs, seed=1, rounds=80, min_child_samples=50)


def test_trailing_pads_what_has_not_begun() -> None:
    values = np.arange(6, dtype=np.float32).reshape(1, 6)
    assert trailing(values, 5, 3).tolist() == [[2.0, 3.0, 4.0]]
    assert np.isnan(trailing(values, 1, 3)[0, :2]).all()
    assert np.isnan(trailing(values, 0, 3)).all()


def test_ranks_by_hand() -> None:
    ordered = np.array([[1, 2, 3, 4], [5, 6, np.nan, np.nan], [np.nan] * 4], dtype=np.float32)
    ranked = rank_values(ordered, np.array([4, 2, 0]), (0.5, 0.75, 1.0))
    assert ranked[:2].tolist() == [[2.0, 3.0, 4.0], [5.0, 6.0, 6.0]]
    assert np.isnan(ranked[2]).all()


def test_decayed_exceedance_equals_a_brute_force() -> None:
    rng = np.random.default_rng(3)
    past = rng.integers(0, 6, (5, 40)).astype(np.float32)  # many ties
    past[rng.random(past.shape) < 0.2] = np.nan
    past[3] = 0.0
    levels = np.tile(np.array([0.0, 0.5, 2.0, 3.0, 5.0, 9.0], dtype=np.float32), (5, 1))
    found = DecayedHistory(past, [4, 20]).exceedance(levels)
    age = np.arange(40, 0, -1)
    for index, life in enumerate((4, 20)):
        weight = np.where(np.isnan(past), 0.0, 0.5 ** (age / life))
        above = past[:, None, :] > levels[:, :, None]
        expected = np.sum(above * weight[:, None], axis=2) / weight.sum(axis=1)[:, None]
        np.testing.assert_allclose(found[:, :, index], expected, atol=1e-6)


def test_decayed_percentile_weighs_the_newest_most() -> None:
    past = np.array([[9.0] * 10 + [1.0] * 10], dtype=np.float32)
    assert DecayedHistory(past, [2]).percentile(0.9, 0)[0] == 1.0
    assert DecayedHistory(past, [1000]).percentile(0.9, 0)[0] == 9.0


def test_a_service_without_past_is_unknown() -> None:
    past = np.full((2, 5), np.nan, dtype=np.float32)
    past[0] = 1.0
    found = DecayedHistory(past, [2]).exceedance(np.ones((2, 1), dtype=np.float32))
    assert found[0, 0, 0] == 0.0
    assert np.isnan(found[1, 0, 0])


def test_features_do_not_know_the_scale() -> None:
    usage, _ = lognormal(4, 16)
    larger = replace(usage, values=usage.values * 8, capacity=usage.capacity * 8)
    cutoffs = np.array([10 * DAY, 12 * DAY])
    one, other = describe(usage, cutoffs, 6), describe(larger, cutoffs, 6)
    np.testing.assert_allclose(one.features, other.features, atol=1e-5)
    np.testing.assert_allclose(one.references * 8, other.references, rtol=1e-6)
    assert one.features.shape[2] == len(one.names) == len(set(one.names))
    assert one.features.dtype == one.references.dtype == np.float32


def test_references_by_hand_and_gaps_are_ignored() -> None:
    values = np.full((2, 10 * DAY), 1.0)
    values[0, 9 * DAY] = 5.0  # 24 h before the cutoff: the first step of the same part of the day
    values[1, -3:] = np.nan
    values[1, -4] = 3.0
    levels = describe(usage_from(values), np.array([10 * DAY]), 6).references[0].T
    found = dict(zip(REFERENCES, levels, strict=True))
    assert found["max 6h"].tolist() == [1.0, 3.0]
    assert found["max 24h"].tolist() == [5.0, 3.0]
    assert found["same part of day max"].tolist() == [5.0, 1.0]
    assert found["same part of day median"].tolist() == [1.0, 1.0]
    assert found["last"].tolist() == [1.0, 3.0]


def test_calendar_is_added_only_if_asked() -> None:
    usage, _ = lognormal(2, 3)
    cutoffs = np.array([2 * DAY])
    plain, dated = describe(usage, cutoffs, 6), describe(usage, cutoffs, 6, calendar=True)
    assert set(dated.names) - set(plain.names) == {"sin day", "cos day", "sin week", "cos week"}
    assert dated.features[0, 0, dated.names.index("cos day")] == pytest.approx(1.0)  # midnight


@pytest.mark.parametrize("later", [np.nan, 0.0, 1e4])
def test_nothing_reads_the_future(later: float, surface: ExceedanceSurface) -> None:
    usage, _ = lognormal(30, 24)
    cutoff = 20 * DAY
    values = usage.values.copy()
    values[:, cutoff:] = later
    changed = replace(usage, values=values)
    cutoffs = np.array([cutoff])
    one, other = describe(usage, cutoffs, 6), describe(changed, cutoffs, 6)
    np.testing.assert_array_equal(one.features, other.features)
    np.testing.assert_array_equal(one.references, other.references)
    bounds = BOUNDS.range(usage, cutoffs)
    np.testing.assert_array_equal(bounds[1], BOUNDS.range(changed, cutoffs)[1])
    levels = candidate_levels(one.references, bounds, 8)
    np.testing.assert_array_equal(
        surface.exceedance(usage, one, levels), surface.exceedance(changed, other, levels)
    )


def test_levels_of_a_cutoff_do_not_depend_on_the_others() -> None:
    usage, _ = lognormal(5, 6)
    few, many = np.array([72]), np.array([60, 72, 84])
    drawn = [
        draw_levels(describe(usage, c, 6), BOUNDS.range(usage, c), 4, seed=2) for c in (few, many)
    ]
    np.testing.assert_array_equal(drawn[0][0], drawn[1][1])
    assert drawn[0].min() >= 0.01
    assert drawn[0].max() <= 105.0


def test_candidates_ascend_from_floor_to_cap() -> None:
    usage, _ = lognormal(5, 6)
    cutoffs = np.array([0, 60, 72])  # no history at the first one
    bounds = BOUNDS.range(usage, cutoffs)
    levels = candidate_levels(describe(usage, cutoffs, 6).references, bounds, 20)
    assert levels.shape == (3, 5, 20 + len(REFERENCES))
    assert (np.diff(levels, axis=2) >= 0).all()
    assert (levels[..., 0] == np.float32(0.01)).all()
    np.testing.assert_array_equal(levels[..., -1], bounds[1])


def test_outcomes_by_hand() -> None:
    usage = usage_from(np.array([[0, 1, 2, 3, 4], [0, np.nan, np.nan, np.nan, 9.0]]))
    levels = np.array([[1.0, 2.5], [1.0, 2.5]], dtype=np.float32)
    share = exceeding_share(usage, 1, 4, levels)
    assert share[0].tolist() == [0.75, 0.5]
    assert np.isnan(share[1]).all()  # a quarter of the interval was observed
    peak = exceeding_peak(usage, 1, 4, np.array([[1.0, 4.0], [1.0, 4.0]], dtype=np.float32))
    assert peak[0].tolist() == [1.0, 0.0]
    assert np.isnan(peak[1]).all()
    hits, steps = count_hits(usage, np.array([1]), 4, np.array([[[2.5, np.nan]]], dtype=np.float32))
    assert hits.tolist() == [[[2, 0]]]
    assert steps.tolist() == [[4, 0]]


def test_log_levels_are_clipped() -> None:
    ratios = log_levels(np.array([[2.0]]), np.array([[1.0, 0.0, 1e9]], dtype=np.float32))
    np.testing.assert_allclose(ratios[0, 0], [np.log(2.0), 7.0, -7.0], rtol=1e-6)


def test_shortfall_of_a_uniform_usage() -> None:
    levels = np.linspace(0.0, 4.0, 9)[None]
    exceedance = 1.0 - levels / 4.0
    np.testing.assert_allclose(
        expected_shortfall(levels, exceedance), (4.0 - levels) ** 2 / 8.0, atol=1e-6
    )


def test_shortfall_of_a_step() -> None:
    # usage is 1 three times out of four and 3 otherwise: a jump at 1, another at 3
    levels = np.array([[0.0, 1.0, 1.0, 2.0, 3.0, 3.0, 5.0]])
    exceedance = np.array([[1.0, 1.0, 0.25, 0.25, 0.25, 0.0, 0.0]])
    shortfall = expected_shortfall(levels, exceedance)
    np.testing.assert_allclose(shortfall[0], [1.5, 0.5, 0.5, 0.25, 0.0, 0.0, 0.0])


def test_the_surface_falls_in_the_level(
    fleet: tuple[Usage, np.ndarray], surface: ExceedanceSurface
) -> None:
    cutoffs = np.array([20 * DAY, 21 * DAY])
    share = ask(surface, fleet[0], cutoffs, np.geomspace(0.1, 100.0, 30))
    assert share.shape == (2, 30, 30)
    assert share.dtype == np.float32
    assert (np.diff(share, axis=2) <= 0).all()
    assert share.min() >= 0.0
    assert share.max() <= 1.0


def test_the_surface_knows_the_truth(
    fleet: tuple[Usage, np.ndarray], surface: ExceedanceSurface
) -> None:
    usage, centre = fleet
    cutoffs = np.arange(20 * DAY, 23 * DAY, 6)
    for truth in (0.5, 0.2, 0.05):
        level = np.exp(centre + SPREAD * norm.ppf(1 - truth)).astype(np.float32)
        share = ask(surface, usage, cutoffs, level[None, :, None])
        assert share.mean() == pytest.approx(truth, rel=0.15)
        assert np.abs(share - truth).mean() < 0.3 * truth + 0.01


def test_a_seed_repeats_a_fit_and_another_does_not(
    fleet: tuple[Usage, np.ndarray], surface: ExceedanceSurface
) -> None:
    usage, cutoffs, levels = fleet[0], np.array([20 * DAY]), np.geomspace(1.0, 50.0, 10)
    training_intervals = np.arange(8 * DAY, 18 * DAY, 6)
    first = ask(surface, usage, cutoffs, levels)
    settings = {"rounds": 80, "min_child_samples": 50}
    again = learn(usage, training_intervals, seed=1, **settings)
    np.testing.assert_array_equal(first, ask(again, usage, cutoffs, levels))
    other = learn(usage, training_intervals, seed=2, **settings)
    assert not np.array_equal(first, ask(other, usage, cutoffs, levels))


def test_services_without_history_are_unknown(surface: ExceedanceSurface) -> None:
    usage, _ = lognormal(3, 12)
    usage.values[1] = np.nan
    share = ask(surface, usage, np.array([10 * DAY]), np.array([1.0, 50.0]))
    assert np.isnan(share[0, 1]).all()
    assert not np.isnan(share[0, [0, 2]]).any()
    assert np.isnan(past_exceedance(usage, 10 * DAY, np.ones((3, 1), dtype=np.float32))[1]).all()


def test_too_few_rows_are_refused() -> None:
    usage, _ = lognormal(3, 4)
    with pytest.raises(InsufficientHistoryError, match="rows with an outcome"):
        learn(usage, np.array([48, 54]))
