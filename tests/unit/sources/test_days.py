"""Recordings of days joined per service: which comes when, and who is left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optimizer.core.errors import SourceError
from optimizer.sources.table import TableTelemetry
from optimizer.sources.traces.planetlab import PlanetlabTelemetry

DAYS = {"a": ("2025-03-03", "2025-03-09", "2025-04-02"), "b": ("2025-03-09", "2025-04-20")}
STEP = pd.Timedelta("6h")


def rows(days: dict[str, tuple[str, ...]], clock: str, phase: str = "0min") -> pd.DataFrame:
    """Return readings every 6 hours whose CPU says which day and quarter of it they are of."""
    found = [
        (service, pd.Timestamp(day, tz="UTC") + turn * STEP + pd.Timedelta(phase), day, turn)
        for service, some in days.items()
        for day in some
        for turn in range(4)
    ]
    frame = pd.DataFrame(found, columns=["service_id", "timestamp", "day", "turn"])
    frame["cpu"] = frame.pop("day").str[-2:].astype(int) / 100 + frame.pop("turn") / 1000
    if clock == "end":
        frame["timestamp"] += STEP
    return frame


def load(frame: pd.DataFrame, folder: Path, clock: str, joined: bool) -> pd.DataFrame:
    frame.to_parquet(folder / "days.parquet", index=False)
    columns = {"cpu_utilization": "cpu", "event_timestamp": "timestamp"}
    path = str(folder / "days.parquet")
    return TableTelemetry(path, columns, clock=clock, join_days=joined).fetch()


def of(frame: pd.DataFrame, service: str) -> tuple[list[pd.Timestamp], list[float]]:
    part = frame[frame["service_id"] == service]
    return list(part["event_timestamp"]), part["cpu_utilization"].tolist()


@pytest.mark.parametrize("clock", ["start", "end"])
@pytest.mark.parametrize("phase", ["0min", "20min", "8h"])  # 8h: a day of another time zone
def test_days_follow_one_another_by_hand(clock: str, phase: str, tmp_path: Path) -> None:
    found = load(rows(DAYS, clock, phase), tmp_path, clock, True)
    first = (pd.Timestamp("2025-03-03", tz="UTC") + pd.Timedelta(phase) + STEP).ceil(STEP)
    for service, days in {"a": (0.03, 0.09, 0.02), "b": (0.09, 0.2)}.items():
        ends, values = of(found, service)
        assert ends == list(pd.date_range(first, periods=4 * len(days), freq=STEP))
        assert values == pytest.approx([day + turn / 1000 for day in days for turn in range(4)])


def test_recording_that_breaks_off_keeps_its_time_of_day(tmp_path: Path) -> None:
    frame = rows({"a": DAYS["a"][:2], "b": DAYS["b"]}, "start")
    frame = frame.drop(index=[3, 4])  # a's first evening, and its second night
    ends, _ = of(load(frame, tmp_path, "start", True), "a")
    hours = [(end - pd.Timestamp("2025-03-03", tz="UTC")) / pd.Timedelta("1h") for end in ends]
    assert hours == [6, 12, 18, 36, 42, 48]


def test_days_without_a_gap_stay_as_they_are(tmp_path: Path) -> None:
    row = ("2025-03-03", "2025-03-04", "2025-03-05")
    frame = rows({"a": row, "b": row}, "start")
    pd.testing.assert_frame_equal(
        load(frame, tmp_path, "start", True), load(frame, tmp_path, "start", False)
    )


def test_services_of_one_day_are_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    frame = rows(DAYS | {"c": ("2025-03-03",), "d": DAYS["b"]}, "start", "2min")
    frame.loc[frame.index[-4:], "cpu"] = np.nan  # d's second day says nothing of CPU
    found = load(frame, tmp_path, "start", True)
    assert found["service_id"].cat.categories.tolist() == ["a", "b"]
    assert "2 of 4 services have one day only" in caplog.text


def test_nothing_to_join_is_refused_with_the_fix(tmp_path: Path) -> None:
    days = {"a": ("2025-03-03", "2025-03-05"), "b": ("2025-03-03",)}
    with pytest.raises(SourceError, match=r"1 of 2 services .*join_days=false"):
        load(rows(days, "start"), tmp_path, "start", True)


def test_planetlab_joins_its_days(tmp_path: Path) -> None:
    for day, nodes in {"20110303": ("a", "b"), "20110420": ("a", "b"), "20110411": ("a",)}.items():
        (tmp_path / day).mkdir()
        for node in nodes:
            (tmp_path / day / node).write_text("".join(f"{day[-2:]}\n" for _ in range(288)))
    found = PlanetlabTelemetry(str(tmp_path), join_days=True).fetch()
    for node, days in {"a": (0.03, 0.11, 0.2), "b": (0.03, 0.2)}.items():
        ends, values = of(found, node)
        assert ends == list(pd.date_range("2011-03-03T00:05Z", periods=len(ends), freq="5min"))
        assert values == pytest.approx(np.repeat(days, 288))
