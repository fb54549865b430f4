"""Requests from the surface: the least cost, the promise, and never a look ahead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from optimizer.core.config import load_config
from optimizer.core.errors import ConfigError
from optimizer.decisions.policies.heuristic.historical_cost import SHORTFALL
from optimizer.decisions.policies.learned.budget_optimal import BudgetOptimal
from optimizer.decisions.policies.learned.cost_optimal import CostOptimal, choose_levels
from optimizer.decisions.policies.learned.oom_optimal import OomOptimal
from optimizer.decisions.policies.learned.quantile import Quantile
from optimizer.demand.usage import Usage
from optimizer.models.conformal.selection import boldest
from optimizer.models.exceedance.forecast import Forecast
from optimizer.models.exceedance.lightgbm import ExceedanceLightGBM
from optimizer.models.exceedance.outcomes import count_hits
from optimizer.models.exceedance.recalibration import Recalibration, levels_at
from optimizer.models.exceedance.rolling import RollingSurface
from optimizer.models.exceedance.surface import expected_shortfall
from optimizer.training.experiment import build_surfaces

DAY = 24
ROLLING = RollingSurface(
    ExceedanceLightGBM(rounds=40, min_child_samples=40),
    refit="3d",
    calibration="3d",
    levels=30,
    seed=0,
    threads=1,
)
PEAKS = replace(ROLLING, outcome="peak", recalibration=None)
CUTOFFS = np.arange(11 * DAY, 17 * DAY, 6)
LAST = len(CUTOFFS) - 1
LAMBDAS = (0.1, 1.0, 10.0, 100.0)
PROMISES = (0.02, 0.05)


def fleet(n_services: int = 16, days: int = 17, seed: int = 0) -> Usage:
    """Return hourly lognormal usage, a daily wave, one service that starts late."""
    rng = np.random.default_rng(seed)
    hours = np.arange(days * DAY)
    wave = 0.4 * np.sin(2 * np.pi * hours / DAY)
    centre = np.log(rng.uniform(2.0, 20.0, n_services))
    logs = centre[:, None] + wave + 0.4 * rng.standard_normal((n_services, len(hours)))
    values = np.exp(logs).astype(np.float32)
    values[0, : 13 * DAY] = np.nan
    start = np.datetime64("2024-01-01", "us")
    return Usage(
        resource="cpu",
        values=values,
        capacity=np.full(n_services, 80.0, dtype=np.float32),
        timestamps=(start + (hours + 1) * np.timedelta64(3600, "s")).astype("datetime64[us]"),
        step=pd.Timedelta("1h"),
        services=tuple(f"s{i}" for i in range(n_services)),
    )


@pytest.fixture(scope="module")
def usage() -> Usage:
    return fleet()


@pytest.fixture(scope="module")
def requests(usage: Usage) -> np.ndarray:
    return CostOptimal().with_surface(ROLLING).request(usage, CUTOFFS, LAMBDAS)


@pytest.fixture(scope="module")
def promised(usage: Usage) -> np.ndarray:
    return Quantile().with_surface(ROLLING).request(usage, CUTOFFS, PROMISES)


@pytest.fixture(scope="module")
def budgeted(usage: Usage) -> np.ndarray:
    return BudgetOptimal().with_surface(ROLLING).request(usage, CUTOFFS, PROMISES)


@pytest.fixture(scope="module")
def guarded(usage: Usage) -> np.ndarray:
    return OomOptimal().with_surface(PEAKS).request(usage, CUTOFFS, LAMBDAS)


def random_surface(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return ascending levels and a falling exceedance, ``(3, 4, 12)``."""
    rng = np.random.default_rng(seed)
    levels = np.sort(rng.uniform(0.1, 8.0, (3, 4, 12)), axis=2).astype(np.float32)
    exceedance = -np.sort(-(rng.random((3, 4, 12)) ** 3), axis=2).astype(np.float32)
    return levels, exceedance


@pytest.mark.parametrize("w", [0.0, 0.2, 1.0])
def test_the_choice_equals_a_brute_force(w: float) -> None:
    levels, exceedance = random_surface()
    shortfall = expected_shortfall(levels, exceedance)
    chosen = choose_levels(levels, exceedance, (0.3, 3.0), w)
    for k, value in enumerate((0.3, 3.0)):
        for i, j in np.ndindex(3, 4):
            cap = levels[i, j, -1]
            cost = [
                level / cap + value * (w * share + (1 - w) * SHORTFALL * short / cap)
                for level, share, short in zip(
                    levels[i, j], exceedance[i, j], shortfall[i, j], strict=True
                )
            ]
            assert chosen[k, i, j] == levels[i, j, int(np.argmin(cost))]


def test_a_choice_by_hand() -> None:
    levels = np.array([[1.0, 2.0, 4.0]], dtype=np.float32)
    exceedance = np.array([[0.5, 0.1, 0.0]], dtype=np.float32)
    # w = 1: costs 0.25 + 0.5 v, 0.5 + 0.1 v and 1; they cross at v = 0.625 and v = 5
    chosen = choose_levels(levels, exceedance, (0.6, 0.7, 4.9, 5.1), 1.0)
    assert chosen[:, 0].tolist() == [1.0, 2.0, 2.0, 4.0]


def test_a_price_of_unmet_demand_weighs_it_against_what_is_requested() -> None:
    levels, exceedance = random_surface()

    class Given:
        def forecast(self, usage: Usage, cutoffs: np.ndarray) -> Forecast:
            return Forecast(cutoffs, 0, 6, levels, exceedance)

    policy = CostOptimal(unmet_price=40.0).with_surface(Given())
    found = policy.request(fleet(4, 3), np.array([30, 36, 42]), (policy.setting,))[0]
    cost = levels + 40.0 * expected_shortfall(levels, exceedance)
    best = np.argmin(cost, axis=-1)[..., None]
    np.testing.assert_array_equal(found, np.take_along_axis(levels, best, axis=-1)[..., 0])
    assert next(iter(policy.sweeps)) == "w=0"


@pytest.mark.parametrize("w", [0.0, 0.2, 1.0])
def test_more_lambda_never_lowers_a_request(w: float) -> None:
    levels, exceedance = random_surface(1)
    chosen = choose_levels(levels, exceedance, np.geomspace(0.01, 300, 50).tolist(), w)
    assert (np.diff(chosen, axis=0) >= 0).all()
    np.testing.assert_array_equal(chosen[0], levels[..., 0])


def test_the_cheapest_request_weighs_a_kill_by_hand() -> None:
    usage = fleet(1, 3)
    levels = np.array([[[0.01, 20.0, 40.0, 84.0]]], dtype=np.float32)
    peaks = np.array([[[1.0, 0.4, 0.05, 0.0]]], dtype=np.float32)

    class Given:
        def forecast(self, usage: Usage, cutoffs: np.ndarray) -> Forecast:
            return Forecast(cutoffs, 0, 6, levels, peaks)

    # the cap is 1.05 * 80 = 84: cost 0, 0.238, 0.476 and 1; with λ = 0.3 and risk 0.3, 0.358,
    # 0.491, 1; with λ = 0.5 risk 0.5, 0.438, 0.501; λ = 1 gives 0.638 and 0.526; λ = 20 1.0
    found = OomOptimal().with_surface(Given()).request(usage, np.array([48]), (0.3, 0.5, 1.0, 20.0))
    np.testing.assert_allclose(found[:, 0, 0], [0.01, 20.0, 40.0, 84.0])


def test_memory_is_asked_of_a_surface_that_learned_peaks() -> None:
    default = build_surfaces(load_config())["memory"]
    assert (default.outcome, default.recalibration) == ("peak", None)
    memory = replace(fleet(12, 14), resource="memory")
    cutoffs = np.arange(12 * DAY, 13 * DAY, 6)
    steps = replace(ROLLING, recalibration=None)
    peaks, shares = (one.forecast(memory, cutoffs).exceedance for one in (PEAKS, steps))
    known = ~np.isnan(peaks)
    assert np.mean(peaks[known]) > 1.2 * np.mean(shares[known])  # any step of six, not each


def test_what_is_unknown_stays_unknown() -> None:
    levels, exceedance = random_surface()
    exceedance[1, 2] = np.nan
    chosen = choose_levels(levels, exceedance, (1.0,), 0.2)
    assert np.argwhere(np.isnan(chosen)).tolist() == [[0, 1, 2]]


def test_requests_rise_with_lambda_and_wait_for_history(requests: np.ndarray) -> None:
    assert requests.shape == (4, len(CUTOFFS), 16)
    late = CUTOFFS < 14 * DAY
    assert np.isnan(requests[:, late, 0]).all()
    assert not np.isnan(requests[:, ~late]).any()
    assert not np.isnan(requests[:, :, 1:]).any()
    assert (np.diff(requests[:, :, 1:], axis=0) >= 0).all()


@pytest.mark.parametrize("index", [9, LAST])
def test_no_request_reads_its_future(
    usage: Usage,
    requests: np.ndarray,
    promised: np.ndarray,
    budgeted: np.ndarray,
    guarded: np.ndarray,
    index: int,
) -> None:
    values = usage.values.copy()
    rng = np.random.default_rng(5)
    later = values[:, CUTOFFS[index] :]
    later[...] = np.where(rng.random(later.shape) < 0.1, np.nan, 70.0 * rng.random(later.shape))
    changed = replace(usage, values=values)
    for kind, surface, knobs, one in (
        (CostOptimal, ROLLING, LAMBDAS, requests),
        (Quantile, ROLLING, PROMISES, promised),
        (BudgetOptimal, ROLLING, PROMISES, budgeted),
        (OomOptimal, PEAKS, LAMBDAS, guarded),
    ):
        other = kind().with_surface(surface).request(changed, CUTOFFS, knobs)
        np.testing.assert_array_equal(one[:, : index + 1], other[:, : index + 1])
        if index < LAST:  # the change does reach the requests that may know of it
            assert not np.array_equal(one[:, index + 1 :], other[:, index + 1 :], equal_nan=True)


def test_a_seed_repeats_the_requests(usage: Usage, requests: np.ndarray) -> None:
    other = replace(ROLLING, seed=1)
    different = CostOptimal().with_surface(other).request(usage, CUTOFFS, LAMBDAS)
    again = CostOptimal().with_surface(ROLLING).request(usage, CUTOFFS, LAMBDAS)
    np.testing.assert_array_equal(requests, again)
    assert not np.array_equal(requests, different, equal_nan=True)


def test_usage_that_is_changed_in_place_is_noticed(usage: Usage, requests: np.ndarray) -> None:
    policy = CostOptimal().with_surface(ROLLING)
    own = replace(usage, values=usage.values.copy())
    policy.request(own, CUTOFFS, LAMBDAS)
    own.values[:, : CUTOFFS[0]] *= 1.5
    assert not np.array_equal(policy.request(own, CUTOFFS, LAMBDAS), requests, equal_nan=True)


def test_levels_of_a_share_by_hand() -> None:
    levels = np.array([1.0, 2.0, 4.0], dtype=np.float32)
    exceedance = np.array([0.5, 0.1, 0.02], dtype=np.float32)
    found, promised = levels_at(levels, exceedance, (0.01, 0.05, 0.2, 0.6))
    assert found.tolist() == [4.0, 4.0, 2.0, 1.0]
    np.testing.assert_allclose(promised, [0.02, 0.02, 0.1, 0.5])


def test_recalibration_by_hand() -> None:
    # three intervals of two steps; the forecast is 0.5 at the only level, all steps are above it
    own = replace(fleet(1, 1), values=np.full((1, 6), 3.0, dtype=np.float32))
    cutoffs = np.array([0, 2, 4])
    levels = np.full((3, 1, 1), 2.0, dtype=np.float32)
    exceedance = np.full((3, 1, 1), 0.5, dtype=np.float32)
    settings = Recalibration(halflife="2h", prior=1.0, shares=(0.5,))
    factors = settings.factors(own, cutoffs, 2, levels, exceedance)[:, 0, 0]
    # realised ÷ share is 2, forecast ÷ share is 1; weights 0.5, then 0.5 and 0.25
    np.testing.assert_allclose(factors, [1.0, 2.0 / 1.5, 2.5 / 1.75], rtol=1e-6)


@pytest.mark.parametrize("kind", ["promised", "budgeted"])
def test_promises_are_kept(
    usage: Usage, kind: str, promised: np.ndarray, budgeted: np.ndarray
) -> None:
    request = promised if kind == "promised" else budgeted
    hits, steps = count_hits(usage, CUTOFFS, 6, request)
    realised = hits.sum(axis=(1, 2)) / steps.sum()
    assert realised == pytest.approx(np.array(PROMISES), rel=0.5)


def test_the_boldest_that_kept_the_promise_by_hand() -> None:
    hits, steps, number = np.array([0, 10, 20, 90]), np.array(1000), np.array(99)
    # risks (99 * hits / 1000 + 1) / 100: 0.01, 0.0199, 0.0298, 0.0991
    assert [boldest(p, hits, steps, number) for p in (0.001, 0.01, 0.02, 0.03, 0.2)] == [
        *(0, 0, 1, 2, 3)
    ]
    nothing = np.zeros(4, dtype=np.int64), np.array(0), np.array(0)
    assert boldest(0.5, *nothing) == 0  # the safest


def test_a_margin_multiplies_what_is_promised(usage: Usage) -> None:
    plain, wide = (
        Quantile(margin=margin).with_surface(ROLLING).request(usage, CUTOFFS[:4], (0.02,))
        for margin in (1.0, 1.5)
    )
    np.testing.assert_allclose(wide, 1.5 * plain, rtol=1e-6)


def test_each_w_is_a_sweep_of_its_own(usage: Usage, requests: np.ndarray) -> None:
    policy = CostOptimal().with_surface(ROLLING)
    assert list(policy.sweeps) == ["w=0.2", "w=1"]
    own, steps = (one.request(usage, CUTOFFS, LAMBDAS) for one in policy.sweeps.values())
    np.testing.assert_array_equal(own, requests)
    np.testing.assert_array_equal(
        steps, CostOptimal(w=1.0).with_surface(ROLLING).request(usage, CUTOFFS, LAMBDAS)
    )
    assert not np.array_equal(own, steps, equal_nan=True)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (CostOptimal, {"lambda_": 0.0}),
        (CostOptimal, {"w": 1.2}),
        (Quantile, {"exceedance": 1.0}),
        (Quantile, {"margin": 0.9}),
        (BudgetOptimal, {"budget": 0.0}),
        (BudgetOptimal, {"memory": "often"}),
        (CostOptimal, {"ws": (0.2, 1.2)}),
        (CostOptimal, {"unmet_price": 0.0}),
        (OomOptimal, {"lambda_": 0.0}),
        (BudgetOptimal, {"w": -0.1}),
        (Recalibration, {"prior": 0.0}),
        (Recalibration, {"limit": 0.5}),
        (Recalibration, {"halflife": "long"}),
    ],
)
def test_settings_out_of_range_are_refused(kind: type, wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        kind(**wrong)
