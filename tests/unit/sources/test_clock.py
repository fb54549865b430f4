"""Times of files and their way onto the grid."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from optimizer.core.errors import DataQualityError, SchemaError
from optimizer.sources.clock import align, check_forward, parse_timestamps, to_utc

STEP = pd.Timedelta("5min")


def micros(*texts: str) -> np.ndarray:
    return pd.DatetimeIndex([f"2025-01-01T{t}" for t in texts]).as_unit("us").asi8


def clocks(values: np.ndarray) -> list[str]:
    return to_utc(values).strftime("%H:%M:%S").tolist()


def test_align_on_grid_is_untouched() -> None:
    ends = micros("00:05", "00:10", "00:15")
    np.testing.assert_array_equal(align(ends, np.zeros(3, dtype=int), STEP), ends)


def test_align_constant_phase_is_rounded_up_per_service() -> None:
    ends = micros("00:04", "00:09", "00:14", "00:05:01", "00:10:01", "00:15")
    moved = align(ends, np.array([0, 0, 0, 1, 1, 1]), STEP)
    assert clocks(moved) == [
        "00:05:00",
        "00:10:00",
        "00:15:00",
        "00:10:00",
        "00:15:00",
        "00:19:59",  # off its service's own phase: stays off the grid
    ]
    assert (moved >= ends).all()


def test_align_lone_row_off_the_grid_stays_off() -> None:
    ends = micros("00:05", "00:10", "00:17", "00:20")
    assert clocks(align(ends, np.zeros(4, dtype=int), STEP))[2] == "00:17:00"


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(["2025-01-01T06:00:00Z"]),
        pd.Series(["2025-01-01 06:00:00"]),
        pd.Series(["2025-01-01T07:00:00+01:00"]),
        pd.Series([1735711200]),
        pd.Series([1735711200000]),
        pd.Series([1735711200000000]),
        pd.Series([1735711200000000000]),
        pd.Series(pd.to_datetime(["2025-01-01T06:00"])),
    ],
)
def test_parse_timestamps_forms(column: pd.Series) -> None:
    assert parse_timestamps(column, "t", "f.csv").tolist() == micros("06:00").tolist()


@pytest.mark.parametrize(
    "column",
    [pd.Series(["2025-01-01", "soon"]), pd.Series(["2025-01-01", None]), pd.Series([1e9, np.nan])],
)
def test_parse_timestamps_bad_value_names_the_row(column: pd.Series) -> None:
    with pytest.raises(SchemaError, match=r"f\.csv: column t: got .* in row 2"):
        parse_timestamps(column, "t", "f.csv")


def test_check_forward_allows_duplicates_and_interleaved_services() -> None:
    check_forward(
        micros("02:00", "00:00", "02:00", "01:00"), np.array([0, 1, 0, 1]), ["a", "b"], "f"
    )


def test_check_forward_names_the_first_step_back() -> None:
    with pytest.raises(
        DataQualityError, match=r"service b: got .*T00:00.* in row 4 after .*T01:00"
    ):
        check_forward(
            micros("02:00", "01:00", "02:00", "00:00"), np.array([0, 1, 0, 1]), ["a", "b"], "f"
        )
