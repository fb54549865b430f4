"""Shapes of files and units of columns, on files small enough to check by eye."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from optimizer.core.errors import OptimizerError, SchemaError, SourceError
from optimizer.core.schema import CPU, MEMORY, SERVICE, TIMESTAMP
from optimizer.sources.table import TableTelemetry

TIMES = pd.date_range("2025-01-01", periods=4, freq="1h", tz="UTC")


def rows(**columns: object) -> pd.DataFrame:
    frame = pd.DataFrame(
        {SERVICE: np.repeat(["a", "b"], 4), TIMESTAMP: np.tile(TIMES, 2), CPU: np.arange(8) / 10}
    )
    return frame.assign(**columns)


def load(path: Path, content: pd.DataFrame | str | bytes, **arguments: Any) -> pd.DataFrame:
    if isinstance(content, pd.DataFrame):
        content = content.to_csv(index=False)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return TableTelemetry(str(path), **arguments).fetch()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_encodings_and_delimiters(encoding: str, delimiter: str, tmp_path: Path) -> None:
    text = rows(service_id=np.repeat(["café", "b"], 4)).to_csv(index=False, sep=delimiter)
    frame = load(tmp_path / "t.csv", text.encode(encoding))
    assert frame[SERVICE].unique().tolist() == ["b", "café"]
    np.testing.assert_allclose(frame[CPU].sum(), 2.8, rtol=1e-6)


def test_json_lines(tmp_path: Path) -> None:
    frame = rows(event_timestamp=[str(time) for time in np.tile(TIMES, 2)])
    lines = frame.to_json(orient="records", lines=True)
    assert load(tmp_path / "t.jsonl", lines)[CPU].sum() == pytest.approx(2.8)
    listed = frame.to_json(orient="records")
    assert load(tmp_path / "t.json", listed)[CPU].sum() == pytest.approx(2.8)


@pytest.mark.parametrize(
    "content",
    ["{", "[1, 2]", "{}", '{"data": {"resultType": "matrix", "result": [{"values": [[1]]}]}}',
     '{"MetricDataResults": [{"Id": "m"}]}', '{"data": {"resultType": "matrix"}}'],
)  # fmt: skip
def test_other_json_is_one_error(content: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"t\.json"):
        load(tmp_path / "t.json", content, value=CPU)


def test_a_prometheus_matrix_without_series_has_no_row(tmp_path: Path) -> None:
    empty = json.dumps({"data": {"resultType": "matrix", "result": []}})
    with pytest.raises(OptimizerError, match="no row of telemetry"):
        load(tmp_path / "t.json", empty, value=CPU)


def test_json_beside_tables_is_not_read_unless_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text("{}")
    rows().to_csv(tmp_path / "t.csv", index=False)
    assert len(TableTelemetry(str(tmp_path)).fetch()) == 8


def test_each_file_may_be_one_service(tmp_path: Path) -> None:
    for name in ("x", "y"):
        rows()[[TIMESTAMP, CPU]].head(4).to_csv(tmp_path / f"{name}.csv", index=False)
    with pytest.raises(SchemaError, match=r"data\.per_file=true"):
        TableTelemetry(str(tmp_path)).fetch()
    frame = TableTelemetry(str(tmp_path), per_file=True).fetch()
    assert frame[SERVICE].unique().tolist() == ["x", "y"]


@pytest.mark.parametrize("value", [None, CPU])
def test_a_header_that_occurs_twice_is_refused(value: str | None, tmp_path: Path) -> None:
    text = "event_timestamp,service_id,cpu_utilization,cpu_utilization\n2025-01-01,a,0.1,0.2\n"
    with pytest.raises(SchemaError, match=r"column cpu_utilization.*2 columns of that name"):
        load(tmp_path / "t.csv", text, value=value)


@pytest.mark.parametrize(
    ("unit", "values"),
    [("percent", 0.3), ("cores", 0.3 * 4), ("millicores", 1200.0), ("nanocores", 1.2e9)],
)
def test_units_of_cpu(unit: str, values: float, tmp_path: Path) -> None:
    cells = values * 100 if unit == "percent" else values
    frame = load(
        tmp_path / "t.csv",
        rows(cpu_utilization=cells, cpu_capacity_cores=4),
        units={"cpu": unit},
    )
    np.testing.assert_allclose(frame[CPU], 0.3, rtol=1e-6)


def test_usage_in_cores_needs_a_capacity(tmp_path: Path) -> None:
    frame = rows().rename(columns={CPU: "cpu_usage_cores"})
    with pytest.raises(SchemaError, match=r"column cpu_capacity_cores.*no such column.*cores"):
        load(tmp_path / "t.csv", frame)


def test_a_counter_is_told_and_read_as_its_rate(tmp_path: Path) -> None:
    times = pd.date_range("2025-01-01", periods=40, freq="1min", tz="UTC")
    seconds = np.arange(40) * 30.0
    seconds[20:] -= seconds[20]  # restarted: it counts from 0 again
    frame = pd.DataFrame(
        {SERVICE: np.repeat(["a", "b"], 40), TIMESTAMP: np.tile(times, 2),
         CPU: np.tile(seconds, 2), "cpu_capacity_cores": 2.0}
    )  # fmt: skip
    for order in (slice(None), slice(None, None, -1)):
        loaded = load(tmp_path / "t.csv", frame[order], units={"cpu": "cpu_seconds"})
        first = loaded.groupby(SERVICE, observed=True)[CPU].head(1)
        assert first.isna().all()
        assert loaded[CPU].drop(first.index).value_counts().to_dict() == {0.25: 76, 0.0: 2}
    frame[CPU] = np.tile(np.arange(40) * 30.0, 2)
    with pytest.raises(SchemaError, match=r"counter.*data\.units\.cpu=cpu_seconds"):
        load(tmp_path / "t.csv", frame)


@pytest.mark.parametrize(
    ("column", "cells", "told"),
    [
        ("cpu_capacity_cores", "50 %", "cells in %"),
        ("latency_ms", "12 B", "cells in b"),
        (MEMORY, "3 s", "cells in s"),
    ],
)
def test_cells_in_a_unit_of_something_else_are_refused(
    column: str, cells: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(SchemaError, match=told):
        load(tmp_path / "t.csv", rows(**{column: cells}))


def test_words_of_a_unit_count(tmp_path: Path) -> None:
    frame = load(tmp_path / "t.csv", rows(latency_ms="1.2s", memory_capacity_gib="1073741824 B"))
    np.testing.assert_allclose(frame["latency_ms"], 1200, rtol=1e-6)
    np.testing.assert_allclose(frame["memory_capacity_gib"], 1, rtol=1e-6)


def test_auto_takes_percent_only_for_percent(tmp_path: Path) -> None:
    frame = rows(memory_utilization=2e9)
    with pytest.raises(SchemaError, match=r"bytes.*data\.units\.memory=bytes"):
        load(tmp_path / "t.csv", frame, units={"memory": "auto"})


@pytest.mark.parametrize("phase", ["0s", "7min"])
def test_rows_without_an_id_are_kept_apart_whatever_the_clock(phase: str, tmp_path: Path) -> None:
    frame = rows(event_timestamp=np.tile(TIMES + pd.Timedelta(phase), 2))
    frame.loc[3, SERVICE] = None
    loaded = load(tmp_path / "t.csv", frame)
    assert loaded[SERVICE].isna().tolist() == [*[False] * 7, True]
    days = pd.concat([frame, frame.assign(event_timestamp=frame[TIMESTAMP] + pd.Timedelta("2D"))])
    joined = load(tmp_path / "t.csv", days, join_days=True)
    assert joined[SERVICE].isna().sum() == 2


def test_a_service_that_moves_stays_one_and_one_in_two_places_becomes_two(tmp_path: Path) -> None:
    moved = rows(cluster_id=["x", "x", "y", "y"] * 2)
    assert load(tmp_path / "t.csv", moved)[SERVICE].unique().tolist() == ["a", "b"]
    both = pd.concat([rows(cluster_id="x"), rows(cluster_id="y").query("service_id == 'a'")])
    assert load(tmp_path / "t.csv", both)[SERVICE].unique().tolist() == ["b", "x/a", "y/a"]


def test_names_that_look_missing_are_names(tmp_path: Path) -> None:
    frame = rows(service_id=np.repeat(["NA", "null"], 4))
    assert load(tmp_path / "t.csv", frame)[SERVICE].unique().tolist() == ["NA", "null"]


def test_a_comment_or_a_line_that_breaks_off(tmp_path: Path) -> None:
    text = rows().to_csv(index=False)
    assert len(load(tmp_path / "t.csv", text + "# written by a tool\n")) == 8
    with pytest.raises(SourceError, match=r"t\.csv, line 10: got 2 cells"):
        load(tmp_path / "t.csv", text + "a,2025-01-01\n")
    told = {"dialect": {"skip_rows": 3, "delimiter": ","}}
    with pytest.raises(SourceError, match=r"u\.csv, line 13: got 2 cells"):
        load(tmp_path / "u.csv", "report\nof,today,\n,\n" + text + "a,2025-01-01\n", **told)
