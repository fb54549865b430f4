"""The group ``calendar``: where the clock stands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from factories import feature_grid, panel_of

from optimizer.core.errors import ConfigError
from optimizer.features.base import Layout
from optimizer.features.groups.calendar import Calendar


def at(*moments: str, **settings: str) -> dict[str, np.ndarray]:
    """Return each calendar feature at the moments (UTC)."""
    times = np.array(moments, dtype="datetime64[us]")
    panel = replace(panel_of(np.zeros((1, len(times)))), timestamps=times)
    return {name: grid[0] for name, grid in feature_grid(panel, Calendar(**settings)).items()}


def test_calendar_hours_of_the_day_are_on_a_circle() -> None:
    found = at("2025-01-06T00:00", "2025-01-06T06:00", "2025-01-06T12:00", "2025-01-06T18:30")
    angle = 2 * np.pi * 18.5 / 24
    np.testing.assert_allclose(found["hour_sin"], [0, 1, 0, np.sin(angle)], atol=1e-6)
    np.testing.assert_allclose(found["hour_cos"], [1, 0, -1, np.cos(angle)], atol=1e-6)


def test_calendar_monday_begins_the_week_and_the_first_the_month() -> None:
    found = at("2025-09-01T00:00")  # a Monday
    assert found["day_of_week_sin"][0] == 0
    assert found["day_of_week_cos"][0] == 1
    assert found["day_of_month_sin"][0] == 0
    assert found["day_of_month_cos"][0] == 1


@pytest.mark.parametrize(
    ("flag", "yes", "no"),
    [
        ("is_weekend", "2025-01-04T12:00", "2025-01-06T12:00"),
        ("is_working_hour", "2025-01-06T17:59", "2025-01-06T18:00"),
        ("is_working_hour", "2025-01-06T08:00", "2025-01-04T09:00"),
        ("is_night", "2025-01-06T22:00", "2025-01-06T06:00"),
        ("is_month_start", "2025-01-03T23:00", "2025-01-04T00:00"),
        ("is_month_end", "2025-02-26T00:00", "2025-02-25T23:00"),
        ("is_holiday", "2025-07-04T12:00", "2025-07-03T12:00"),
        ("is_day_before_holiday", "2025-07-03T12:00", "2025-07-04T12:00"),
        ("is_day_before_holiday", "2024-12-31T23:00", "2025-01-01T00:00"),
    ],
)
def test_calendar_flag_holds_when_it_should(flag: str, yes: str, no: str) -> None:
    np.testing.assert_array_equal(at(yes, no)[flag], [1, 0])


def test_calendar_follows_the_wall_clock_of_the_time_zone() -> None:
    moments = ("2025-01-06T17:00", "2025-07-07T16:00")  # winter and summer noon in New York
    found = at(*moments, timezone="America/New_York")
    np.testing.assert_allclose(found["hour_cos"], [-1, -1], atol=1e-6)


def test_calendar_holidays_are_those_of_the_country() -> None:
    german = at("2025-10-03T12:00", "2025-07-04T12:00", country="DE")
    np.testing.assert_array_equal(german["is_holiday"], [1, 0])


def test_calendar_holiday_does_not_depend_on_how_much_history_is_given() -> None:
    alone = at("2021-12-31T12:00")  # New Year's Day of 2022 was observed on this Friday
    within = at("2021-12-31T12:00", "2022-03-01T12:00")
    assert alone["is_holiday"][0] == within["is_holiday"][0] == 1


def test_calendar_needs_no_metric_and_no_history() -> None:
    features = Calendar().features(Layout((), pd.Timedelta("1h")))
    assert {f.spec.lookback for f in features} == {"0h"}
    assert {f.spec.source for f in features} == {()}


@pytest.mark.parametrize(("key", "value"), [("country", "Atlantis"), ("timezone", "Mars/Phobos")])
def test_calendar_wrong_setting_is_named(key: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Calendar(**{key: value})
    assert caught.value.offender == f"features.groups.calendar.{key}"
    assert value in str(caught.value.seen)
