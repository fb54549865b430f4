"""Services in replicas: how many of which size, and at which hour of the week."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from usages import usage_from

from optimizer.core.errors import ConfigError
from optimizer.decisions.pricing.catalogue import PriceCatalogue
from optimizer.decisions.recommendations.recommend import SHARE, RecommendationSettings
from optimizer.decisions.recommendations.replica_profile import hourly_load, split_services

NAN = np.nan
PRICES = PriceCatalogue("bare", "EUR", "2025-01-31", "own", 0.04, 0.005)


def split_frame(**changes: Any) -> pd.DataFrame:
    """Return the part of two services' recommendations that their replicas depend on."""
    frame = pd.DataFrame(
        {
            "service_id": ["svc-000", "svc-001"] * 2,
            "resource": np.repeat(["cpu", "memory"], 2),
            "unit": np.repeat(["cores", "GiB"], 2),
            "target": [3.0, 5.0, 4.0, 6.0],
            "standing_target": [3.0, 5.0, 4.0, 6.0],
        }
    )
    return frame.assign(**changes)


def load_frame() -> np.ndarray:
    """Return a week of two services at 1 core; the first wants 4 from 9 to 10 on weekdays."""
    values = np.ones((2, 7 * 24))
    values[0, 9 : 5 * 24 : 24] = 4.0  # 2024-01-01 was a Monday
    return values


OUT = RecommendationSettings(scale_out="^svc-000$")


def test_replicas_by_hand() -> None:
    found = split_services(split_frame(), usage_from(load_frame()), PRICES, OUT)
    # 3 cores, typically 1, and 4 GiB in steps of 0.25: two of 1.5 cores and 2 GiB; three of 1 core
    # need 3 * 1.5 GiB, which is dearer; four of 0.75 and 1 cost the same and are more.
    assert found.services == ("svc-000",)
    assert found.frame["replicas"].tolist() == [2, 0, 2, 0]
    np.testing.assert_array_equal(found.frame["replica_size"], [1.5, NAN, 2.0, NAN])
    # 4 cores take three of 1.5
    expected = np.ones((1, 24, 2), dtype=np.int64)
    expected[0, 9, 0] = 3
    np.testing.assert_array_equal(found.hourly, expected)
    two = replace(OUT, max_replicas=2)
    few = split_services(split_frame(), usage_from(load_frame()), PRICES, two)
    assert few.hourly.max() == 2


def test_cpu_alone_is_split_by_cpu() -> None:
    settings = RecommendationSettings(scale_out="svc", replica_step=2.0)
    found = split_services(split_frame().iloc[:2], usage_from(load_frame()), PRICES, settings)
    # 3 cores, typically 1, by steps of 2: two of 2. 5 cores: three of 2 cost 6, two of 4 cost 8.
    assert found.frame["replicas"].tolist() == [2, 3]
    assert found.frame["replica_size"].tolist() == [2.0, 2.0]


@pytest.mark.parametrize("unknown", [[True, False] * 2, [True, False, False, False], [True] * 4])
def test_service_of_unknown_capacity_is_not_split(unknown: list[bool]) -> None:
    frame = split_frame()
    frame.loc[unknown, "unit"] = SHARE
    found = split_services(frame, usage_from(load_frame()), PRICES, OUT)
    assert found.services == ("svc-000",)
    assert found.frame["replicas"].tolist() == [0] * 4
    assert found.frame["replica_size"].isna().all()
    assert (found.hourly == 1).all()


def test_memory_alone_says_nothing_of_replicas() -> None:
    frame = split_frame()
    frame.loc[frame["resource"] == "cpu", "unit"] = SHARE
    found = split_services(
        frame, usage_from(load_frame()), PRICES, RecommendationSettings(scale_out="svc")
    )
    assert found.frame["replicas"].tolist() == [0] * 4


@pytest.mark.parametrize("pattern", [None, "^web"])
def test_no_service_scales_out_unless_its_id_matches(pattern: str | None) -> None:
    found = split_services(
        split_frame(), usage_from(load_frame()), None, RecommendationSettings(scale_out=pattern)
    )
    assert found.services == ()
    assert found.hourly.shape == (0, 24, 2)
    assert found.frame["replicas"].tolist() == [0] * 4
    assert found.frame["replica_size"].isna().all()


def test_pattern_that_is_none_and_missing_prices_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"recommend\.scale_out: got '\(web'"):
        split_services(
            split_frame(),
            usage_from(load_frame()),
            PRICES,
            RecommendationSettings(scale_out="(web"),
        )
    with pytest.raises(ConfigError, match=r"recommend\.scale_out matches 1 services.*prices=aws"):
        split_services(split_frame(), usage_from(load_frame()), None, OUT)


def test_step_belongs_to_the_hour_in_which_it_began() -> None:
    hours = np.arange(14 * 24)
    usage = usage_from(np.where(hours // 24 % 7 >= 5, 100 + hours % 24, hours % 24))
    # the last step of a Sunday ends on Monday, 00:00, and is one of the weekend's hour 23
    assert pd.Timestamp(usage.timestamps[7 * 24 - 1]) == pd.Timestamp("2024-01-08")
    found = hourly_load(usage)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[0, :, 0], np.arange(24))
    np.testing.assert_array_equal(found[0, :, 1], 100 + np.arange(24))


def test_busy_is_the_p95_of_an_hour() -> None:
    values = np.ones((2, 28 * 24))
    days = np.flatnonzero(np.arange(28) % 7 < 5)  # 20 weekdays: P95 is the 19th of their steps
    values[0, days[:1] * 24 + 3] = 9.0
    values[1, days[:2] * 24 + 3] = 9.0
    found = hourly_load(usage_from(values))
    assert found[:, 3, 0].tolist() == [1.0, 9.0]


def test_hour_that_was_never_observed_is_unknown() -> None:
    values = np.ones((2, 2 * 24))  # a Monday and a Tuesday
    values[1, 5::24] = NAN
    found = hourly_load(usage_from(values))
    assert np.isnan(found[:, :, 1]).all()
    assert np.isnan(found[1, 5, 0])
    assert np.isfinite(found[0, :, 0]).all()


def test_replicas_hold_the_standing_target() -> None:
    frame = split_frame(target=1.0)  # of the coming hours alone
    found = split_services(frame, usage_from(load_frame()), PRICES, OUT)
    np.testing.assert_array_equal(found.frame["replica_size"], [1.5, NAN, 2.0, NAN])
