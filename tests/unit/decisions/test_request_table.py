"""Requests of a replay as a table: rows by hand, and a file that is whole or not there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from usages import Swept, at, usage_from

from optimizer.decisions.backtesting.replay import Replay
from optimizer.decisions.backtesting.request_table import frame_requests, write_requests
from optimizer.decisions.backtesting.tables import PolicyReplay, replay_named
from optimizer.demand.usage import Usage
from optimizer.models.conformal.predictive import PredictiveDistribution

COLUMNS = [
    *("policy", "knob", "service_id", "cutoff", "valid_until", "resource", "target"),
    *("lower_bound", "upper_bound", "risk"),
]
CUTOFFS = at(6, 12, 18)


def usage_of_two() -> Usage:
    return usage_from(np.ones((2, 24)))


def outlook_of_two() -> PredictiveDistribution:
    """Return levels of 0, 4 and 8 times cutoff 1, 2, 3; nothing is known of the second's first."""
    scale = np.array([1.0, 2.0, 3.0], dtype=np.float32)[:, None, None]
    levels = np.tile(np.float32([0, 4, 8]), (3, 2, 1)) * scale
    steps, peaks = (np.tile(np.float32(row), (3, 2, 1)) for row in ([1, 0.2, 0], [1, 0.95, 0.05]))
    steps[0, 1], peaks[0, 1] = np.nan, np.nan
    return PredictiveDistribution(levels, steps, peaks)


def replayed(name: str, knobs: tuple[str, ...], requests: object) -> PolicyReplay:
    asked = np.asarray(requests, dtype=np.float32)
    return PolicyReplay(name, "margin", knobs, 0, False, asked, None)  # type: ignore[arg-type]


def found_by_hand() -> dict[str, PolicyReplay]:
    first = np.arange(1, 13).reshape(2, 3, 2)
    return {
        "rule": replayed("rule", ("0.5", "1"), first),
        "pair": replayed("pair", ("w=0.2, lambda_=5",), 10 * first[:1]),
    }


def frames() -> list[pd.DataFrame]:
    return list(frame_requests(found_by_hand(), usage_of_two(), CUTOFFS, outlook_of_two()))


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose categories are text."""
    texts = ["policy", "knob", "service_id", "resource"]
    return frame.astype(dict.fromkeys(texts, str)).reset_index(drop=True)


def test_one_row_per_setting_cutoff_and_service() -> None:
    rule, pair = frames()
    assert list(rule) == list(pair) == COLUMNS
    assert (len(rule), len(pair)) == (2 * 3 * 2, 3 * 2)
    assert rule["target"].tolist() == list(range(1, 13))
    assert rule["knob"].tolist() == ["0.5"] * 6 + ["1"] * 6
    assert rule["service_id"].tolist() == ["svc-000", "svc-001"] * 6
    assert set(rule["policy"]) == {"rule"}
    assert set(pair["policy"]) == {"pair"}
    assert set(pair["knob"]) == {"w=0.2, lambda_=5"}
    assert set(rule["resource"]) == {"cpu"}


def test_request_holds_until_the_next_cutoff() -> None:
    rule, _ = frames()
    # six steps of an hour are known at 06:00; the last request holds as long as the others
    moments = pd.to_datetime(["2024-01-01 06:00", "2024-01-01 12:00", "2024-01-01 18:00"], utc=True)
    until = [*moments[1:], pd.Timestamp("2024-01-02", tz="UTC")]
    assert rule["cutoff"].tolist() == np.repeat(np.asarray(moments), 2).tolist() * 2
    assert rule["valid_until"].tolist() == np.repeat(np.asarray(until), 2).tolist() * 2


def test_only_cutoff_holds_for_a_step() -> None:
    one = {"rule": replayed("rule", ("1",), np.ones((1, 1, 2)))}
    whole = outlook_of_two().part(slice(-1, None))
    (frame,) = frame_requests(one, usage_of_two(), at(6), whole)
    assert set(frame["valid_until"] - frame["cutoff"]) == {pd.Timedelta("1h")}


def test_bounds_are_those_of_the_cutoff_and_risk_that_of_the_request() -> None:
    rule, pair = frames()
    nan = np.nan
    # the peak is above 4 at 95 % and above 8 at 5 %, times the cutoff's scale
    for frame, number in ((rule, 2), (pair, 1)):
        np.testing.assert_allclose(frame["lower_bound"], [4, nan, 8, 8, 12, 12] * number)
        np.testing.assert_allclose(frame["upper_bound"], [8, nan, 16, 16, 24, 24] * number)
    # of requests 1 to 6 and levels 0, 4, 8 times the scale: 1 - 0.8 / 4 = 0.8 at 1 of 4;
    # 3 and 4 of 8: 0.7 and 0.6; 5 and 6 of 12: 1 - 0.8 * 5 / 12 and 0.6
    first = [0.8, nan, 0.7, 0.6, 1 - 4 / 12, 0.6]
    # 7 is three quarters of the way from 4 to 8: 0.05; 9 and 10 lie beyond 8 of 16: 0.2 less an
    # eighth and a quarter of it; 11 of 12: 1 - 0.8 * 11 / 12; 12: 0.2
    second = [0.05, nan, 0.175, 0.15, 1 - 8.8 / 12, 0.2]
    np.testing.assert_allclose(rule["risk"], first + second, rtol=1e-5)
    # 10, 30, 40, 50 and 60 are at or beyond all levels
    np.testing.assert_allclose(pair["risk"], [0, nan, 0, 0, 0, 0], atol=1e-6)


class Paired(Swept):
    """A policy whose knob is a pair: requests of w plus λ."""

    learns, knob, setting, knobs = False, "lambda_", 2.0, (1.0, 2.0)

    def __init__(self, w: float = 0.25) -> None:
        self.w = w

    @property
    def sweeps(self) -> dict[str, Paired]:  # type: ignore[override]
        return {f"w={w:g}": Paired(w) for w in (0.25, 1.0)}

    def request(self, usage: Usage, cutoffs: np.ndarray, knobs: Sequence[float]) -> np.ndarray:
        wanted = np.asarray(knobs, dtype=np.float32)[:, None, None] + np.float32(self.w)
        return np.broadcast_to(wanted, (len(knobs), len(cutoffs), usage.n_services))


def test_pair_of_knobs_is_told_as_one_text() -> None:
    usage, replay = usage_from(np.ones((2, 48))), Replay(period="12h", least_history="1d")
    found = {"paired": replay_named("paired", Paired(), replay, usage)}  # type: ignore[arg-type]
    cutoffs = replay.cutoffs(usage)
    assert cutoffs.tolist() == [36, 42]
    levels = np.tile(np.float32([0, 4]), (2, 2, 1))
    outlook = PredictiveDistribution(levels, 1 - levels / 4, 1 - levels / 4)
    (frame,) = frame_requests(found, usage, cutoffs, outlook)
    told = frame.groupby("knob", observed=True)["target"].unique().map(list).to_dict()
    assert told == {
        "w=0.25, lambda_=1": [1.25],
        "w=0.25, lambda_=2": [2.25],
        "w=1, lambda_=1": [2.0],
        "w=1, lambda_=2": [3.0],
    }
    np.testing.assert_allclose(frame["risk"], 1 - frame["target"] / 4)


def test_file_holds_all_parts_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "requests.parquet"
    write_requests(iter(frames()), path)
    expected = pd.concat([plain(frame) for frame in frames()], ignore_index=True)
    pd.testing.assert_frame_equal(plain(pd.read_parquet(path)), expected)
    assert [one.name for one in tmp_path.iterdir()] == ["requests.parquet"]


def test_later_policy_may_have_many_more_settings(tmp_path: Path) -> None:
    # 2 settings fit a byte, 200 do not
    many = tuple(f"{k}" for k in range(200))
    found = found_by_hand() | {"many": replayed("many", many, np.ones((200, 3, 2)))}
    path = tmp_path / "requests.parquet"
    write_requests(frame_requests(found, usage_of_two(), CUTOFFS, outlook_of_two()), path)
    back = pd.read_parquet(path, filters=[("policy", "==", "many")])
    assert back["knob"].astype(str).tolist() == np.repeat(many, 6).tolist()


def broken(after: int) -> Iterator[pd.DataFrame]:
    yield from frames()[:after]
    raise RuntimeError("the outlook failed")


@pytest.mark.parametrize("after", [0, 1])
def test_half_written_file_never_appears(tmp_path: Path, after: int) -> None:
    path = tmp_path / "requests.parquet"
    with pytest.raises(RuntimeError, match="the outlook failed"):
        write_requests(broken(after), path)
    assert list(tmp_path.iterdir()) == []
    write_requests(iter(frames()[:1]), path)
    whole = path.read_bytes()
    with pytest.raises(RuntimeError, match="the outlook failed"):
        write_requests(broken(after), path)  # what was there stays
    assert path.read_bytes() == whole
    assert len(list(tmp_path.iterdir())) == 1


def test_part_of_other_columns_leaves_nothing_behind(tmp_path: Path) -> None:
    rule, pair = frames()
    with pytest.raises(KeyError):
        write_requests(iter([rule, pair.drop(columns="risk")]), tmp_path / "requests.parquet")
    assert list(tmp_path.iterdir()) == []
