"""Calibrated outlook: depths, counts and promises by hand, and never a look ahead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from usages import usage_from

from optimizer.core.errors import ConfigError
from optimizer.evaluation.coverage import tabulate_bounds, tabulate_promises
from optimizer.models.conformal.conformal import TOLD, ConformalCalibrator, empirical_shares
from optimizer.models.conformal.predictive import PredictiveDistribution
from optimizer.models.conformal.tail_scores import (
    BINS,
    MAX_SCORE,
    TIE_BREAK,
    count_tail_scores,
    interpolate,
    share_beyond,
    tail_scores_of,
)
from optimizer.models.exceedance.forecast import Forecast

N_SERVICES, N_INTERVALS, INTERVAL = 12, 160, 12
LEVELS = np.geomspace(0.05, 8.0, 48, dtype=np.float32)


def forecast_of(scale: np.ndarray, seed: int = 3) -> tuple[np.ndarray, Forecast]:
    """Return exponential usage, scaled per service, and a forecast that believes in scale 1."""
    rng = np.random.default_rng(seed)
    values = rng.exponential(1.0, (N_SERVICES, N_INTERVALS * INTERVAL)) * scale[:, None]
    cutoffs = np.arange(0, N_INTERVALS * INTERVAL, INTERVAL)
    shape = (len(cutoffs), N_SERVICES, len(LEVELS))
    exceedance = np.broadcast_to(np.exp(-LEVELS), shape).astype(np.float32)
    levels = np.broadcast_to(LEVELS, shape).astype(np.float32)
    return values.astype(np.float32), Forecast(cutoffs, 60, INTERVAL, levels, exceedance)


def test_interpolation_by_hand() -> None:
    at = np.array([[0.5, 1.5, 9.0, -1.0, np.nan]], dtype=np.float32)
    places = np.array([[0.0, 1.0, 1.0, 2.0]], dtype=np.float32)
    values = np.array([[0.0, 10.0, 20.0, 40.0]], dtype=np.float32)
    # half way to 10; half way from 20 to 40; beyond the ends the ends
    np.testing.assert_allclose(interpolate(at, places, values), [[5.0, 30.0, 40.0, 0.0, np.nan]])


def test_depths_by_hand() -> None:
    levels = np.array([[1.0, 2.0]], dtype=np.float32)
    exceedance = np.array([[0.1, 0.01]], dtype=np.float32)
    wide, depths = tail_scores_of(levels, exceedance)
    assert wide[0, [0, 1, 2, 6, 9]].tolist() == [0.0, 1.0, 2.0, 4.0, 16.0]
    # twice the cap is deeper by one, eight times by three
    expected = [0.0, 1.0 + TIE_BREAK, 2.0 + 2 * TIE_BREAK, 3.0 + 2 * TIE_BREAK, 5.0 + 2 * TIE_BREAK]
    np.testing.assert_allclose(depths[0, [0, 1, 2, 6, 9]], expected, rtol=1e-5)
    assert np.isnan(tail_scores_of(levels, np.full_like(levels, np.nan))[1]).all()


def test_counts_by_hand() -> None:
    levels = np.array([[0.0, 1.0, 2.0]], dtype=np.float32)
    depths = np.array([[0.0, 1.0, 2.0]], dtype=np.float32)
    coming = np.array([[0.5, 1.5, np.nan, 1.52]], dtype=np.float32)
    steps, peaks = count_tail_scores(coming, levels, depths)
    width = MAX_SCORE / BINS
    assert {int(b): int(steps[0, b]) for b in np.flatnonzero(steps[0])} == {
        int(0.5 / width): 1,
        int(1.5 / width): 2,
    }
    assert np.flatnonzero(peaks[0]).tolist() == [int(1.52 / width)]
    nothing = count_tail_scores(coming, levels, np.full_like(depths, np.nan))
    assert (nothing[0].sum(), nothing[1].sum()) == (0.0, 0.0)


def test_the_share_beyond_by_hand() -> None:
    counts = np.zeros((2, BINS))
    counts[0, 0], counts[0, 100], counts[0, 200] = 5.0, 1.0, 2.0
    width = MAX_SCORE / BINS
    at = np.array([[1.5 * width, 100.5 * width, 150 * width, np.nan]] * 2, dtype=np.float32)
    # of 8 lie 3 beyond bin 0; half of bin 100, and bin 200; bin 200; nothing was counted of the
    # second, and what is unknown is as deep as nothing
    found = share_beyond(counts, at)
    np.testing.assert_allclose(found[0, :3], [3 / 8, 2.5 / 8, 2 / 8], rtol=1e-6)
    assert found[1].tolist() == [0.0] * 4
    np.testing.assert_allclose(share_beyond(counts[:1], at)[1], found[0])


def test_own_fleet_and_word_are_pooled_by_hand() -> None:
    usage = usage_from(np.array([[0.5] * 8, [1.5] * 8], dtype=np.float32))
    levels = np.broadcast_to(np.array([1.0, 2.0], dtype=np.float32), (2, 2, 2))
    exceedance = np.broadcast_to(np.array([0.2, 0.01], dtype=np.float32), (2, 2, 2))
    found = Forecast(np.array([0, 4]), 0, 4, levels, exceedance)
    ranking = ConformalCalibrator("1000d", "1000d", 3.0, "1h")
    known = replace(found, exceedance=exceedance)
    outlook = ranking._rank(usage, known)
    # one interval of the fleet against 3 of the word: half of its steps were above 1, the word is
    # 0.2; then 4 own steps, of which none or all were, against 12 of that
    common = (1 * 0.5 + 3 * 0.2 * 10**-TIE_BREAK) / 4
    expected = [[(4 * own + 12 * common) / 16] for own in (0.0, 1.0)]
    np.testing.assert_allclose(outlook.exceedance[1][:, 1:2], expected, atol=0.003)
    peak = (1 * 0.5 + 3 * (1 - (1 - 0.2 * 10**-TIE_BREAK) ** 4)) / 4
    expected = [[(1 * own + 3 * peak) / 4] for own in (0.0, 1.0)]
    np.testing.assert_allclose(outlook.peak_exceedance[1][:, 1:2], expected, atol=0.003)


@pytest.mark.parametrize("peaks", [False, True])
def test_before_any_outcome_the_forecast_is_taken_at_its_word(peaks: bool) -> None:
    usage = usage_from(np.full((2, 100), 0.5, dtype=np.float32))
    levels = np.broadcast_to(np.array([0.2, 1.0], dtype=np.float32), (1, 2, 2))
    exceedance = np.broadcast_to(np.array([0.5, 0.1], dtype=np.float32), (1, 2, 2))
    found = Forecast(np.array([96]), 0, 4, levels, exceedance, peaks=peaks)
    outlook = ConformalCalibrator().predict(usage, found)
    word = np.array([0.5, 0.1]) * 10 ** (-TIE_BREAK * np.array([1, 2]))
    # one of four independent steps at least exceeds; a forecast of peaks says so itself
    steps = 1.0 - (1.0 - word) ** 0.25 if peaks else word
    whole = word if peaks else 1.0 - (1.0 - word) ** 4
    np.testing.assert_allclose(outlook.exceedance[0, 0, 1:3], steps, rtol=0.01)
    np.testing.assert_allclose(outlook.peak_exceedance[0, 0, 1:3], whole, rtol=0.01)


def test_the_truth_is_told_by_promise_and_outcomes_by_hand() -> None:
    values = np.zeros((2, 12), dtype=np.float32)
    values[0, 0:2] = 9.0
    values[1, 4] = 9.0
    usage = usage_from(values)
    cutoffs = np.array([0, 4, 8])
    shape = (3, 2, 1)
    blank = np.zeros(shape, dtype=np.float32)
    found = Forecast(cutoffs, 0, 4, blank, blank)
    levels = np.ones((len(TOLD), 3, 2), dtype=np.float32)
    steps = empirical_shares(usage, found, levels, np.inf, 2.0, peaks=False)
    half = TOLD.index(0.5)
    # nothing is known at first; then 2 of 8 steps, and 16 as promised; then 3 of 16, and 16
    expected = [0.5, (2 + 16 * 0.5) / 24, (3 + 16 * 0.5) / 32]
    np.testing.assert_allclose(steps[:, half], expected, rtol=1e-12)
    peaks = empirical_shares(usage, found, levels, np.inf, 2.0, peaks=True)
    np.testing.assert_allclose(peaks[:, half], [0.5, (1 + 2) / 6, (2 + 2) / 8], rtol=1e-12)


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.6])
def test_promises_and_bounds_hold_for_a_forecast_that_is_wrong(factor: float) -> None:
    values, found = forecast_of(np.full(N_SERVICES, factor))
    usage = usage_from(values)
    outlook = ConformalCalibrator("10d", "10d", 5.0).predict(usage, found)
    asked = found.cutoffs[found.start :]
    groups = ["a"] * 4 + ["b"] * 8
    table = tabulate_promises(outlook, usage, asked, INTERVAL, groups)
    assert table["steps"].tolist() == [100 * 12 * n for n in (12, 4, 8) for _ in range(4)]
    assert table.loc[table["group"] == "all", "ratio"].between(0.7, 1.3).all()
    bounds = tabulate_bounds(outlook, usage, asked, INTERVAL, groups)
    assert bounds["covered"].between(0.86, 0.94).all()
    assert bounds.loc[0, ["below", "above"]].between(0.02, 0.08).all()


def test_a_service_that_differs_from_the_fleet_gets_its_own_promise() -> None:
    scale = np.ones(N_SERVICES)
    scale[0] = 3.0
    values, found = forecast_of(scale)
    usage = usage_from(values)
    outlook = ConformalCalibrator("60d", "10d", 2.0).predict(usage, found)
    asked = found.cutoffs[found.start :]
    alone = ["odd", *["other"] * (N_SERVICES - 1)]
    table = tabulate_promises(outlook, usage, asked, INTERVAL, alone)
    ratio = table.set_index(["group", "promised"])["ratio"]
    assert 0.6 < ratio["odd", 0.05] < 1.4
    # at its word the forecast would promise exp(-3) and see exp(-1) of the steps: 7 times as many
    assert 0.5 < ratio["odd", 0.02] < 1.6


def test_levels_risk_and_bounds_belong_together() -> None:
    levels = np.array([[[0.0, 1.0, 2.0, 4.0]]], dtype=np.float32)
    steps = np.array([[[1.0, 0.5, 0.1, 0.0]]], dtype=np.float32)
    peaks = np.array([[[1.0, 0.9, 0.3, 0.0]]], dtype=np.float32)
    outlook = PredictiveDistribution(levels, steps, peaks)
    # 0.3 lies half way between 0.5 and 0.1; P95 of the peak at 4 - 2 * 0.05 / 0.3
    np.testing.assert_allclose(outlook.levels_at((0.3, 0.05)), [[[1.5]], [[3.0]]], rtol=1e-6)
    np.testing.assert_allclose(outlook.risk(np.array([[1.5]], dtype=np.float32)), [[0.3]])
    lower, upper = outlook.bounds()
    np.testing.assert_allclose([lower[0, 0], upper[0, 0]], [0.5, 4 - 0.1 / 0.3], rtol=1e-5)


def test_promises_of_memory_are_of_peaks() -> None:
    values, found = forecast_of(np.ones(N_SERVICES))
    usage = replace(usage_from(values), resource="memory")
    outlook = ConformalCalibrator().predict(usage, found)
    asked = found.cutoffs[found.start :]
    table = tabulate_promises(outlook, usage, asked, INTERVAL, ["a"] * N_SERVICES)
    assert table["steps"].unique().tolist() == [len(asked) * N_SERVICES]
    (levels,) = outlook.levels_at((0.02,), peaks=True)
    peaks = np.stack([values[:, c : c + INTERVAL].max(axis=1) for c in asked])
    realised = table.set_index(["group", "promised"])["realised"]
    assert realised["all", 0.02] == pytest.approx((peaks > levels).mean())
    assert 0.5 < realised["all", 0.05] / 0.05 < 1.5


def test_the_outlook_never_reads_its_future() -> None:
    values, found = forecast_of(np.ones(N_SERVICES))
    before = ConformalCalibrator().predict(usage_from(values), found)
    cut = 90
    changed = values.copy()
    changed[:, found.cutoffs[cut] :] *= 5.0
    after = ConformalCalibrator().predict(usage_from(changed), found)
    kept = cut - found.start + 1
    for name in ("levels", "exceedance", "peak_exceedance"):
        one, other = getattr(before, name), getattr(after, name)
        np.testing.assert_array_equal(one[:kept], other[:kept])
    assert not np.array_equal(before.exceedance[kept:], after.exceedance[kept:])


def test_what_is_unknown_has_no_outlook() -> None:
    values, found = forecast_of(np.ones(N_SERVICES))
    exceedance = found.exceedance.copy()
    exceedance[:, 2] = np.nan
    outlook = ConformalCalibrator().predict(
        usage_from(values), replace(found, exceedance=exceedance)
    )
    lower, upper = outlook.bounds()
    for told in (lower, upper, outlook.levels_at((0.01,))[0]):
        assert np.isnan(told[:, 2]).all()
        assert not np.isnan(np.delete(told, 2, axis=1)).any()


def test_who_has_just_started_is_promised_nothing() -> None:
    values, found = forecast_of(np.ones(N_SERVICES))
    values[3, : found.cutoffs[100]] = np.nan  # hourly steps: two days are 4 intervals of 12
    outlook = ConformalCalibrator().predict(usage_from(values), found)
    lower, _ = outlook.bounds()
    known = ~np.isnan(lower[:, 3])
    assert np.flatnonzero(known)[0] == 100 + 4 - found.start
    assert known[100 + 4 - found.start :].all()


@pytest.mark.parametrize(
    "wrong",
    [{"prior": 0.0}, {"halflife": "long"}, {"fleet_halflife": "0h"}, {"least_history": "x"}],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"^conformal\."):
        ConformalCalibrator(**wrong)  # type: ignore[arg-type]
