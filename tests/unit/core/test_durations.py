"""Durations as text, as time and as steps."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from optimizer.core.durations import count_steps, format_duration, parse_duration
from optimizer.core.errors import ConfigError

HOUR = pd.Timedelta("1h")


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("5min", 300), ("1h", 3600), ("7d", 604_800)]
)
def test_parse_duration_text_gives_time(text: str, seconds: int) -> None:
    assert parse_duration(text, "key").total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "soon", "0h", "-1h", "NaT", "5 parsecs"])
def test_parse_duration_no_positive_duration_names_key_value_and_fix(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_duration(text, "target.horizon")
    assert caught.value.offender == "target.horizon"
    assert caught.value.seen == repr(text)
    assert "5min" in caught.value.allowed
    assert caught.value.fix == "set target.horizon=1h"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("30s", "30s"),
        ("90s", "90s"),
        ("5min", "5min"),
        ("60min", "1h"),
        ("24h", "24h"),
        ("36h", "36h"),
        ("48h", "2d"),
        ("7d", "7d"),
    ],
)
def test_format_duration_gives_the_shortest_text(value: str, text: str) -> None:
    assert format_duration(pd.Timedelta(value)) == text
    assert format_duration(pd.Timedelta(value).to_timedelta64()) == text
    assert parse_duration(text, "key") == pd.Timedelta(value)


def test_format_duration_numpy_microseconds_is_understood() -> None:
    assert format_duration(np.timedelta64(300_000_000, "us")) == "5min"


@pytest.mark.parametrize(
    ("duration", "steps"), [("1h", 1), ("24h", 24), ("10min", 1), ("100min", 2), ("160min", 3)]
)
def test_count_steps_rounds_to_the_nearest_and_is_at_least_one(duration: str, steps: int) -> None:
    assert count_steps(pd.Timedelta(duration), HOUR) == steps
