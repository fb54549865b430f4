from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from optimizer.core.panel import FloatArray
from optimizer.decisions.backtesting.accounting import ReplaySums, replay_sums
from optimizer.decisions.backtesting.metrics import replay_metrics
from optimizer.demand.intervals import interval_peaks
from optimizer.demand.usage import Usage

NAN = np.nan
EXPECTED: dict[str, tuple[float, float, float]] = {
    # service 0, service 1, both; see ``small``
    "cost_vs_static": (4 / 20, 2 / 4, 6 / 24),
    "cost_vs_oracle": (4 / 5, 2 / 3, 6 / 8),
    "violation_rate": (1 / 3, 2 / 2, 3 / 5),
    "severity": (1.0, 0.5, 2 / 3),
    "unmet_share": (2 / 7, 2 / 6, 4 / 13),
    "violated_intervals_share": (1 / 2, 1 / 1, 2 / 3),
    "violated_services_share": (1.0, 1.0, 1.0),
    "slack": (0.5 / 3, 0.0, 0.5 / 5),
    "changes_per_service_day": (0.0, NAN, 0.0),
    "gib_hours": (8.0, 4.0, 12.0),
    "kills_per_service_week": (1 / (3 / 168), 1 / (2 / 168), 2 / (5 / 168)),
}


def usage_from(values: object, capacity: object, *, resource: str = "memory") -> Usage:
    """Return hourly usage."""
    used = np.asarray(values, dtype=np.float32)
    clock = np.datetime64("2024-01-01T01:00", "us") + np.arange(used.shape[1]) * np.timedelta64(
        1, "h"
    )
    return Usage(
        resource=resource,
        values=used,
        capacity=np.asarray(capacity, dtype=np.float32),
        timestamps=clock,
        step=pd.Timedelta("1h"),
        services=tuple(f"s{i}" for i in range(len(used))),
    )


def small() -> tuple[FloatArray, Usage, np.ndarray]:
    """Return one knob's requests, usage and cutoffs: two intervals of two hours.

    Service 0 requests 2 and uses 2, 4 | 1, unobserved. Service 1 requests 5 | 2 and uses
    unobserved, unobserved | 3, 3.
    """
    usage = usage_from([[9, 2, 4, 1, NAN], [9, NAN, NAN, 3, 3]], [10, 4])
    return np.array([[[2, 5], [2, 2]]], dtype=np.float32), usage, np.array([1, 3])


def noisy(seed: int = 1) -> tuple[FloatArray, Usage, np.ndarray]:
    """Return three knobs' requests for five services over 8 intervals of 6 hours, with gaps."""
    rng = np.random.default_rng(seed)
    values = rng.gamma(1.0, 2.0, (5, 60))
    values[rng.random(values.shape) < 0.15] = NAN
    values[2, 12:30] = NAN
    requests = rng.choice([0.5, 1.0, 2.0, 4.0, 6.0], (3, 8, 5)).astype(np.float32)
    return requests, usage_from(values, rng.uniform(2, 8, 5)), 12 + 6 * np.arange(8)


@pytest.mark.parametrize("name", EXPECTED)
def test_figures_of_two_services_by_hand(name: str) -> None:
    sums = replay_sums(*small())
    each, both = replay_metrics(sums)[name], replay_metrics(sums.pooled())[name]
    assert each.shape == (1, 2)
    np.testing.assert_allclose([*each[0], both[0, 0]], EXPECTED[name])


def test_there_are_no_other_figures_and_kills_are_of_memory_only() -> None:
    requests, usage, cutoffs = small()
    assert set(replay_metrics(replay_sums(requests, usage, cutoffs))) == set(EXPECTED)
    cpu = replay_metrics(replay_sums(requests, replace(usage, resource="cpu"), cutoffs))
    assert set(cpu) == set(EXPECTED) - {"gib_hours", "kills_per_service_week"} | {"core_hours"}


def test_a_change_is_a_relative_difference_above_a_millionth() -> None:
    usage = usage_from(np.ones((1, 25)), [4.0])
    cutoffs = np.array([1, 7, 13, 19])
    requests = np.array([[2, 2, 3, 3], [2, 2.000001, 3, 2]], dtype=np.float32)[..., None]
    churn = replay_metrics(replay_sums(requests, usage, cutoffs))["changes_per_service_day"]
    # three pairs of 6 h are 0.75 days; 2.000001 differs by half a millionth
    np.testing.assert_allclose(churn[:, 0], [1 / 0.75, 2 / 0.75])


def test_kills_are_runs_of_violated_steps_and_every_interval_counts_anew() -> None:
    usage = usage_from([[0, 3, 3, 1, 3, NAN, 3, 3, 1, 1, 1, 3]], [4.0])
    requests = np.full((1, 2, 1), 2, dtype=np.float32)
    # steps 1..6: runs 1-2, 4 and 6 (5 is unobserved); steps 7..11: 7 goes on from 6 but is a new
    # interval's, and 11
    assert replay_sums(requests, usage, np.array([1, 7]))["kills"][0, 0] == 5


def test_groups_and_resamples_are_weighted_sums_of_services() -> None:
    requests, usage, cutoffs = noisy()
    sums = replay_sums(requests, usage, cutoffs)
    groups = sums.weighted(np.array([[0, 1, 0, 1, 1], [1, 0, 1, 0, 0]], dtype=bool))
    web = replace(usage, values=usage.values[[0, 2]], capacity=usage.capacity[[0, 2]])
    alone = replay_sums(requests[:, :, [0, 2]], replace(web, services=("a", "b")), cutoffs)
    np.testing.assert_allclose(groups.values[:, :, 1], alone.pooled().values[:, :, 0])
    drawn = sums.weighted(np.array([[2, 0, 1, 0, 0], [1, 1, 1, 1, 1]]))
    np.testing.assert_allclose(
        drawn["demand"][:, 0], 2 * sums["demand"][:, 0] + sums["demand"][:, 2]
    )
    np.testing.assert_allclose(drawn.values[:, :, [1]], sums.pooled().values)


def test_sums_agree_with_a_loop_over_steps() -> None:
    requests, usage, cutoffs = noisy()
    sums = replay_sums(requests, usage, cutoffs)
    for knob, service in np.ndindex(3, 5):
        steps = violated = exceedance = unused = unmet = demand = kills = requested = peak = 0.0
        for interval, cutoff in enumerate(cutoffs):
            request, before = float(requests[knob, interval, service]), False
            seen = []
            for used in usage.values[service, cutoff : cutoff + 6].astype(float):
                over = used > request
                kills += over and not before
                before = over
                if not np.isnan(used):
                    seen.append(used)
                    steps, violated, demand = steps + 1, violated + over, demand + used
                    exceedance += max(used - request, 0) / request
                    unused += max(request - used, 0) / request
                    unmet += max(used - request, 0)
            if seen:
                requested, peak = requested + request, peak + max(seen)
        expected = (
            steps, violated, exceedance, unused, unmet, demand, kills, requested, peak
        )  # fmt: skip
        names = (
            "steps", "violated_steps", "exceedance", "unused", "unmet", "demand", "kills",
            "requested", "peak",
        )  # fmt: skip
        found = [sums[name][knob, service] for name in names]
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_peak_oracle_violates_nothing_and_costs_one(seed: int) -> None:
    _, usage, cutoffs = noisy(seed)
    peaks = interval_peaks(usage, cutoffs)
    requests = np.where(np.isnan(peaks), usage.capacity, peaks)[None]
    figures = replay_metrics(replay_sums(np.maximum(requests, np.float32(0.01)), usage, cutoffs))
    assert (figures["violation_rate"] == 0).all()
    assert (figures["unmet_share"] == 0).all()
    assert (figures["severity"] == 0).all()
    np.testing.assert_allclose(figures["cost_vs_oracle"], 1.0)


@pytest.mark.parametrize("seed", range(5))
def test_figures_do_not_depend_on_the_unit(seed: int) -> None:
    requests, usage, cutoffs = noisy(seed)
    milli = replace(usage, values=usage.values * 1024, capacity=usage.capacity * 1024)
    was = replay_metrics(replay_sums(requests, usage, cutoffs).pooled())
    now = replay_metrics(replay_sums(requests * 1024, milli, cutoffs, floor=10.24).pooled())
    for name, figure in was.items():
        factor = 1024 if name == "gib_hours" else 1
        np.testing.assert_allclose(now[name], figure * factor, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("seed", range(5))
def test_raising_a_request_never_raises_violations(seed: int) -> None:
    requests, usage, cutoffs = noisy(seed)
    more = np.random.default_rng(seed).gamma(0.3, 1.0, requests.shape).astype(np.float32)
    low = replay_metrics(replay_sums(requests, usage, cutoffs))
    high = replay_metrics(replay_sums(requests + more, usage, cutoffs))
    for name in ("violation_rate", "unmet_share", "violated_intervals_share"):
        assert (high[name] <= low[name]).all()
    for name in ("cost_vs_oracle", "cost_vs_static", "slack"):
        assert (high[name] >= low[name] - 1e-9).all()


def test_a_service_never_observed_has_no_figures_and_changes_no_other() -> None:
    requests, usage, cutoffs = noisy()
    silent = usage.values.copy()
    silent[1] = NAN
    figures = replay_metrics(replay_sums(requests, replace(usage, values=silent), cutoffs))
    assert all(np.isnan(v[:, 1]).all() for n, v in figures.items() if n != "gib_hours")
    was = replay_metrics(replay_sums(requests, usage, cutoffs))
    np.testing.assert_array_equal(figures["slack"][:, [0, 2, 3, 4]], was["slack"][:, [0, 2, 3, 4]])


def test_sums_of_an_idle_fleet_have_no_unmet_share() -> None:
    sums = replay_sums(
        np.full((1, 1, 1), 0.01, dtype=np.float32), usage_from([[0, 0, 0]], [1]), np.array([1])
    )
    figures = replay_metrics(sums)
    assert np.isnan(figures["unmet_share"]).all()
    # the oracle too requests the floor
    np.testing.assert_allclose(figures["cost_vs_oracle"], 1.0)
    assert isinstance(sums, ReplaySums)
