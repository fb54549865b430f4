from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from optimizer.decisions.backtesting.accounting import SUMS, ReplaySums
from optimizer.decisions.backtesting.frontier import Frontier, FrontierPoint, frontier_table
from optimizer.decisions.backtesting.significance import compare_cost, draw_services
from optimizer.decisions.backtesting.tables import PolicyReplay, compare_groups, compare_rules

Point = tuple[float, float, float]
POLICY: list[Point] = [(4.0, 1.0, 4.0), (2.0, 1.2, 3.0), (0.5, 1.8, 0.5)]
"""Violation rate in %, cost, unmet demand in %, of three settings."""
RULE: list[Point] = [(2.0, 1.5, 1.0), (0.0, 2.0, 0.0)]


def sums_of(*services: list[Point]) -> ReplaySums:
    """Return sums of services of 1000 steps, demand 100 and an oracle's requests of 10."""
    values = np.zeros((len(SUMS), len(services[0]), len(services)))
    points = np.array(services).transpose(2, 1, 0)
    cells = {
        "steps": np.full(points.shape[1:], 1000.0),
        "violated_steps": points[0] * 10,
        "peak": np.full(points.shape[1:], 10.0),
        "requested": points[1] * 10,
        "demand": np.full(points.shape[1:], 100.0),
        "unmet": points[2],
    }
    for name, cell in cells.items():
        values[SUMS.index(name)] = cell
    return ReplaySums("cpu", values)


def sweep(*services: list[Point]) -> Frontier:
    return Frontier.of(sums_of(*services))


def replay_of(name: str, *services: list[Point]) -> PolicyReplay:
    return PolicyReplay(name, "k", ("1",), 0, False, np.empty(0, np.float32), sweep(*services))


def read(met: FrontierPoint) -> tuple[float, float, float]:
    return met.cost[0], 100 * met.rate[0], 100 * met.unmet[0]


@pytest.mark.parametrize(
    ("limit", "expected", "tight"),
    [
        # between the last two settings, two thirds of the way: 1.2 + 2/3 * 0.6, 3 - 2/3 * 2.5
        (0.01, (1.6, 1.0, 4 / 3), True),
        (0.02, (1.2, 2.0, 3.0), True),
        (0.03, (1.1, 3.0, 3.5), True),
        (0.005, (1.8, 0.5, 0.5), True),
        # the cheapest setting keeps the limit with room to spare
        (0.05, (1.0, 4.0, 4.0), False),
    ],
)
def test_cost_where_the_violation_rate_meets_its_limit(
    limit: float, expected: Point, tight: bool
) -> None:
    met = sweep(POLICY).meet(limit)
    assert read(met) == pytest.approx(expected)
    assert met.tight[0] == tight
    assert met.reasons == ("",)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        # the rule has 1.75 and 0.5 % unmet: only the policy's last setting has no more
        (0.01, (1.8, 0.5, 0.5)),
        # the rule has 1.5 and 1 % unmet: 3 - 2.5 t = 1 at t = 0.8
        (0.02, (1.68, 0.8, 1.0)),
    ],
)
def test_cost_with_unmet_demand_capped_at_the_reference(limit: float, expected: Point) -> None:
    assert read(sweep(POLICY).meet(limit, sweep(RULE))) == pytest.approx(expected)


@pytest.mark.parametrize("limit", [0.001, 0.0037, 0.01, 0.02, 0.5])
def test_a_reference_meets_its_own_unmet_demand(limit: float) -> None:
    rule = sweep(RULE)
    assert read(rule.meet(limit, rule)) == pytest.approx(read(rule.meet(limit)))


def test_without_a_setting_within_the_limits_the_reason_is_told() -> None:
    policy, rule = sweep(POLICY), sweep(RULE)
    met = policy.meet(0.004)
    assert np.isnan(met.cost[0])
    assert "every setting violates more" in met.reasons[0]
    # 0.5 % violated leaves the rule 0.25 % unmet, the policy 0.5 %
    assert "more demand unmet than the reference" in policy.meet(0.005, rule).reasons[0]
    assert "reference policy does not meet" in rule.meet(0.004, policy).reasons[0]
    empty = Frontier(ReplaySums("cpu", np.zeros((len(SUMS), 2, 1))), (0, 0))
    assert empty.meet(0.01).reasons == ("no step was observed",)


def test_a_lone_setting_is_a_point() -> None:
    static = sweep([(0.1, 3.0, 0.0)])
    met = static.meet(0.01)
    assert read(met) == pytest.approx((3.0, 0.1, 0.0))
    assert not met.tight[0]
    assert np.isnan(static.meet(0.0005).cost[0])


def test_settings_mix_within_a_sweep_and_never_across() -> None:
    first, second = sums_of([(4.0, 1.0, 0.0), (3.0, 1.1, 0.0)]), sums_of([(0.0, 1.4, 0.0)])
    assert Frontier.of(first, second).sweep == (0, 0, 1)
    # joined, the mixture of 3 % and 0 % would cost 1.2
    assert read(Frontier.of(first, second).meet(0.02)) == pytest.approx((1.4, 0.0, 0.0))
    third = sums_of([(3.0, 1.2, 0.0), (1.0, 1.4, 0.0)])
    # the best sweep is taken: half way from 1.2 to 1.4
    assert read(Frontier.of(first, second, third).meet(0.02)) == pytest.approx((1.3, 2.0, 0.0))


def test_the_cheapest_point_is_found_on_a_frontier_that_turns_back() -> None:
    # at 1 %: between the first two settings 1.5, between the last two 1.3
    points = [(2.0, 1.0, 0.0), (0.0, 2.0, 0.0), (0.5, 1.4, 0.0), (1.5, 1.2, 0.0)]
    assert read(sweep(points).meet(0.01)) == pytest.approx((1.3, 1.0, 0.0))


def test_interpolation_is_that_of_a_dense_mixture() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        points = np.column_stack([rng.uniform(0, 4, 6), rng.uniform(1, 3, 6), rng.uniform(0, 3, 6)])
        rule = sweep([(4.0, 1.0, 3.0), (0.0, 3.0, 0.0)])
        met = sweep([tuple(p) for p in points]).meet(0.015, rule)
        cap = 100 * rule.meet(0.015).unmet[0]
        t = np.linspace(0, 1, 20001)[:, None, None]
        mixed = (points[:-1] * (1 - t) + points[1:] * t).reshape(-1, 3)
        allowed = mixed[(mixed[:, 0] <= 1.5) & (mixed[:, 2] <= cap)]
        if len(allowed) == 0:
            assert np.isnan(met.cost[0])
        else:
            assert met.cost[0] == pytest.approx(allowed[:, 1].min(), abs=1e-3)


def test_table_of_all_limits() -> None:
    table = frontier_table(sweep(POLICY), sweep(RULE), limits=(0.001, 0.01))
    assert table["limit"].tolist() == [0.001, 0.001, 0.01, 0.01]
    assert table["unmet_capped"].tolist() == [False, True, False, True]
    np.testing.assert_allclose(table["cost"], [np.nan, np.nan, 1.6, 1.8])
    assert table["reason"].iloc[2] == ""


def test_rows_are_independent() -> None:
    other: list[Point] = [(v / 2, c + 1, u) for v, c, u in POLICY]
    both = sweep(POLICY, other)
    apart = both.weighted(np.array([[1, 0], [0, 1], [1, 1]])).meet(0.01)
    assert apart.cost[0] == pytest.approx(1.6)
    # the other's first setting violates 2 %, its second 1 % at a cost of 2.2
    assert apart.cost[1] == pytest.approx(2.2)
    # together 3, 1.5 and 0.375 % at costs of 1.5, 1.7 and 2.3: 1.7 + 0.6 * 0.5 / 1.125
    assert apart.cost[2] == pytest.approx(1.7 + 0.6 * 0.5 / 1.125)
    assert both.pooled().meet(0.01).cost[0] == pytest.approx(apart.cost[2])


def test_the_best_rule_is_picked_anew_in_each_resample() -> None:
    flat = [[(0.0, cost, 0.0)] for cost in (2.0, 2.0, 1.0, 4.0, 3.0, 1.5)]
    policy, a, b = sweep(*flat[0:2]), sweep(*flat[2:4]), sweep(*flat[4:6])
    counts = np.array([[2, 0], [0, 2], [1, 1]], dtype=np.int32)
    compared = compare_cost(policy, {"a": a, "b": b}, 0.01, counts)
    # on the fleet a costs 2.5, b 2.25; on service 0 alone a costs 1, on service 1 alone b 1.5
    assert (compared.cost, compared.rule, compared.rule_cost) == (2.0, "b", 2.25)
    # differences 1, 0.5 and -0.25: quantiles 2.5 and 97.5 % of three values
    assert compared.difference == pytest.approx((-0.25, -0.2125, 0.975))
    assert compared.change[0] == pytest.approx(2 / 2.25 - 1)
    assert compared.undefined == 0.0
    assert not compared.unmet_capped


def test_a_policy_a_tenth_cheaper_everywhere_is_so_in_every_resample() -> None:
    rng = np.random.default_rng(2)
    rules = [[(v, c + k, u) for v, c, u in RULE] for k in rng.uniform(0, 3, 30)]
    cheaper = [[(v, 0.9 * c, u) for v, c, u in service] for service in rules]
    rule, policy = sweep(*rules), sweep(*cheaper)
    counts = draw_services(rule, 200, seed=1)
    assert counts.shape == (200, 30)
    compared = compare_cost(policy, {"rule": rule}, 0.01, counts, reference=rule)
    assert compared.change == pytest.approx((-0.1, -0.1, -0.1))
    assert compared.difference[1] < compared.difference[0] < compared.difference[2] < 0
    assert compared.unmet_capped
    assert compare_cost(rule, {"rule": rule}, 0.01, counts, rule).difference == (0.0, 0.0, 0.0)


def test_a_comparison_that_fails_its_limits_says_so() -> None:
    failing = sweep([(5.0, 1.0, 0.0)], [(5.0, 1.0, 0.0)])
    good = sweep([(0.0, 1.0, 0.0)], [(0.0, 1.0, 0.0)])
    counts = draw_services(good, 10)
    compared = compare_cost(failing, {"rule": good}, 0.01, counts)
    assert np.isnan([compared.cost, *compared.difference]).all()
    assert compared.undefined == 1.0
    assert compared.reason
    alone = compare_cost(good, {"rule": failing}, 0.01, counts)
    assert (alone.cost, alone.rule, alone.reason) == (1.0, "", "")
    assert np.isnan(alone.rule_cost)


def test_services_without_steps_are_never_drawn() -> None:
    sums = sums_of(POLICY, POLICY, POLICY)
    sums["steps"][:, 1] = 0
    counts = draw_services(Frontier.of(sums), 50)
    assert (counts[:, 1] == 0).all()
    assert (counts.sum(axis=1) == 2).all()


def test_groups_are_compared_as_if_they_were_alone() -> None:
    def replayed(*services: list[Point]) -> dict[str, PolicyReplay]:
        made = {"mine": services, "vpa": [RULE] * len(services)}
        return {name: replay_of(name, *rows) for name, rows in made.items()}

    cheap = [(v, 0.5 * c, u) for v, c, u in RULE]
    found = compare_groups(replayed(RULE, cheap, RULE, cheap, cheap), ("a", "b", "a", "b", "c"))
    sizes = found.groupby("group", sort=False)["services"].first()
    assert sizes.to_dict() == {"all": 5, "a": 2, "b": 2}  # c has one service only: nothing to draw
    alone = compare_rules(replayed(cheap, cheap))
    group = found[found["group"] == "b"].drop(columns=["group", "services"])
    pd.testing.assert_frame_equal(group.reset_index(drop=True), alone)
    mine = group[(group["policy"] == "mine") & (group["limit"] == 0.01)]
    assert mine["change"].tolist() == pytest.approx([-0.5, -0.5])


def test_a_lone_rule_is_the_cheapest_with_none_beside_it() -> None:
    rows = compare_rules({"vpa": replay_of("vpa", RULE, RULE)})
    met = rows[rows["limit"] == 0.01]
    assert met["cost"].notna().all()
    assert set(met["best_rule"]) == {""}
    assert met["change"].isna().all()
