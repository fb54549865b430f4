"""A policy asked now: one case per resource, with its past requests and its clipped services."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from usages import Swept, fleet

from optimizer.core.panel import Panel
from optimizer.decisions.policies.heuristic.max_margin import MaxMargin
from optimizer.decisions.policies.learned.cost_optimal import CostOptimal
from optimizer.decisions.policies.protocol import Policy
from optimizer.decisions.recommendations.recommend import RecommendationSettings, recommend_resource
from optimizer.decisions.recommendations.snapshot import (
    PolicyRequests,
    evaluate_policy,
    newest_clusters,
)
from optimizer.demand.bounds import RequestBounds
from optimizer.demand.from_panel import usage_of
from optimizer.demand.usage import Usage
from optimizer.models.conformal.conformal import ConformalCalibrator
from optimizer.models.exceedance.fitted import TrainedSurface, build_intervals, fit_surface
from optimizer.models.exceedance.lightgbm import ExceedanceLightGBM
from optimizer.models.exceedance.rolling import RollingSurface

NAN = np.nan
DAYS, HELD, STOP = 20, 6, 12 * 24
PINNED, LATE, YOUNG, UNKNOWN, FREE = 0, 1, 2, 4, (3, 5, 6, 7)
ONCE = 3
SETTINGS = RollingSurface(
    ExceedanceLightGBM(rounds=20, min_child_samples=20, num_leaves=7), seed=3, threads=1
)
WEEK = RecommendationSettings(history="7d")
PATIENT = replace(WEEK, clipped_above=1.0)
"""Settings by which nobody is clipped."""
RULES = RequestBounds(), ConformalCalibrator()


def telemetry() -> Panel:
    """Return hourly CPU of eight services: one at its limit 4 hours of 10, one of them once."""
    usage = fleet(8, DAYS)
    values, capacity = usage.values.copy(), 2.0 * np.nanmax(usage.values, axis=1, initial=1.0)
    values[YOUNG, -10:], capacity[YOUNG] = 1.0, 4.0
    capacity[PINNED] = np.nanquantile(values[PINNED], 0.6)
    values[PINNED] = np.minimum(values[PINNED], capacity[PINNED])  # a gap stays one
    values[ONCE, -50] = capacity[ONCE]  # 1 of 168 hours is no more than 1 %
    held = np.broadcast_to(capacity[:, None], values.shape).copy()
    held[UNKNOWN] = NAN
    clusters = np.zeros(values.shape, dtype=np.int32)
    clusters[LATE, STOP + 10 :] = 1
    return Panel(
        values=np.stack([values / capacity[:, None], held]).astype(np.float32),
        metrics=("cpu_utilization", "cpu_capacity_cores"),
        services=usage.services,
        clusters=clusters,
        cluster_names=("east", "west"),
        timestamps=usage.timestamps,
        step=usage.step,
        present=~np.isnan(values),
    )


@pytest.fixture(scope="module")
def panel() -> Panel:
    return telemetry()


@pytest.fixture(scope="module")
def usage(panel: Panel) -> Usage:
    return usage_of(panel, "cpu")


@pytest.fixture(scope="module")
def trained(usage: Usage) -> TrainedSurface:
    return fit_surface(build_intervals(usage, SETTINGS, STOP), SETTINGS)


@pytest.fixture(scope="module")
def asked(panel: Panel, trained: TrainedSurface) -> PolicyRequests:
    return evaluate_policy(CostOptimal(5.0, 0.2), trained, panel, WEEK, *RULES)


def test_newest_of_the_past_is_what_is_asked_for_now(asked: PolicyRequests) -> None:
    # a week of 6 h: 28 intervals ago, and now
    assert asked.past.shape == (29, 8)
    assert asked.past.dtype == np.float32
    np.testing.assert_array_equal(asked.past[-1], asked.case.target)
    assert asked.hold == pd.Timedelta("6h")


def test_days_ascend_to_today(asked: PolicyRequests, usage: Usage) -> None:
    # the clock ends at midnight of 2024-01-21, at which the 21st begins: 19743 days since 1970;
    # the cutoffs of a week before are those of four a day from the 14th on
    assert usage.timestamps[-1] == np.datetime64("2024-01-21T00:00")
    assert asked.days.tolist() == [*np.repeat(np.arange(19736, 19743), 4).tolist(), 19743]


def test_requests_are_within_floor_and_cap_and_never_unknown(
    asked: PolicyRequests, usage: Usage
) -> None:
    assert not np.isnan(asked.past).any()
    assert (asked.past >= 0.01).all()
    free = list(FREE)
    assert (asked.past[:, free] <= 1.05 * usage.capacity[free] + 1e-5).all()
    # ten hours of history do not suffice: the present request stays
    assert np.isnan(asked.case.asked[YOUNG])
    assert (asked.past[:, YOUNG] == usage.capacity[YOUNG]).all()
    # a service that started on day 12 was not known until it had a day of past
    late = asked.past[:, LATE] == usage.capacity[LATE]
    assert not late[-1]


def test_case_has_what_is_known_of_every_service(asked: PolicyRequests, usage: Usage) -> None:
    case = asked.case
    np.testing.assert_array_equal(case.usage.values, usage.values)
    assert case.clusters == ("east", "west", *["east"] * 6)
    assert case.capacity_known.tolist() == [service != UNKNOWN for service in range(8)]
    assert case.outlook.levels.shape[:2] == (1, 8)
    assert [len(one) for one in case.drivers] == [3] * 8
    lower, upper = (bound[0] for bound in case.outlook.bounds())
    known = np.arange(8) != YOUNG
    assert (lower[known] < upper[known]).all()
    assert np.isnan(upper[YOUNG])


def test_promises_are_counted_since_the_fit_and_once_they_are_due(
    panel: Panel, trained: TrainedSurface, usage: Usage
) -> None:
    long = RecommendationSettings(history="12d")  # reaches back to before the fit
    begun = long.cutoffs(usage, HELD)
    assert begun[0] < STOP
    asked = evaluate_policy(CostOptimal(), trained, panel, long, *RULES)
    due = begun[(begun >= STOP) & (begun + HELD <= usage.n_steps)]
    seen = ~np.isnan(np.stack([usage.values[:, c : c + HELD] for c in due]))
    seen[:, YOUNG] = seen[0, LATE] = False  # less than two days old: promised nothing yet
    assert asked.promises["group"].unique().tolist() == ["cpu"]
    assert asked.promises["steps"].unique().tolist() == [seen.sum()]
    assert asked.bounds["intervals"].tolist() == [seen.any(axis=2).sum()]
    assert asked.due == len(due) * pd.Timedelta("6h")


def test_no_promise_has_come_due_on_the_day_of_the_fit(
    panel: Panel, trained: TrainedSurface, usage: Usage
) -> None:
    fresh = replace(trained, fitted_until=usage.timestamps[-1])
    asked = evaluate_policy(CostOptimal(), fresh, panel, WEEK, *RULES)
    assert (len(asked.bounds), len(asked.promises)) == (0, 0)
    assert asked.due == pd.Timedelta(0)


def test_advice_follows(asked: PolicyRequests) -> None:
    codes = recommend_resource(asked.case, WEEK)["reason_code"].tolist()
    assert codes[PINNED] == "too_small"
    assert codes[YOUNG] == "history_too_short"
    assert codes[UNKNOWN] == "capacity_unknown"


@pytest.mark.parametrize("policy", [CostOptimal(5.0, 0.2), CostOptimal(50.0, 1.0), MaxMargin()])
def test_clipped_service_is_asked_for_with_demand_and_others_as_they_are(
    policy: Policy, panel: Panel, trained: TrainedSurface, usage: Usage
) -> None:
    freed = evaluate_policy(policy, trained, panel, WEEK, *RULES)
    plain = evaluate_policy(policy, trained, panel, PATIENT, *RULES)
    assert WEEK.clipped(usage).tolist() == [service == PINNED for service in range(8)]
    others = np.arange(8) != PINNED
    np.testing.assert_array_equal(freed.past[:, others], plain.past[:, others])
    assert (freed.past[:, PINNED] >= plain.past[:, PINNED]).all()
    # as observed it may have 5 % more at most; with its demand it is let grow
    assert plain.case.target[PINNED] <= 1.05 * usage.capacity[PINNED] * (1 + 1e-6)
    assert freed.case.target[PINNED] > 1.1 * usage.capacity[PINNED]
    assert freed.case.asked[PINNED] >= freed.case.target[PINNED]


def test_bounds_and_risk_are_of_usage_as_observed(
    panel: Panel, trained: TrainedSurface, asked: PolicyRequests
) -> None:
    plain = evaluate_policy(CostOptimal(5.0, 0.2), trained, panel, PATIENT, *RULES)
    for name in ("levels", "exceedance", "peak_exceedance"):
        one, other = (getattr(found.case.outlook, name) for found in (asked, plain))
        np.testing.assert_array_equal(one, other)


class Shy(Swept):
    """Asks for less where usage was higher, as no rule would and a learned policy may."""

    learns, knob, setting, knobs = False, "none", 1.0, (1.0,)
    surface: Any = None

    def with_surface(self, surface: Any) -> Shy:
        self.surface = surface
        return self

    def request(self, usage: Usage, cutoffs: np.ndarray, knobs: Sequence[float]) -> np.ndarray:
        told = self.surface.forecast(usage, cutoffs)
        assert told.cutoffs[told.start :].tolist() == cutoffs.tolist()
        wanted = usage.capacity**2 / np.fmax.reduce(usage.values, axis=1)
        return np.broadcast_to(wanted, (1, len(cutoffs), usage.n_services)).astype(np.float32)


def test_clipped_service_never_gets_less_than_plain(
    panel: Panel, trained: TrainedSurface, usage: Usage
) -> None:
    found = evaluate_policy(Shy(), trained, panel, WEEK, *RULES)
    # its highest usage is its capacity: plainly it gets that, and less for its higher demand
    assert found.past[:, PINNED] == pytest.approx(usage.capacity[PINNED])


def test_floor_and_headroom_are_those_of_the_bounds(
    panel: Panel, trained: TrainedSurface, usage: Usage
) -> None:
    policy = MaxMargin(margin=0.5)
    rules = RequestBounds(floor=3.0, headroom=1.0), ConformalCalibrator()
    found = evaluate_policy(policy, trained, panel, PATIENT, *rules).case
    # 1.5 times the highest of the last 14 days, at most the capacity, at least 3 cores
    peak = np.fmax.reduce(usage.values[:, -14 * 24 :], axis=1)
    np.testing.assert_allclose(found.asked[list(FREE)], 1.5 * peak[list(FREE)], rtol=1e-6)
    expected = np.maximum(np.minimum(1.5 * peak, usage.capacity), 3.0)
    np.testing.assert_allclose(found.target[list(FREE)], expected[list(FREE)], rtol=1e-6)
    assert found.target[UNKNOWN] == 3.0


def test_cluster_is_the_one_of_the_newest_row(panel: Panel) -> None:
    clusters = panel.clusters.copy()
    clusters[3, -1] = 1  # carried or not: no row is there
    present = panel.present.copy()
    present[3, -1], present[3, -2] = False, True
    present[5] = False
    found = newest_clusters(replace(panel, clusters=clusters, present=present))
    assert found == ("east", "west", "east", "east", "east", "", "east", "east")
