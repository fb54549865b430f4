"""Row-level rules on frames small enough to check by eye."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from optimizer.core.schema import CLUSTER, CPU, MEMORY, SERVICE, TIMESTAMP
from optimizer.quality.derive import describe_fleet, describe_services, percentile_99
from optimizer.quality.quarantine import split_rows, stand_alone

HOUR = pd.Timedelta("1h")


def make_frame(services: int = 2, steps: int = 6, start: str = "2026-01-01") -> pd.DataFrame:
    stamps = pd.date_range(start, periods=steps, freq="1h", tz="UTC").as_unit("us")
    names = [f"s{i}" for i in range(services)]
    rows = services * steps
    return pd.DataFrame(
        {
            SERVICE: pd.Categorical(np.repeat(names, steps)),
            CLUSTER: pd.Categorical(["c"] * rows),
            TIMESTAMP: np.tile(stamps, services),
            CPU: np.linspace(0.1, 0.9, rows, dtype=np.float32),
            MEMORY: np.full(rows, 0.5, dtype=np.float32),
        }
    ).astype({TIMESTAMP: "datetime64[us, UTC]"})


def test_split_rows_clean_frame_is_kept_whole() -> None:
    frame = make_frame()
    split = split_rows(frame)
    assert split.kept is frame
    assert len(split.quarantined) == 0
    assert split.counts == {}
    assert split.step == HOUR
    assert "reason" in split.quarantined


def test_split_rows_duplicate_key_keeps_the_last() -> None:
    frame = make_frame()
    again = frame.iloc[[2]].assign(**{CPU: np.float32(0.77)})
    split = split_rows(pd.concat([frame, again], ignore_index=True))
    assert split.quarantined.index.tolist() == [2]
    assert split.quarantined["reason"].tolist() == ["duplicate key: service_id, event_timestamp"]
    kept = split.kept.set_index([SERVICE, TIMESTAMP])[CPU]
    assert kept.loc[("s0", frame[TIMESTAMP].iloc[2])] == pytest.approx(0.77)


def test_split_rows_broken_duplicate_does_not_displace_a_sound_row() -> None:
    frame = make_frame()
    again = frame.iloc[[2]].assign(**{CPU: np.float32(np.inf)})
    split = split_rows(pd.concat([frame, again], ignore_index=True))
    twice = "duplicate key: service_id, event_timestamp"
    assert split.counts == {f"infinite: {CPU}": 1, twice: 1}
    assert split.kept.index.tolist() == list(range(12))


def test_split_rows_text_ids_behave_like_categories() -> None:
    frame = pd.concat([make_frame(), make_frame().iloc[[3]]], ignore_index=True)
    text = frame.astype({SERVICE: object, CLUSTER: object})
    assert split_rows(text).quarantined.index.tolist() == [3]


def test_split_rows_off_grid_is_told_with_the_step() -> None:
    frame = make_frame()
    frame.loc[4, TIMESTAMP] += pd.Timedelta("7min")
    split = split_rows(frame)
    assert split.quarantined.index.tolist() == [4]
    assert split.counts == {f"off grid of 1h: {TIMESTAMP}": 1}


def test_split_rows_common_phase_is_the_grid() -> None:
    frame = make_frame(start="2026-01-01 00:17:00")
    assert len(split_rows(frame).quarantined) == 0


def test_split_rows_given_step_sets_the_grid() -> None:
    frame = make_frame()
    assert len(split_rows(frame, pd.Timedelta("2h")).quarantined) == 6


def test_split_rows_out_of_range_and_infinite_name_their_columns() -> None:
    frame = make_frame()
    frame.loc[1, CPU] = -0.01
    frame.loc[1, MEMORY] = np.inf
    frame.loc[5, MEMORY] = -np.inf
    frame.loc[7, CPU] = 100.5
    frame.loc[8, CPU] = np.nan
    split = split_rows(frame)
    reasons = split.quarantined["reason"].to_dict()
    assert reasons == {
        1: f"out of range: {CPU}; infinite: {MEMORY}",
        5: f"infinite: {MEMORY}",
        7: f"out of range: {CPU}",
    }
    assert split.counts == {f"out of range: {CPU}": 2, f"infinite: {MEMORY}": 2}


@pytest.mark.parametrize("value", [0.0, 1.55, 4.7, 100.0])
def test_split_rows_real_utilisation_is_in_range(value: float) -> None:
    frame = make_frame()
    frame.loc[3, CPU] = value
    assert len(split_rows(frame).quarantined) == 0


def test_split_rows_missing_ids_are_quarantined() -> None:
    frame = make_frame()
    frame.loc[0, SERVICE] = None
    frame.loc[1, CLUSTER] = None
    frame.loc[2, TIMESTAMP] = pd.NaT
    reasons = split_rows(frame).quarantined["reason"].to_dict()
    assert reasons == {
        0: "missing: service_id",
        1: "missing: cluster_id",
        2: "missing: event_timestamp",
    }


def test_split_rows_does_not_change_its_argument() -> None:
    frame = make_frame()
    frame.loc[1, CPU] = np.inf
    before = frame.copy(deep=True)
    split_rows(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_split_rows_a_broken_value_costs_itself() -> None:
    frame = make_frame()
    frame.loc[1, MEMORY] = -1.0
    frame.loc[2, CPU] = np.inf
    split = split_rows(frame)
    assert len(split.kept) == len(frame)
    assert np.flatnonzero(split.kept[MEMORY].isna()).tolist() == [1]
    assert np.flatnonzero(split.kept[CPU].isna()).tolist() == [2]
    assert split.kept[CPU].iloc[1] == frame[CPU].iloc[1]
    assert split.lost == 1  # a row is lost with its CPU
    assert split.services == {f"infinite: {CPU}": {"s0": 1}, f"out of range: {MEMORY}": {"s0": 1}}


@pytest.mark.parametrize("far", ["2026-01-31", "2036-01-01", "1970-01-01", "2025-12-25"])
@pytest.mark.parametrize("n", [1, 3])
def test_split_rows_lone_rows_far_away_never_move_the_grid(far: str, n: int) -> None:
    frame = make_frame(services=3, steps=200)
    alone = frame.iloc[:n].assign(**{TIMESTAMP: pd.Timestamp(far, tz="UTC") + HOUR * np.arange(n)})
    split = split_rows(pd.concat([frame, alone], ignore_index=True).astype(frame.dtypes))
    assert split.counts == {f"alone, far from the other rows: {TIMESTAMP}": n}
    pd.testing.assert_frame_equal(split.kept, frame)


def test_stand_alone_spares_fleets_that_pause_grow_or_report_rarely() -> None:
    def alone(*services: list[int]) -> int:
        codes = np.repeat(np.arange(len(services)), [len(times) for times in services])
        clock = np.concatenate([np.asarray(times, dtype=np.int64) for times in services])
        return int(stand_alone(codes, clock, 1).sum())

    day = list(range(24))
    later = [one + 40 for one in day]
    assert alone(day + later, day + later, day + later) == 0  # an outage
    assert alone(*[[*day, 30]] * 3) == 0  # the fleet comes back
    assert alone(day, day, list(range(60))) == 0  # one service goes on alone
    assert alone([0, 12, 24, 36, 48] * 1, [0, 12, 24, 36, 48], [60]) == 0  # rare reports
    assert alone(day * 1, day, [*day, 30]) == 0  # more than a hundredth of the rows


def test_describe_services_measures_gap_staleness_and_absence() -> None:
    frame = make_frame(steps=10)
    # s0 loses hours 3, 4, 5 (a gap of 3 h beyond a step); s1 ends two hours early.
    frame = frame.drop(index=[3, 4, 5, 18, 19])
    table = describe_services(split_rows(frame)).set_index(SERVICE)
    assert table["rows"].to_dict() == {"s0": 7, "s1": 8}
    assert table["largest_gap_hours"].to_dict() == {"s0": 3.0, "s1": 0.0}
    assert table["staleness_hours"].to_dict() == {"s0": 0.0, "s1": 2.0}
    assert table["absent_share"].to_dict() == pytest.approx({"s0": 0.3, "s1": 0.0})


def test_describe_services_row_order_changes_nothing() -> None:
    frame = make_frame(steps=10).iloc[::-1]
    table = describe_services(split_rows(frame)).set_index(SERVICE)
    assert table["largest_gap_hours"].tolist() == [0.0, 0.0]
    assert table["above_capacity"].tolist() == [0.0, 0.0]


def test_describe_fleet_ignores_infinities_in_the_percentile() -> None:
    frame = make_frame()
    frame.loc[1, CPU] = np.inf
    fleet = describe_fleet(frame, split_rows(frame)).iloc[0]
    assert fleet[f"p99_{CPU}"] == pytest.approx(0.9)
    assert fleet["quarantined_share"] == pytest.approx(1 / 12)
    assert fleet["services"] == 2


def test_percentile_99_is_the_99th_of_100_values() -> None:
    assert percentile_99(np.arange(1, 101, dtype=np.float32)) == 99.0
    assert percentile_99(np.array([3.0], dtype=np.float32)) == 3.0
