"""Price catalogues, costs of a month, and what following a policy would have saved."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest

from optimizer.core.config import CONF_DIR, build
from optimizer.core.errors import ConfigError
from optimizer.decisions.pricing.catalogue import (
    Instance,
    PriceCatalogue,
    fit_prices,
    monthly_cost,
    price_per_hour,
)
from optimizer.decisions.pricing.savings import monthly_savings, resample_days
from optimizer.demand.usage import CPU, MEMORY

NAN = np.nan
NAMES = sorted(path.stem for path in (CONF_DIR / "prices").glob("*.yaml"))
PUBLISHED = {"gcp": (0.031611, 0.004237)}


def node_of(name: str) -> dict[str, Any]:
    from omegaconf import OmegaConf

    node: dict[str, Any] = OmegaConf.to_container(  # type: ignore[assignment]
        OmegaConf.load(CONF_DIR / "prices" / f"{name}.yaml")
    )
    return node


def catalogue(**changed: Any) -> PriceCatalogue:
    given = {
        "name": "test",
        "currency": "EUR",
        "as_of": "2025-01-31",
        "source": "own contract",
        "core_hour": 0.04,
        "gib_hour": 0.005,
        "instances": [{"name": "m", "cores": 4, "memory_gib": 16, "hour": 0.25}],
    }
    return PriceCatalogue(**{**given, **changed})


def test_the_examples_are_three_vendors() -> None:
    assert NAMES == ["aws", "azure", "gcp"]


@pytest.mark.parametrize("name", NAMES)
def test_prices_of_a_yaml_follow_from_its_instances(name: str) -> None:
    prices: PriceCatalogue = build(node_of(name), "prices")
    core, gib = fit_prices(prices.instances)
    assert (prices.core_hour, prices.gib_hour) == (core, gib) == PUBLISHED.get(name, (core, gib))
    for each in prices.instances:
        told = core * each.cores + gib * each.memory_gib
        assert told == pytest.approx(each.hour, rel=0.02)
    # Hand check of the general purpose family's smallest: 2 vCPU and 8 GiB.
    smallest = next(i for i in prices.instances if (i.cores, i.memory_gib) == (2, 8))
    assert smallest.hour == pytest.approx({"gcp": 0.097118}.get(name, 0.096))
    assert prices.currency == "USD"
    assert prices.as_of == date(2025, 6, 30)


def test_fit_solves_two_families_exactly() -> None:
    # 2c + 4g = 0.1 and 2c + 8g = 0.12: g = 0.005, c = 0.04.
    pair = [Instance("c", 2, 4, 0.1), Instance("m", 2, 8, 0.12)]
    assert fit_prices(pair) == (0.04, 0.005)
    # A third, 2 % dearer than the first: the fit lies between the two, the same however large the
    # third machine is.
    small = fit_prices([*pair, Instance("c2", 2, 4, 0.102)])
    large = fit_prices([*pair, Instance("c2", 200, 400, 10.2)])
    assert small == large
    assert 0.1 < 2 * small[0] + 4 * small[1] < 0.102


@pytest.mark.parametrize(
    "instances",
    [
        [],
        [Instance("a", 2, 8, 0.1)],
        [Instance("a", 2, 8, 0.1), Instance("b", 4, 16, 0.2)],  # one ratio: no way to tell
        [Instance("a", 2, 8, 0.1), Instance("b", 2, 16, 0.09)],  # memory below 0
    ],
)
def test_fit_refuses_what_does_not_tell_the_prices(instances: list[Instance]) -> None:
    with pytest.raises(ConfigError, match=r"prices\.instances"):
        fit_prices(instances)


def test_month_costs_730_hours() -> None:
    prices = catalogue()
    assert price_per_hour(prices, CPU) == 0.04
    assert price_per_hour(prices, MEMORY) == 0.005
    # 2 cores: 2 * 0.04 * 730 = 58.4; 8 GiB: 8 * 0.005 * 730 = 29.2.
    np.testing.assert_allclose(monthly_cost([[2.0, NAN]], prices, CPU), [[58.4, NAN]])
    np.testing.assert_allclose(monthly_cost(8.0, prices, MEMORY), 29.2)


def test_what_has_no_price_is_told() -> None:
    with pytest.raises(ConfigError, match=r"resource: got 'gpu'.*prices\.core_hour"):
        monthly_cost([1.0], catalogue(), "gpu")
    assert catalogue().instance("m").hour == 0.25
    with pytest.raises(ConfigError, match=r"prices\.instances: got 'x'.*Allowed: m"):
        catalogue().instance("x")
    with pytest.raises(ConfigError, match="test lists no instance"):
        catalogue(instances=[]).instance("x")


@pytest.mark.parametrize(
    ("changed", "offender"),
    [
        ({"core_hour": 0}, "prices.core_hour"),
        ({"gib_hour": None}, "prices.gib_hour"),
        ({"core_hour": NAN}, "prices.core_hour"),
        ({"currency": "dollar"}, "prices.currency"),
        ({"as_of": "June 2025"}, "prices.as_of"),
        ({"as_of": None}, "prices.as_of"),
        ({"source": ""}, "prices.source"),
        ({"name": ""}, "prices.name"),
        ({"instances": [{"name": "m", "cores": 4, "hour": 1}]}, "prices.instances[0]"),
        (
            {"instances": [{"name": "m", "cores": 0, "memory_gib": 1, "hour": 1}]},
            "prices.instances.m.cores",
        ),
        (
            {"instances": [{"name": "m", "cores": 1, "memory_gib": 1, "hour": 1}] * 2},
            "prices.instances",
        ),
    ],
)
def test_wrong_values_are_named(changed: dict[str, Any], offender: str) -> None:
    with pytest.raises(ConfigError) as caught:
        catalogue(**changed)
    assert caught.value.offender == offender


def test_a_yaml_without_a_price_is_told() -> None:
    node = node_of("aws")
    del node["gib_hour"]
    with pytest.raises(ConfigError, match=r"^prices: got .*gib_hour"):
        build(node, "prices")


def test_saving_is_the_mean_over_cutoffs() -> None:
    # A core costs 0.1: 73 a month. Service 0 asks 4 and would have had 2, 2, 1, 3 (mean 2: saves
    # 2 cores); service 1 asks 1, had no target twice (keeps 1) and 3 twice: mean -1 core; the
    # third's present request is unknown.
    targets = [[2.0, NAN, 1.0], [2.0, NAN, 1.0], [1.0, 3.0, 1.0], [3.0, 3.0, 1.0]]
    found = monthly_savings([4.0, 1.0, NAN], targets, 0.1, np.array([5, 5, 6, 6]), seed=0)
    np.testing.assert_allclose(found.mean, [146.0, -73.0, NAN])
    assert found.total == pytest.approx(73.0)
    # Days of equal mean leave no doubt for service 0; a resample of two days has service 1 at 0,
    # -1 or -2 cores.
    np.testing.assert_allclose(found.p10, [146.0, -146.0, NAN])
    np.testing.assert_allclose(found.p90, [146.0, 0.0, NAN])
    assert (found.total_p10, found.total_p90) == pytest.approx((0.0, 146.0))


def test_total_has_an_interval_of_its_own() -> None:
    # Two services save 2 or 0 cores on alternate days, never both: the sum is 2 on any day.
    days = np.arange(20)
    odd = days % 2
    targets = 2.0 * np.stack([odd, 1 - odd], axis=1)
    found = monthly_savings([2.0, 2.0], targets, 1.0, days, seed=0, mean_block=1.0)
    assert (found.p90 > found.p10 + 100.0).all()
    assert found.total_p10 == pytest.approx(2 * 730.0)
    assert found.total_p90 == pytest.approx(2 * 730.0)
    assert found.total == pytest.approx(2 * 730.0)


def test_days_with_more_cutoffs_weigh_more() -> None:
    # Day 0 has three cutoffs that save 1, day 1 has one that saves 5: mean 2. A resample holds
    # day 0 twice (1), both (2) or day 1 twice (5).
    found = monthly_savings(
        [5.0], [[4.0], [4.0], [4.0], [0.0]], 1.0, np.array([0, 0, 0, 1]), seed=1, mean_block=1.0
    )
    assert found.mean[0] == pytest.approx(2 * 730.0)
    assert (found.p10[0], found.p90[0]) == pytest.approx((730.0, 5 * 730.0))


def test_interval_is_about_that_of_a_mean_of_independent_days() -> None:
    # Savings of standard deviation 1 over 100 days: the mean's is 0.1, P10 and P90 lie 1.2816
    # of it from the mean.
    drawn = np.random.default_rng(3).standard_normal((100, 1))
    drawn = (drawn - drawn.mean()) / drawn.std()
    found = monthly_savings(
        [0.0], drawn, 1 / 730.0, np.arange(100), seed=0, n_resamples=4000, mean_block=1.0
    )
    assert (found.p90[0] - found.p10[0]) == pytest.approx(2 * 0.12816, rel=0.06)


def test_cores_and_memory_side_by_side() -> None:
    # 1 core at 0.04 and 2 GiB at 0.005: 0.05 an hour.
    found = monthly_savings(
        [2.0, 4.0], [[1.0, 2.0]] * 3, [0.04, 0.005], np.array([0, 1, 2]), seed=0
    )
    np.testing.assert_allclose(found.mean, [29.2, 7.3])
    assert found.total == pytest.approx(36.5)


def test_one_day_has_no_interval_and_nothing_known_no_total() -> None:
    found = monthly_savings([2.0], [[1.0], [1.0]], 1.0, np.array([3, 3]), seed=0)
    assert found.total == found.mean[0] == pytest.approx(730.0)
    assert np.isnan([found.p10[0], found.p90[0], found.total_p10, found.total_p90]).all()
    unknown = monthly_savings([NAN], [[1.0], [1.0]], 1.0, np.array([3, 4]), seed=0)
    assert np.isnan([unknown.mean[0], unknown.total, unknown.total_p10]).all()


def test_runs_of_days_are_drawn_together() -> None:
    single = resample_days(50, 2000, 1.0, seed=0)
    runs = resample_days(50, 2000, 10.0, seed=0)
    assert (single.sum(axis=1) == 50).all()
    assert (runs.sum(axis=1) == 50).all()
    # Every day is drawn once on average, the first and last ones too.
    assert np.abs(runs.mean(axis=0) - 1.0).max() < 0.25
    # Neighbours are drawn alike only in runs.
    together = [np.corrcoef(c[:, 10], c[:, 11])[0, 1] for c in (single, runs)]
    assert together[0] < 0.1
    assert together[1] > 0.7
    # A block as long as can be draws every day once, from any day on.
    assert (resample_days(5, 10, 1e12, seed=0) == 1).all()


def test_same_seed_same_interval() -> None:
    targets = np.random.default_rng(0).random((30, 4))
    first, again, other = (
        monthly_savings(np.ones(4), targets, 1.0, np.arange(30) // 3, seed=s).p10 for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize(
    ("current", "targets", "price", "days"),
    [
        ([1.0], np.empty((0, 1)), 1.0, []),
        ([1.0, 2.0], [[1.0]], 1.0, [0]),
        ([1.0], [[1.0]], [1.0, 2.0], [0]),
        ([1.0], [[1.0]], 1.0, [0, 1]),
    ],
)
def test_shapes_that_do_not_fit_are_told(
    current: Any, targets: Any, price: Any, days: list[int]
) -> None:
    with pytest.raises(ConfigError, match="targets: got shapes"):
        monthly_savings(current, targets, price, np.array(days, dtype=int), seed=0)
    with pytest.raises(ConfigError, match=r"savings\.mean_block"):
        monthly_savings([1.0], [[1.0]], 1.0, np.array([0]), seed=0, mean_block=0.5)
