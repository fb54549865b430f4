"""Reading one's own CSV and Parquet files."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optimizer.core.errors import SchemaError
from optimizer.core.schema import CANONICAL, TIMESTAMP_DTYPE
from optimizer.sources.resampling import resample
from optimizer.sources.table import TableTelemetry

DATA = Path(__file__).resolve().parents[3].parent / "shared/data"
needs_traces = pytest.mark.skipif(not DATA.is_dir(), reason="the real traces are not here")


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


def load(frame: pd.DataFrame, tmp_path: Path, **arguments: object) -> pd.DataFrame:
    return TableTelemetry(write(frame, tmp_path / "t.csv"), **arguments).fetch()  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_load_each_format_gives_the_canonical_frame(tmp_path: Path, ending: str) -> None:
    frame = TableTelemetry(write(rows(), tmp_path / f"mine.{ending}")).fetch()
    assert list(frame["service_id"]) == ["s0"] * 4 + ["s1"] * 4
    assert isinstance(frame["service_id"].dtype, pd.CategoricalDtype)
    assert isinstance(frame["cluster_id"].dtype, pd.CategoricalDtype)
    assert set(frame["cluster_id"]) == {"default"}
    assert str(frame["event_timestamp"].dtype) == TIMESTAMP_DTYPE
    assert frame["cpu_utilization"].dtype == np.float32
    np.testing.assert_allclose(frame["cpu_utilization"], np.linspace(0.1, 0.9, 8), rtol=1e-6)


def test_load_column_timestamp_is_the_start_of_its_step(tmp_path: Path) -> None:
    frame = rows().rename(columns={"event_timestamp": "timestamp"})
    assert load(frame, tmp_path)["event_timestamp"].min() == pd.Timestamp("2025-01-01T01:00Z")


def test_load_column_event_timestamp_is_the_end(tmp_path: Path) -> None:
    assert load(rows(), tmp_path)["event_timestamp"].min() == pd.Timestamp("2025-01-01T00:00Z")


@pytest.mark.parametrize(("clock", "hour"), [("start", 1), ("end", 0)])
@pytest.mark.parametrize("column", ["timestamp", "event_timestamp"])
def test_load_clock_overrides_the_column_name(
    tmp_path: Path, column: str, clock: str, hour: int
) -> None:
    frame = load(rows().rename(columns={"event_timestamp": column}), tmp_path, clock=clock)
    assert frame["event_timestamp"].min() == pd.Timestamp("2025-01-01", tz="UTC") + pd.Timedelta(
        hours=hour
    )


def test_load_recognised_names_are_converted(tmp_path: Path) -> None:
    frame = load(
        rows(
            network_in=125.0,
            network_out=250.0,
            disk_read=1000.0,
            disk_write=1.0,
            cpu_capacity=8,
            memory_capacity_gb=32,
            requests=5,
            is_anomaly_window=True,
            cpu_capacity_mhz=1,
        ),
        tmp_path,
    )
    first = frame.iloc[0]
    assert first["network_in_mbps"] == pytest.approx(1.0)  # 125 KB/s x 8 / 1000
    assert first["network_out_mbps"] == pytest.approx(2.0)
    assert first["disk_read_mbps"] == pytest.approx(8.0)
    assert first["disk_write_mbps"] == pytest.approx(0.008)
    assert first["cpu_capacity_cores"] == 8
    assert first["memory_capacity_gib"] == 32
    assert first["request_rate"] == 5
    assert first["is_anomaly"] == 1
    assert set(frame.columns) <= set(CANONICAL)


def test_load_ignored_columns_are_logged_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        load(rows(color="red", size=3), tmp_path)
    assert [r.getMessage() for r in caplog.records] == ["t.csv: columns not used: color, size"]


def test_load_column_map_and_units(tmp_path: Path) -> None:
    frame = rows(rx=2_000_000.0, mem=50.0).rename(
        columns={"service_id": "vm", "event_timestamp": "at", "cpu_utilization": "cpu_pct"}
    )
    frame["cpu_pct"] *= 100
    loaded = load(
        frame.assign(zone="z1"),
        tmp_path,
        columns={
            "service_id": "vm",
            "cluster_id": "zone",
            "event_timestamp": "at",
            "cpu_utilization": "cpu_pct",
            "memory_utilization": "mem",
            "network_in_mbps": "rx",
            "latency_ms": None,
        },
        units={"cpu": "percent", "memory": "percent", "network": "bytes_per_s", "disk": None},
    )
    np.testing.assert_allclose(loaded["cpu_utilization"], np.linspace(0.1, 0.9, 8), rtol=1e-6)
    assert loaded["memory_utilization"].iloc[0] == pytest.approx(0.5)
    assert loaded["network_in_mbps"].iloc[0] == pytest.approx(16.0)  # 2e6 x 8 / 1e6
    assert set(loaded["cluster_id"]) == {"z1"}


@pytest.mark.parametrize(("unit", "mbps"), [("kb_per_s", 0.8), ("mbit_per_s", 100.0)])
def test_load_disk_units(tmp_path: Path, unit: str, mbps: float) -> None:
    frame = load(rows(disk_read_mbps=100.0), tmp_path, units={"disk": unit})
    assert frame["disk_read_mbps"].iloc[0] == pytest.approx(mbps)


def test_load_percent_is_not_guessed_but_refused_until_it_is_said(tmp_path: Path) -> None:
    frame = rows(cpu_utilization=55.0)
    with pytest.raises(SchemaError, match=r"a median of 55.*percent.*data\.units\.cpu=percent"):
        load(frame, tmp_path)
    for unit, value in {"fraction": 55.0, "percent": 0.55, "auto": 0.55}.items():
        loaded = load(frame, tmp_path, units={"cpu": unit})
        assert loaded["cpu_utilization"].iloc[0] == pytest.approx(value)


def test_load_keeps_duplicates_infinities_and_out_of_range_rows(tmp_path: Path) -> None:
    frame = rows()
    frame.loc[1, "cpu_utilization"] = np.inf
    frame.loc[2, "cpu_utilization"] = -5.0
    frame = pd.concat([frame, frame.iloc[[3]].assign(cpu_utilization=0.77)])
    loaded = load(frame, tmp_path)
    assert len(loaded) == 9
    assert np.isinf(loaded["cpu_utilization"]).sum() == 1
    assert (loaded["cpu_utilization"] == -5).sum() == 1
    twice = loaded[loaded.duplicated(["service_id", "event_timestamp"], keep=False)]
    assert twice["cpu_utilization"].tolist()[-1] == pytest.approx(0.77)  # the file's order


def test_load_directory_and_glob_join_files(tmp_path: Path) -> None:
    write(rows(1), tmp_path / "a.csv")
    write(rows(1, latency_ms=9.0).assign(service_id="other"), tmp_path / "b.parquet")
    (tmp_path / "notes.txt").write_text("not telemetry")
    for path in (tmp_path, tmp_path / "*.[cp]*"):
        frame = TableTelemetry(str(path)).fetch()
        assert frame["service_id"].unique().tolist() == ["other", "s0"]
        assert frame["latency_ms"].notna().sum() == 4


def test_load_unsorted_services_come_sorted(tmp_path: Path) -> None:
    frame = rows(3).sort_values("event_timestamp", kind="stable").iloc[::1]
    frame["service_id"] = frame["service_id"].map({"s0": "z", "s1": "a", "s2": "m"})
    loaded = load(frame, tmp_path)
    assert loaded["service_id"].astype(str).tolist() == ["a"] * 4 + ["m"] * 4 + ["z"] * 4
    assert loaded.groupby("service_id", observed=True)[
        "event_timestamp"
    ].is_monotonic_increasing.all()


def test_load_numeric_ids_and_epoch_seconds(tmp_path: Path) -> None:
    frame = rows()
    frame["service_id"] = frame["service_id"].map({"s0": 7, "s1": 8})
    frame["event_timestamp"] = frame["event_timestamp"].dt.as_unit("s").astype("int64")
    for ending in ("csv", "parquet"):
        loaded = TableTelemetry(write(frame, tmp_path / f"n.{ending}")).fetch()
        assert loaded["service_id"].unique().tolist() == ["7", "8"]
        assert loaded["event_timestamp"].min() == pd.Timestamp("2025-01-01", tz="UTC")


def test_load_naive_times_are_utc_and_zones_are_converted(tmp_path: Path) -> None:
    naive = rows()
    naive["event_timestamp"] = naive["event_timestamp"].dt.tz_localize(None)
    zoned = rows()
    zoned["event_timestamp"] = zoned["event_timestamp"].dt.tz_convert("Asia/Kolkata")
    for frame in (naive, zoned):
        for ending in ("csv", "parquet"):
            loaded = TableTelemetry(write(frame, tmp_path / f"z.{ending}")).fetch()
            assert loaded["event_timestamp"].min() == pd.Timestamp("2025-01-01", tz="UTC")


def test_load_service_without_cpu_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame = rows(3)
    frame.loc[frame["service_id"] == "s1", "cpu_utilization"] = np.nan
    with caplog.at_level(logging.INFO):
        assert load(frame, tmp_path)["service_id"].unique().tolist() == ["s0", "s2"]
    assert "1 of 3 services have no cpu_utilization" in caplog.text


def test_load_metric_without_any_value_is_left_out(tmp_path: Path) -> None:
    assert "latency_ms" not in load(rows(latency_ms=np.nan), tmp_path).columns


def test_load_keeps_the_native_step_for_quality(tmp_path: Path) -> None:
    frame = load(rows(steps=48), tmp_path, freq="1d")
    assert frame["event_timestamp"].nunique() == 48


def test_fingerprint_follows_content_and_arguments(tmp_path: Path) -> None:
    path = write(rows(), tmp_path / "t.csv")
    first = TableTelemetry(path).snapshot_id()
    assert first == TableTelemetry(path).snapshot_id()
    assert first != TableTelemetry(path, freq="1d").snapshot_id()
    assert first != TableTelemetry(path, columns={"latency_ms": "x"}).snapshot_id()
    write(rows(latency_ms=1.0), tmp_path / "t.csv")
    assert first != TableTelemetry(path).snapshot_id()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/fleet.parquet", "fleet"),
        ("a/fleet.csv.gz", "fleet"),
        ("a/month/*.csv", "month"),
        ("a/v1.2", "v1.2"),
        ("*.csv", "table"),
    ],
)
def test_name_null_is_the_stem(path: str, name: str) -> None:
    assert TableTelemetry(path).name == name
    assert TableTelemetry(path, name="mine").name == "mine"


@needs_traces
@pytest.mark.parametrize(
    ("trace", "services", "step"),
    [("google2019_tasks", 44, "5min"), ("planetlab", 1360, "5min"), ("nab_cloudwatch", 11, "5min")],
)
def test_load_real_traces_need_no_map(trace: str, services: int, step: str) -> None:
    source = TableTelemetry(str(DATA / f"{trace}.parquet"), freq=step)
    frame = resample(source.fetch(), step)
    assert source.name == trace
    assert frame["service_id"].nunique() == services
    assert frame["cpu_utilization"].between(0, 5).all()
    on_grid = frame["event_timestamp"].dt.floor(step) == frame["event_timestamp"]
    assert on_grid.all()


@needs_traces
def test_load_nab_phase_is_rounded_up() -> None:
    frame = TableTelemetry(str(DATA / "nab_cloudwatch.parquet")).fetch()
    series = frame[frame["service_id"] == "cpu_utilization_asg_misconfiguration"]
    # the first sample starts at 01:14, ends at 01:19 and is on the grid at 01:20
    assert series["event_timestamp"].iloc[0] == pd.Timestamp("2014-05-14T01:20Z")
    assert (frame["event_timestamp"].dt.floor("5min") == frame["event_timestamp"]).all()


@needs_traces
def test_load_bitbrains_hourly_means_match_pandas() -> None:
    path = DATA / "bitbrains_rnd.parquet"
    frame = resample(TableTelemetry(str(path)).fetch(), "1h")
    raw = pd.read_parquet(path, filters=[("service_id", "==", "rnd_057")])
    ends = raw["timestamp"] + pd.Timedelta("5min")
    hourly = raw.groupby(ends.dt.ceil("1h"))[["cpu_utilization", "network_in"]].agg(
        ["mean", "count"]
    )
    mine = frame[frame["service_id"] == "rnd_057"].set_index("event_timestamp")
    enough = hourly[hourly[("cpu_utilization", "count")] >= 6]
    got = mine.loc[enough.index]
    np.testing.assert_allclose(
        got["cpu_utilization"], enough[("cpu_utilization", "mean")], rtol=1e-4
    )
    np.testing.assert_allclose(
        got["network_in_mbps"], enough[("network_in", "mean")] * 0.008, rtol=1e-4
    )
    assert len(hourly) == len(mine)
