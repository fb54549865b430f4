"""Recommendations in money, joined over resources, packed onto nodes, and split in replicas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from optimizer.core.errors import ConfigError
from optimizer.decisions.pricing.catalogue import PriceCatalogue
from optimizer.decisions.recommendations.pricing import (
    MONEY,
    PricedRecommendations,
    join_resources,
    pack_fleet,
    price_recommendations,
)
from optimizer.decisions.recommendations.recommend import SHARE, RecommendationSettings
from optimizer.decisions.recommendations.snapshot import PolicyRequests

NAN = np.nan
NODE = {"name": "node", "cores": 8, "memory_gib": 32, "hour": 0.4}
PRICES = PriceCatalogue("test", "EUR", "2025-01-31", "own", 0.04, 0.005, [NODE])
BARE = PriceCatalogue("bare", "EUR", "2025-01-31", "own", 0.04, 0.005)
CORE, GIB = 0.04 * 730, 0.005 * 730
"""A month of a core is 29.2, of a GiB 3.65."""
WHOLE = RecommendationSettings(reserve=0.0)


def rows_of(
    resource: str,
    current: list[float],
    target: list[float],
    action: list[str] | None = None,
    clusters: list[str] | None = None,
) -> pd.DataFrame:
    """Return the part of a recommendation that money depends on; no current is no capacity."""
    unit = "cores" if resource == "cpu" else "GiB"
    return pd.DataFrame(
        {
            "service_id": [f"svc-{i:03d}" for i in range(len(current))],
            "cluster_id": clusters or ["east"] * len(current),
            "resource": resource,
            "unit": [SHARE if np.isnan(now) else unit for now in current],
            "current": current,
            "target": np.asarray(target, dtype=np.float32),
            "action": action or ["scale_down"] * len(current),
            "risk": np.arange(len(current), dtype=np.float64),
        }
    )


def asked_of(past: object, days: list[int]) -> PolicyRequests:
    """Return what money needs of it: requests of the past and their days."""
    requests, hold, nothing = np.asarray(past, dtype=np.float32), pd.Timedelta("6h"), pd.DataFrame()
    none = pd.Timedelta(0)
    return PolicyRequests(None, requests, np.asarray(days), hold, none, nothing, nothing)  # type: ignore[arg-type]


def price(
    frames: list[pd.DataFrame], pasts: list[object], days: list[int], prices: Any = PRICES
) -> PricedRecommendations:
    asked = {f["resource"][0]: asked_of(p, days) for f, p in zip(frames, pasts, strict=True)}
    return price_recommendations(pd.concat(frames, ignore_index=True), asked, prices, WHOLE, 0)


def test_savings_by_hand() -> None:
    cpu = rows_of(
        *("cpu", [8.0, 4.0, NAN, 2.0], [5.0, 4.0, 0.5, 3.0]),
        ["scale_down", "keep", "none", "scale_up"],
    )
    past = [[4.0, 1.0, 0.5, 3.0], [6.0, 1.0, 0.5, 3.0]]
    found = price([cpu], [past], [10, 11]).frame
    # 8 less the mean of 4 and 6; a kept row saves nothing, whatever was asked for before; an
    # unknown capacity has no price; 2 less 3 costs more
    np.testing.assert_allclose(found["monthly_saving"], [3 * CORE, 0.0, NAN, -CORE])
    # the same every day: no doubt. The first saves 4 cores on one day and 2 on the other.
    np.testing.assert_allclose(found["monthly_saving_p10"][1:], [0.0, NAN, -CORE])
    np.testing.assert_allclose(found["monthly_saving_p90"][1:], [0.0, NAN, -CORE])
    low, high = (found[f"monthly_saving_{end}"][0] for end in ("p10", "p90"))
    assert 2 * CORE <= low < 3 * CORE < high <= 4 * CORE + 1e-9


def test_fleet_adds_up_what_is_known_of_all_resources() -> None:
    cpu = rows_of("cpu", [8.0, NAN], [5.0, 0.5], ["scale_down", "none"])
    memory = rows_of("memory", [16.0, 10.0], [8.0, 10.0], ["scale_down", "keep"])
    found = price([cpu, memory], [[[5.0, 0.5]] * 2, [[8.0, 2.0]] * 2], [10, 11])
    np.testing.assert_allclose(found.frame["monthly_saving"], [3 * CORE, NAN, 8 * GIB, 0.0])
    now = 8 * CORE + 26 * GIB
    assert found.fleet["current_monthly_cost"] == pytest.approx(now)
    for name in MONEY:
        assert found.fleet[name] == pytest.approx(3 * CORE + 8 * GIB)
    assert found.fleet["target_monthly_cost"] == pytest.approx(now - 3 * CORE - 8 * GIB)


def test_one_day_tells_no_interval() -> None:
    found = price([rows_of("cpu", [8.0], [5.0])], [[[5.0], [5.0]]], [10, 10])
    assert found.frame["monthly_saving"][0] == pytest.approx(3 * CORE)
    assert found.frame[["monthly_saving_p10", "monthly_saving_p90"]].isna().all(axis=None)
    assert np.isnan(found.fleet["monthly_saving_p10"])


def test_fleet_of_unknown_capacities_has_no_saving() -> None:
    found = price([rows_of("cpu", [NAN], [0.5], ["none"])], [[[0.5], [0.5]]], [10, 11])
    assert found.frame[list(MONEY)].isna().all(axis=None)
    assert found.fleet == {}


def test_there_is_no_default_price() -> None:
    cpu = rows_of("cpu", [8.0, 4.0], [5.0, 4.0], ["scale_down", "keep"])
    found = price([cpu], [[[5.0, 4.0]]], [10], None)
    assert found.frame[list(MONEY)].isna().all(axis=None)
    assert found.fleet == {}


CLUSTERS = ["east", "east", "east", "west"]


def fleet_frame(**changes: Any) -> pd.DataFrame:
    """Return four services of 4 cores and 4 GiB that 2 cores would do for, one in the west."""
    cpu = rows_of("cpu", [4.0] * 4, [2.0] * 4, clusters=CLUSTERS)
    memory = rows_of("memory", [4.0] * 4, [4.0] * 4, ["keep"] * 4, clusters=CLUSTERS)
    return pd.concat([cpu, memory], ignore_index=True).assign(**changes)


def test_clusters_are_packed_one_by_one() -> None:
    found, _ = pack_fleet(fleet_frame(), PRICES, WHOLE)
    # 8 cores a node. Before: 12 cores in the east take 2 nodes, 4 in the west 1. After: 6 and 2
    # take 1 each. On shared nodes it would be 2 before and 1 after.
    assert (found["nodes_before"], found["nodes_after"]) == (3.0, 2.0)
    assert found["packed_monthly_saving"] == pytest.approx(0.4 * 730)
    assert found["freed_monthly_cost"] == pytest.approx(8 * CORE)


def test_reserve_is_kept_from_the_nodes() -> None:
    found, _ = pack_fleet(fleet_frame(), PRICES, RecommendationSettings(reserve=0.06))
    # 7.52 cores a node hold one service of 4, or three of 2: 3 + 1 before, 1 + 1 after
    assert (found["nodes_before"], found["nodes_after"]) == (4.0, 2.0)


def test_service_that_lacks_a_resource_is_left_out_of_the_nodes() -> None:
    frame = fleet_frame()
    frame.loc[3, ["current", "unit"]] = [NAN, SHARE]  # the west's only one
    found, _ = pack_fleet(frame, PRICES, WHOLE)
    assert (found["nodes_before"], found["nodes_after"]) == (2.0, 1.0)
    assert found["freed_monthly_cost"] == pytest.approx(6 * CORE)


def test_without_both_resources_or_an_instance_nothing_is_packed() -> None:
    frame = fleet_frame()
    assert pack_fleet(frame[frame["resource"] == "cpu"], PRICES, WHOLE) == ({}, ())
    assert pack_fleet(frame, BARE, WHOLE) == ({}, ())
    assert pack_fleet(fleet_frame(current=NAN), PRICES, WHOLE) == ({}, ())


def test_instance_is_the_cheapest_or_the_one_that_is_named() -> None:
    dear = {**NODE, "name": "dear", "cores": 4, "hour": 0.3}
    both = PriceCatalogue("both", "EUR", "2025-01-31", "own", 0.04, 0.005, [dear, NODE])
    # the fleet as a whole: 4 dear nodes cost 1.2 an hour, 2 of the others 0.8
    cheapest, node = pack_fleet(fleet_frame(), both, WHOLE)
    assert cheapest["nodes_before"] == 3.0
    assert "dear" not in node
    chosen, named = pack_fleet(
        fleet_frame(), both, RecommendationSettings(reserve=0.0, instance="dear")
    )
    assert named == ("dear", "dear")
    assert (chosen["nodes_before"], chosen["nodes_after"]) == (4.0, 3.0)
    with pytest.raises(ConfigError, match=r"prices\.instances: got 'huge'"):
        pack_fleet(fleet_frame(), both, RecommendationSettings(instance="huge"))


def test_fleet_has_the_figures_of_nodes_too() -> None:
    cpu, memory = (fleet_frame().iloc[part] for part in (slice(4), slice(4, 8)))
    fleet = price([cpu, memory.reset_index(drop=True)], [[[2.0] * 4], [[4.0] * 4]], [1]).fleet
    assert fleet["monthly_saving"] == pytest.approx(8 * CORE)
    assert fleet["packed_monthly_saving"] == pytest.approx(292.0)


def test_risk_of_a_service_is_the_highest_of_its_resources() -> None:
    cpu = rows_of("cpu", [8.0] * 3, [5.0] * 3).assign(risk=[0.5, NAN, NAN])
    memory = rows_of("memory", [8.0] * 3, [5.0] * 3).assign(risk=[2.0, 1.0, NAN])
    joined = join_resources([cpu, memory], None)
    np.testing.assert_array_equal(joined["risk"], [2.0, 1.0, NAN] * 2)
    assert joined["resource"].tolist() == ["cpu"] * 3 + ["memory"] * 3
    assert joined.index.tolist() == list(range(6))


def test_event_probability_is_that_of_the_service() -> None:
    frames = [rows_of(name, [8.0] * 2, [5.0] * 2) for name in ("cpu", "memory")]
    events = pd.Series([0.25, 0.75], index=["svc-001", "gone"])
    joined = join_resources(frames, events)
    np.testing.assert_array_equal(joined["event_probability"], [NAN, 0.25] * 2)
    none = join_resources(frames, None)["event_probability"]
    assert none.dtype == np.float64
    assert none.isna().all()
