"""Times of files and their way onto the grid."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from optimizer.core.errors import SchemaError
from optimizer.sources.clock import align, localise, parse_timestamps, to_utc

STEPS = np.full(2, 300_000_000)


def micros(*texts: str) -> np.ndarray:
    return pd.DatetimeIndex([f"2025-01-01T{t}" for t in texts]).as_unit("us").asi8


def clocks(values: np.ndarray) -> list[str]:
    return to_utc(values).strftime("%H:%M:%S").tolist()


def test_align_on_grid_is_untouched() -> None:
    ends = micros("00:05", "00:10", "00:15")
    np.testing.assert_array_equal(align(ends, np.zeros(3, dtype=int), STEPS), ends)


def test_align_constant_phase_is_rounded_up_per_service() -> None:
    ends = micros("00:04", "00:09", "00:14", "00:06:01", "00:11:01", "00:15")
    moved = align(ends, np.array([0, 0, 0, 1, 1, 1]), STEPS)
    assert clocks(moved) == [
        "00:05:00",
        "00:10:00",
        "00:15:00",
        "00:10:00",
        "00:15:00",
        "00:18:59",  # off its service's own phase: stays off the grid
    ]
    assert (moved >= ends).all()


@pytest.mark.parametrize("late", [("02", "02.5", "01"), ("00.4", "00.4", "00.4")])
def test_align_cuts_off_what_the_clock_of_the_writer_adds(late: tuple[str, ...]) -> None:
    ends = micros(*(f"00:{5 * i:02}:{late[i % 3]}" for i in range(1, 8)))
    moved = align(ends, np.zeros(7, dtype=int), STEPS)
    assert clocks(moved) == [f"00:{5 * i:02}:00" for i in range(1, 8)]


def test_align_lone_row_off_the_grid_stays_off() -> None:
    ends = micros("00:05", "00:10", "00:17", "00:20")
    assert clocks(align(ends, np.zeros(4, dtype=int), STEPS))[2] == "00:17:00"


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
    assert parse_timestamps(column, "t", "f.csv").micros.tolist() == micros("06:00").tolist()


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(["2025-01-01", "soon", "later"]),
        pd.Series(["2025-01-01", None, None]),
        pd.Series([1e9, np.nan, np.nan]),
    ],
)
def test_parse_timestamps_bad_value_names_the_row(column: pd.Series) -> None:
    with pytest.raises(SchemaError, match=r"f\.csv: column t: got .* in row 2"):
        parse_timestamps(column, "t", "f.csv")


def test_parse_timestamps_tells_each_epoch_by_its_size() -> None:
    column = pd.Series([1735711200, 1735711200000, 1735711200000000])
    assert parse_timestamps(column, "t", "f").micros.tolist() == micros(*["06:00"] * 3).tolist()


def test_parse_timestamps_reads_days_of_a_spreadsheet() -> None:
    found = parse_timestamps(pd.Series([45658.25, 45658.291667]), "t", "f")
    assert clocks(found.micros) == ["06:00:00", "07:00:00"]


def test_parse_timestamps_takes_a_format() -> None:
    found = parse_timestamps(pd.Series(["01.02.2025 06:00"]), "t", "f", "%d.%m.%Y %H:%M")
    assert to_utc(found.micros)[0] == pd.Timestamp("2025-02-01T06:00Z")
    assert not found.has_zone


def test_local_times_go_through_the_doubled_hour_in_any_order() -> None:
    utc = pd.date_range("2026-10-25T00:00Z", periods=12, freq="15min")
    local = pd.Series(utc.tz_convert("Europe/Berlin").tz_localize(None))
    codes = np.zeros(12, dtype=int)
    for order in (np.arange(12), np.arange(12)[::-1]):
        times = parse_timestamps(local.iloc[order].reset_index(drop=True), "t", "f")
        assert not times.has_zone
        found = localise(times, codes, "Europe/Berlin", "t", "f")
        assert to_utc(found).tolist() == utc[order].tolist()
        with pytest.raises(SchemaError, match=r"hour from 2026-10-25 02:00:00 twice.*timezone"):
            localise(times, codes, None, "t", "f")


def test_a_time_that_a_zone_skips_is_refused() -> None:
    times = parse_timestamps(pd.Series(["2026-03-29 01:45", "2026-03-29 02:15"]), "t", "f")
    with pytest.raises(SchemaError, match=r"02:15:00 in row 2.*exist in Europe/Berlin"):
        localise(times, np.zeros(2, dtype=int), "Europe/Berlin", "t", "f")
