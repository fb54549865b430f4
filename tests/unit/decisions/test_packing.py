"""Nodes that hold a fleet: hand-packed fleets, every packing tried, and what nodes save."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optimizer.core.errors import ConfigError, DataQualityError
from optimizer.decisions.consolidation.bounds import first_fit, lower_bound, offer, pods_of
from optimizer.decisions.consolidation.packing import Packing, PackingRules, pack_nodes
from optimizer.decisions.consolidation.savings import (
    Requests,
    cheapest_instance,
    packed_saving,
)
from optimizer.decisions.pricing.catalogue import Instance, PriceCatalogue

NAN = np.nan
TEN = Instance("ten", 10, 40, 0.5)
FOUR = Instance("four", 4, 16, 0.25)
WHOLE = PackingRules(reserve=0.0)


def pack(cores: Any, node: Instance = TEN, rules: PackingRules = WHOLE, **more: Any) -> Packing:
    """Pack pods of 4 GiB a core, as the nodes have: both dimensions say the same."""
    sizes = np.asarray(cores, dtype=float)
    return pack_nodes(sizes, more.pop("memory", 4.0 * sizes), node, rules, **more)


def catalogue(*instances: Instance) -> PriceCatalogue:
    listed = [vars(each) for each in instances]
    return PriceCatalogue("test", "EUR", "2025-01-31", "own", 0.04, 0.005, listed)


def requests(cores: Any, memory: Any, replicas: Any = None) -> Requests:
    return Requests(
        np.asarray(cores, dtype=np.float32),
        np.asarray(memory, dtype=np.float32),
        None if replicas is None else np.asarray(replicas),
    )


def fewest(sizes: np.ndarray, node: np.ndarray) -> int:
    """Return the least nodes over every way to pack pods."""

    def place(pod: int, free: list[np.ndarray]) -> int:
        if pod == len(sizes):
            return len(free)
        found = place(pod + 1, [*free, node - sizes[pod]])
        for at, room in enumerate(free):
            if (room >= sizes[pod]).all():
                left = [*free[:at], room - sizes[pod], *free[at + 1 :]]
                found = min(found, place(pod + 1, left))
        return found

    return place(0, [])


def test_no_service_needs_no_node() -> None:
    assert pack([]) == Packing(nodes=0, lower_bound=0, proven=True, pods=0)


def test_first_fit_that_meets_its_bound_needs_no_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optimizer.decisions.consolidation.packing.improve", None)
    # 6 + 4, 5 + 5: 20 of 10 each are 2.
    assert pack([5, 4, 6, 5]) == Packing(2, 2, proven=True, pods=4)


def test_solver_finds_what_first_fit_misses() -> None:
    # First fit puts 4 + 4, 3 + 3 + 3, 3; but 4 + 3 + 3 fills a node, twice.
    sizes = [4, 4, 3, 3, 3, 3]
    assert pack(sizes, rules=PackingRules(0.0, effort=0.0)) == Packing(3, 2, proven=False, pods=6)
    assert pack(sizes, rules=PackingRules(0.0, max_variables=5)).nodes == 3  # 2 shapes, 3 nodes
    assert pack(sizes) == Packing(2, 2, proven=True, pods=6)


def test_solver_raises_the_bound_where_pods_do_not_fill_nodes() -> None:
    # Five of 4: 20 of 10 each are 2, but no node takes three.
    assert pack([4] * 5, rules=PackingRules(0.0, effort=0.0)).lower_bound == 2
    assert pack([4] * 5) == Packing(3, 3, proven=True, pods=5)


@pytest.mark.parametrize(
    ("cores", "bound"),
    [
        ([6, 6, 6], 3),  # 18 of 10 each are 2, but no two share a node
        ([7, 7, 7, 4], 4),  # nor does 4 fit beside 7
        ([6, 6, 4, 4, 2], 3),  # 22 of 10
        ([1], 1),
        ([5, 5, 5], 2),
    ],
)
def test_bound_knows_pods_that_share_no_node(cores: list[int], bound: int) -> None:
    sizes = np.array(cores, dtype=float)
    for memory in (sizes * 4.0, sizes * 0.0):
        assert lower_bound(pods_of(sizes, memory, offer(TEN, 0.0, 110))) == bound
    # The same by memory.
    assert lower_bound(pods_of(sizes * 0.0, sizes * 4.0, offer(TEN, 0.0, 110))) == bound


def test_both_resources_count() -> None:
    # By cores two of these share a node, by memory none do: 24 + 24 > 40.
    assert pack([2, 2, 2], memory=np.array([24.0, 24.0, 24.0])).nodes == 3
    # One of many cores and one of much memory share a node.
    assert pack([9, 1], memory=np.array([4.0, 36.0])).nodes == 1


def test_service_larger_than_a_node_is_split_into_the_least_equal_pods() -> None:
    # 9 cores on nodes of 4: three pods of 3, no two of which share a node.
    assert pack([9], FOUR) == Packing(3, 3, proven=True, pods=3)
    # 1 core and 40 GiB on nodes of 16 GiB: three pods of 13.3.
    assert pack([1], FOUR, memory=np.array([40.0])).nodes == 3
    # 8 cores: two pods of 4, each a whole node.
    assert pack([8], FOUR) == Packing(2, 2, proven=True, pods=2)


def test_replicas_are_equal_pods() -> None:
    # 6 cores as 4 pods of 1.5: two on a node of 4. As one it would be split in two of 3.
    assert pack([6], FOUR, replicas=np.array([4])) == Packing(2, 2, proven=True, pods=4)
    # Too few are raised to what fits.
    assert pack([9], FOUR, replicas=np.array([2])).pods == 3


def test_reserve_and_most_pods() -> None:
    # 4 cores less 6 % are 3.76: two of 1.88 fit, two of 1.881 do not.
    rules = PackingRules(reserve=0.06)
    assert pack([1.88, 1.88], FOUR, rules, memory=np.ones(2)).nodes == 1
    assert pack([1.881, 1.881], FOUR, rules, memory=np.ones(2)).nodes == 2
    # Five idle pods, two to a node.
    assert pack([0] * 5, rules=PackingRules(0.0, max_pods=2)) == Packing(3, 3, True, 5)


def test_rounding_errors_of_float32_cost_no_node() -> None:
    tenths = np.full(40, 0.1, dtype=np.float32)  # 0.1 is 0.100000001 in float32
    assert pack_nodes(tenths, tenths, FOUR, WHOLE).nodes == 1


def test_answer_is_the_best_of_every_packing() -> None:
    rng = np.random.default_rng(5)
    better = 0
    for _ in range(40):
        n = int(rng.integers(4, 8))
        cores, memory = rng.integers(1, 8, n), 4 * rng.integers(1, 8, n)
        found = pack(cores, memory=memory.astype(float))
        best = fewest(np.stack([cores, memory], axis=1), np.array([10, 40]))
        assert found == Packing(best, best, proven=True, pods=n)
        pods = pods_of(cores, memory, offer(TEN, 0.0, 110))
        assert lower_bound(pods) <= best <= first_fit(pods).n_nodes
        better += first_fit(pods).n_nodes > lower_bound(pods)
    assert better > 0  # the solver was asked


def test_first_fit_places_every_pod_and_overfills_no_node() -> None:
    rng = np.random.default_rng(6)
    cores, memory = rng.integers(1, 30, 400) / 4.0, rng.integers(1, 30, 400) * 1.0
    pods = pods_of(cores, memory, offer(TEN, 0.0, 12), rng.integers(1, 4, 400))
    fill = first_fit(pods)
    load = np.zeros((fill.n_nodes, 3), dtype=int)
    put = np.zeros(len(pods.counts), dtype=int)
    for shape, nodes, counts in fill.placed:
        load[nodes] += counts[:, None] * pods.sizes[shape]
        put[shape] += counts.sum()
    np.testing.assert_array_equal(put, pods.counts)
    assert (load <= pods.node).all()
    assert (load[:, 2] > 0).all()
    # First fit leaves no two nodes that could be one.
    assert (load[0] + load[-1] > pods.node).any()


def test_same_answer_every_time_within_bounds() -> None:
    rng = np.random.default_rng(2)
    cores = np.exp(rng.normal(-0.3, 0.9, 60))
    memory = cores * np.exp(rng.normal(1.3, 0.8, 60))
    rules = PackingRules(effort=0.2)
    first, again = (pack_nodes(cores, memory, FOUR, rules) for _ in range(2))
    assert first == again
    assert first.lower_bound <= first.nodes <= 1.1 * first.lower_bound
    assert first.proven == (first.nodes == first.lower_bound)


def test_large_fleet_is_answered_by_first_fit() -> None:
    rng = np.random.default_rng(4)
    cores = np.exp(rng.normal(-0.3, 0.9, 3000))
    found = pack_nodes(cores, 3.0 * cores, FOUR)
    least = np.ceil(cores.sum() / 3.76)
    assert least <= found.lower_bound <= found.nodes <= 1.1 * least


def test_unknown_requests_and_bad_rules_are_told() -> None:
    with pytest.raises(DataQualityError, match="2 of 3 services"):
        pack([NAN, -1.0, 1.0])
    with pytest.raises(ConfigError, match=r"prices\.instances\.dot: got 0 millicores"):
        pack([1], Instance("dot", 0.0001, 4, 1.0))
    for changed, key in (
        ({"reserve": 1.0}, "reserve"),
        ({"max_pods": 0}, "max_pods"),
        ({"effort": -1.0}, "effort"),
        ({"max_variables": 1.5}, "max_variables"),
    ):
        with pytest.raises(ConfigError, match=rf"packing\.{key}"):
            PackingRules(**changed)  # type: ignore[arg-type]


def test_saving_is_split_into_freed_and_realised() -> None:
    # Four of 2 cores and 8 GiB take two nodes of 4 and 16; halved they take one.
    before, after = requests([2] * 4, [8] * 4), requests([1] * 4, [4] * 4)
    found = packed_saving(before, after, catalogue(FOUR), "four", WHOLE)
    assert (found.before.nodes, found.after.nodes) == (2, 1)
    # Freed: 4 cores * 0.04 * 730 + 16 GiB * 0.005 * 730 = 116.8 + 58.4; a node: 0.25 * 730.
    assert found.freed == pytest.approx(175.2)
    assert found.realised == pytest.approx(182.5)
    assert found.realised_low == found.realised_high == found.realised
    assert found.left_out == 0


def test_freed_requests_save_nothing_while_no_node_goes() -> None:
    # 1.4 cores: still two to a node of 4. Freed: 2.4 * 0.04 * 730 + 16 * 0.005 * 730.
    before, after = requests([2] * 4, [8] * 4), requests([1.4] * 4, [4] * 4)
    found = packed_saving(before, after, catalogue(FOUR), "four", WHOLE)
    assert found.freed == pytest.approx(70.08 + 58.4, rel=1e-6)
    assert found.realised == 0.0
    # Back again costs what it saved.
    back = packed_saving(after, before, catalogue(FOUR), "four", WHOLE)
    assert back.freed == pytest.approx(-found.freed)


def test_unproven_packings_leave_a_range() -> None:
    # First fit: 3 nodes before (at least 2), 1 after: removes 2, for certain at least 1.
    before = requests([4, 4, 3, 3, 3, 3], [16, 16, 12, 12, 12, 12])
    rules = PackingRules(0.0, effort=0.0)
    found = packed_saving(before, requests([1] * 6, [1] * 6), catalogue(TEN), "ten", rules)
    month = 0.5 * 730.0
    assert (found.realised_low, found.realised, found.realised_high) == pytest.approx(
        (month, 2 * month, 2 * month)
    )


def test_services_unknown_on_either_side_are_left_out_of_both() -> None:
    before = requests([2, NAN, 2, 2], [8, 8, 8, 8], [1, 1, 1, 2])
    after = requests([1, 1, 1, 1], [4, 4, NAN, 4], [1, 1, 1, 2])
    found = packed_saving(before, after, catalogue(FOUR), "four", WHOLE)
    assert found.left_out == 2
    assert (found.before.pods, found.after.pods) == (3, 3)
    # Two services give back a core and 4 GiB each.
    assert found.freed == pytest.approx(2 * (0.04 + 4 * 0.005) * 730)
    with pytest.raises(ConfigError, match="4 services before and 1 after"):
        packed_saving(before, requests([1], [1]), catalogue(FOUR))


def test_instance_is_the_cheapest_for_the_fleet() -> None:
    small, middle, large = (
        Instance("small", 2, 8, 0.1), Instance("middle", 5, 20, 0.24), Instance("large", 16, 64, 1)
    )  # fmt: skip
    listed = catalogue(small, middle, large)
    # Four of 1 core and 4 GiB: two small (0.2), one middle (0.24) or one large (1).
    assert cheapest_instance(requests([1] * 4, [4] * 4), listed, WHOLE) == small
    # Three of 1.5: three small (0.3) or one middle (0.24).
    now = requests([1.5] * 3, [1] * 3)
    assert cheapest_instance(now, listed, WHOLE) == middle
    assert packed_saving(now, now, listed, rules=WHOLE).instance == middle
    # Of equally cheap ones the first.
    twins = catalogue(small, Instance("twin", 2, 8, 0.1))
    assert cheapest_instance(now, twins, WHOLE) == small
    with pytest.raises(ConfigError, match=r"prices\.instances: got none in test"):
        cheapest_instance(now, catalogue())
    with pytest.raises(ConfigError, match=r"prices\.instances: got 'huge'"):
        packed_saving(now, now, listed, "huge")
