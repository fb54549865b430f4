"""Days joined per service: which day comes when, and who is left out."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from optimizer.errors import SourceError
from optimizer.telemetry.planetlab import PlanetlabTelemetry
from optimizer.telemetry.table import TableTelemetry

DAYS = {"a": ("2025-03-03", "2025-03-09", "2025-04-02"), "b": ("2025-03-09", "2025-04-20")}


def rows(days: dict[str, tuple[str, ...]], clock: str) -> pd.DataFrame:
    """Return 12-hourly rows whose CPU says which day, and half of it, they are of."""
    found = [
        (service, pd.Timestamp(day, tz="UTC") + pd.Timedelta(12 * half, "h"), day, half)
        for service, some in days.items()
        for day in some
        for half in (0, 1)
    ]
    frame = pd.DataFrame(found, columns=["service_id", "timestamp", "day", "half"])
    frame["cpu"] = frame.pop("day").str[-2:].astype(int) / 100 + frame.pop("half") / 1000
    if clock == "end":
        frame["timestamp"] += pd.Timedelta("12h")
    return frame


def load(frame: pd.DataFrame, folder: Path, clock: str, joined: bool) -> pd.DataFrame:
    frame.to_parquet(folder / "days.parquet", index=False)
    columns = {"cpu_utilization": "cpu", "event_timestamp": "timestamp"}
    path = str(folder / "days.parquet")
    return TableTelemetry(path, columns, clock=clock, join_days=joined).load()


@pytest.mark.parametrize("clock", ["start", "end"])
def test_days_follow_one_another_by_hand(clock: str, tmp_path: Path) -> None:
    found = load(rows(DAYS, clock), tmp_path, clock, True)
    spans = {
        service: [*zip(part["event_timestamp"], part["cpu_utilization"], strict=True)]
        for service, part in found.groupby("service_id", observed=True)
    }
    ends = pd.date_range("2025-03-03T12:00Z", periods=6, freq="12h")
    assert [end for end, _ in spans["a"]] == list(ends)
    expected = [0.03, 0.031, 0.09, 0.091, 0.02, 0.021]
    assert [value for _, value in spans["a"]] == pytest.approx(expected)
    assert [end for end, _ in spans["b"]] == list(ends[:4])
    assert [value for _, value in spans["b"]] == pytest.approx([0.09, 0.091, 0.2, 0.201])


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
    found = load(rows(DAYS | {"c": ("2025-03-03",)}, "start"), tmp_path, "start", True)
    assert found["service_id"].cat.categories.tolist() == ["a", "b"]
    assert "1 of 3 services have one day only" in caplog.text


def test_nothing_to_join_is_refused_with_the_fix(tmp_path: Path) -> None:
    days = {"a": ("2025-03-03", "2025-03-05"), "b": ("2025-03-03",)}
    with pytest.raises(SourceError, match=r"1 of 2 services .*join_days=false"):
        load(rows(days, "start"), tmp_path, "start", True)


def test_planetlab_joins_its_days(tmp_path: Path) -> None:
    for day, nodes in {"20110303": ("a", "b"), "20110420": ("a", "b"), "20110411": ("a",)}.items():
        (tmp_path / day).mkdir()
        for node in nodes:
            (tmp_path / day / node).write_text("".join(f"{day[-2:]}\n" for _ in range(288)))
    found = PlanetlabTelemetry(str(tmp_path), join_days=True).load()
    daily = found.groupby(
        ["service_id", (found["event_timestamp"] - pd.Timedelta("1us")).dt.floor("D")],
        observed=True,
    )["cpu_utilization"].mean()
    assert daily["a"].tolist() == pytest.approx([0.03, 0.11, 0.2])
    assert daily["b"].tolist() == pytest.approx([0.03, 0.2])
    assert str(daily["a"].index[-1]) == "2011-03-05 00:00:00+00:00"
