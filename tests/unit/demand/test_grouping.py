"""Groups of services: by hand, each from its own behaviour, and by a pattern of the ids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from usages import usage_from

from optimizer.core.errors import ConfigError
from optimizer.demand.grouping import group_services
from optimizer.demand.usage import Usage

STEPS = 200
HOURS = np.arange(STEPS)


def group_of(values: object, capacity: float = 10.0, before: int = STEPS) -> str:
    return group_services(usage_from(values, capacity), before)[0]


def bursts(*steps: int) -> np.ndarray:
    """Return half a core with bursts of 10 at some steps."""
    values = np.full(STEPS, 0.5)
    values[list(steps)] = 10.0
    return values


def named(*services: str) -> Usage:
    return replace(usage_from(np.ones((len(services), 4))), services=services)


def test_each_group_by_hand() -> None:
    values = [
        np.full(STEPS, np.nan),  # nothing observed
        np.full(STEPS, 0.1),  # 1 % of 10, although it is steady too
        np.full(STEPS, 5.0),  # no spread
        np.where(HOURS % 24 < 12, 1.0, 5.0),  # mean 3, deviation 2: 0.67 of it; the same each day
        # 4 of 200 steps, no two a day apart: P99 is 10, the mean (196 * 0.5 + 40) / 200 = 0.69
        bursts(10, 61, 127, 190),
        # five steps of deviations -1.6, 0.4, 2.4, 0.4, -1.6 from 2.6: 1.5 / 2.6 = 0.58; a day
        # is 24 = -1 steps modulo 5, so that the correlation is 3.2 / 11.2 = 0.29
        np.array([1.0, 3.0, 5.0, 3.0, 1.0])[HOURS % 5],
    ]
    found = group_services(usage_from(values), STEPS)
    assert found == ("new", "idle", "steady", "daily", "bursty", "mixed")


@pytest.mark.parametrize(("used", "group"), [(0.99, "idle"), (1.0, "steady")])
def test_idle_is_below_two_percent_of_capacity(used: float, group: str) -> None:
    assert group_of(np.full(STEPS, used), 50.0) == group


# In pairs of steps m - d, m + d the deviation is d; 24 steps later it is the same again.
@pytest.mark.parametrize(("deviation", "group"), [(0.9, "steady"), (1.1, "daily")])
def test_steady_deviates_by_less_than_a_quarter(deviation: float, group: str) -> None:
    assert group_of(4.0 + deviation * (-1.0) ** HOURS) == group


def test_p99_of_two_bursts_in_two_hundred_steps_is_none_of_them() -> None:
    # ceil(0.99 * 200) = 198: the third largest
    assert group_of(bursts(10, 61, 127)) == "bursty"
    assert group_of(bursts(10, 61)) == "mixed"


def test_gaps_count_for_nothing() -> None:
    values = np.where(HOURS % 24 < 12, 1.0, 5.0)
    values[HOURS % 7 == 3] = np.nan
    assert group_of(values) == "daily"
    alone = np.full(STEPS, np.nan)
    alone[7] = 5.0
    assert group_of(alone) == "steady"  # one step does not deviate


def test_less_than_a_day_knows_no_day_before() -> None:
    values = np.where(HOURS % 24 < 12, 1.0, 5.0)
    assert group_of(values, before=24) == "mixed"
    assert group_of(values, before=48) == "daily"


def test_nothing_after_the_first_cutoff_is_read() -> None:
    values = np.full((2, STEPS), 5.0)
    values[:, 100:] = np.random.default_rng(0).lognormal(0.0, 2.0, (2, 100))
    values[1, :100] = np.nan
    assert group_services(usage_from(values), 100) == ("steady", "new")
    later = group_services(usage_from(values), STEPS)
    assert "steady" not in later
    assert "new" not in later


def test_pattern_names_the_group() -> None:
    usage = named("web-01", "web-02", "batch-7")
    assert group_services(usage, 4, "^[a-z]+") == ("web", "web", "batch")
    assert group_services(usage, 4, r"\d+$") == ("01", "02", "7")


def test_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"backtest\.group: got '\[a-z'.*regular expression"):
        group_services(named("web-01"), 4, "[a-z")


@pytest.mark.parametrize("pattern", ["^web", "(web)?"])  # the second matches an empty text
def test_pattern_that_matches_nothing_in_some_id_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError, match="matches nothing in 'batch-7'") as caught:
        group_services(named("web-01", "batch-7"), 4, pattern)
    assert caught.value.offender == "backtest.group"
