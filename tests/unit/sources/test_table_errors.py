"""Every way in which one's own files can be wrong ends in one clear message."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optimizer.core.errors import (
    ConfigError,
    OptimizerError,
    SchemaError,
    SourceError,
)
from optimizer.quality.quarantine import split_rows
from optimizer.sources.table import TableTelemetry


def rows(services: int = 2, steps: int = 4, **columns: object) -> pd.DataFrame:
    times = pd.date_range("2025-01-01", periods=steps, freq="1h", tz="UTC")
    frame = pd.DataFrame(
        {
            "service_id": np.repeat([f"s{i}" for i in range(services)], steps),
            "event_timestamp": np.tile(times, services),
            "cpu_utilization": np.linspace(0.1, 0.9, services * steps),
        }
    )
    return frame.assign(**columns)


def write(frame: pd.DataFrame, path: Path) -> str:
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    return str(path)


def caught(
    error: type[OptimizerError], frame: pd.DataFrame, path: Path, **arguments: object
) -> str:
    with pytest.raises(error) as info:
        TableTelemetry(write(frame, path), **arguments).fetch()  # type: ignore[arg-type]
    assert info.value.offender
    assert info.value.fix
    return str(info.value)


@pytest.mark.parametrize("path", ["absent.csv", "absent/*.csv", "absent"])
def test_load_missing_file_names_the_path(tmp_path: Path, path: str) -> None:
    source = TableTelemetry(str(tmp_path / path))
    for read in (source.fetch, source.snapshot_id):
        with pytest.raises(SourceError, match=r"data\.path=.*absent.*no such file"):
            read()


def test_load_directory_without_tables_says_so(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing")
    with pytest.raises(SourceError, match=r"a directory without files ending in \.csv"):
        TableTelemetry(str(tmp_path)).fetch()


def test_load_unknown_ending_lists_the_allowed_ones(tmp_path: Path) -> None:
    (tmp_path / "t.xlsx").write_text("x")
    with pytest.raises(SourceError, match=r"the ending \.xlsx.*\.parquet"):
        TableTelemetry(str(tmp_path / "t.xlsx")).fetch()


def test_load_empty_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv").touch()
    with pytest.raises(SourceError, match=r"t\.csv: got an empty file"):
        TableTelemetry(str(tmp_path / "t.csv")).fetch()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_load_header_without_rows(tmp_path: Path, ending: str) -> None:
    assert "no row" in caught(SourceError, rows().iloc[:0], tmp_path / f"t.{ending}")


def test_load_damaged_parquet(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_text("this is no parquet file")
    with pytest.raises(SourceError, match=r"t\.parquet: got unreadable"):
        TableTelemetry(str(tmp_path / "t.parquet")).fetch()


def test_load_ragged_csv(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("service_id,event_timestamp,cpu_utilization\na,b\n")
    with pytest.raises(SourceError, match=r"t\.csv, line 2: got 2 cells.*Allowed: 3 cells"):
        TableTelemetry(str(tmp_path / "t.csv")).fetch()


@pytest.mark.parametrize("column", ["service_id", "event_timestamp", "cpu_utilization"])
def test_load_missing_column_is_named(tmp_path: Path, column: str) -> None:
    message = caught(SchemaError, rows().drop(columns=column), tmp_path / "t.csv")
    assert f"column {column}" in message
    assert f"data.columns.{column}=" in message


def test_load_mapped_column_that_is_absent(tmp_path: Path) -> None:
    message = caught(
        SchemaError, rows(), tmp_path / "t.csv", columns={"cpu_utilization": "cpu_pct"}
    )
    assert "data.columns.cpu_utilization: got cpu_pct" in message


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_load_text_where_numbers_are_due_names_column_value_and_row(
    tmp_path: Path, ending: str
) -> None:
    frame = rows()
    frame["cpu_utilization"] = frame["cpu_utilization"].astype(str)
    frame.loc[2:3, "cpu_utilization"] = "high"
    message = caught(SchemaError, frame, tmp_path / f"t.{ending}")
    assert "column cpu_utilization: got text 'high' in row 3 (2 such cells)" in message
    assert "data.columns.cpu_utilization" in message


def test_one_text_far_down_a_csv_costs_its_cell_and_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame = rows(2, 40_000)
    frame["cpu_utilization"] = frame["cpu_utilization"].astype(str)
    frame.loc[79_990, "cpu_utilization"] = "n.v."
    found = TableTelemetry(write(frame, tmp_path / "t.csv")).fetch()
    assert np.flatnonzero(found["cpu_utilization"].isna()).tolist() == [79_990]
    assert "1 of 80000 cells are no numbers" in caplog.text
    assert "text 'n.v.' in row 79991" in caplog.text


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_load_time_that_is_none_names_value_and_row(tmp_path: Path, ending: str) -> None:
    frame = rows()
    frame["event_timestamp"] = frame["event_timestamp"].astype(str)
    frame.loc[1:2, "event_timestamp"] = "yesterday"
    message = caught(SchemaError, frame, tmp_path / f"t.{ending}")
    assert "'yesterday' in row 2, which is no time" in message


def test_a_row_without_id_or_time_is_left_to_the_quality_step(tmp_path: Path) -> None:
    frame = rows()
    frame["event_timestamp"] = frame["event_timestamp"].astype(str)
    frame.loc[4, "service_id"] = None
    frame.loc[6, "event_timestamp"] = ""
    found = TableTelemetry(write(frame, tmp_path / "t.parquet")).fetch()
    assert found["service_id"].isna().sum() == 1
    assert found["event_timestamp"].isna().sum() == 1
    assert set(split_rows(found).counts) == {"missing: service_id", "missing: event_timestamp"}


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 6, 5, 7], [7, 6, 5, 4, 3, 2, 1, 0]])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_rows_come_in_any_order(tmp_path: Path, ending: str, order: list[int]) -> None:
    straight = TableTelemetry(write(rows(), tmp_path / f"a.{ending}")).fetch()
    mixed = TableTelemetry(write(rows().iloc[order], tmp_path / f"b.{ending}")).fetch()
    pd.testing.assert_frame_equal(mixed, straight)


def test_one_service_is_read(tmp_path: Path) -> None:
    assert len(TableTelemetry(write(rows(1), tmp_path / "t.csv")).fetch()) == 4


def test_no_service_with_cpu_is_refused(tmp_path: Path) -> None:
    frame = rows().assign(cpu_utilization=None)
    assert "no service with cpu_utilization" in caught(SourceError, frame, tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"clock": "middle"}, "data.clock"),
        ({"columns": {"cpu": "x"}}, "data.columns.cpu"),
        ({"units": {"cpu": "permille"}}, "data.units.cpu"),
        ({"units": {"speed": "s"}}, "data.units.speed"),
        ({"units": {"latency": "h"}}, "data.units.latency"),
        ({"timezone": "Europe/Berln"}, "data.timezone.*Europe/Berlin"),
        ({"merge": "median"}, "data.merge"),
        ({"value": "cpu"}, "data.value"),
        ({"dialect": {"delimiter": ";;"}}, "data.dialect.delimiter"),
        ({"dialect": {"quote": "'"}}, "data.dialect.quote"),
        ({"dialect": {"encoding": "utf9"}}, "data.dialect.encoding"),
        ({"columns": {"cpu_utilization": ["a", "b"]}}, "data.columns.cpu_utilization"),
        ({"path": ""}, "data.path"),
        ({"freq": "often"}, "data.freq"),
    ],
)
def test_constructor_wrong_value_names_its_key(arguments: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        TableTelemetry(**({"path": "t.csv"} | arguments))  # type: ignore[arg-type]


def test_load_files_that_disagree_about_time_need_a_clock(tmp_path: Path) -> None:
    write(rows(1), tmp_path / "a.csv")
    other = rows(1).rename(columns={"event_timestamp": "timestamp"}).assign(service_id="b")
    write(other, tmp_path / "b.csv")
    with pytest.raises(SchemaError, match=r"a\.csv: column event_timestamp.*data\.clock=start"):
        TableTelemetry(str(tmp_path)).fetch()
    assert len(TableTelemetry(str(tmp_path), clock="end").fetch()) == 8


def test_rows_that_say_the_same_twice_are_one(tmp_path: Path) -> None:
    frame = rows()
    again = pd.concat([frame, frame.iloc[:3]], ignore_index=True)
    assert len(TableTelemetry(write(again, tmp_path / "t.csv")).fetch()) == len(frame)


def test_rows_of_one_key_that_differ_stay_unless_merged(tmp_path: Path) -> None:
    frame = rows()
    other = frame.assign(cpu_utilization=frame["cpu_utilization"] + 0.1)
    path = write(pd.concat([frame, other], ignore_index=True), tmp_path / "t.csv")
    assert len(TableTelemetry(path).fetch()) == 2 * len(frame)
    for merge, more in (("mean", 0.05), ("max", 0.1), ("first", 0.0)):
        merged = TableTelemetry(path, merge=merge).fetch()
        np.testing.assert_allclose(
            merged["cpu_utilization"], frame["cpu_utilization"] + more, rtol=1e-6
        )
