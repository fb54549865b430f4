"""Bitbrains, PlanetLab and NAB in their native layouts."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optimizer.core.errors import ConfigError, SchemaError, SourceError
from optimizer.sources.table import TableTelemetry
from optimizer.sources.traces.bitbrains import BitbrainsTelemetry
from optimizer.sources.traces.nab import NabTelemetry
from optimizer.sources.traces.planetlab import PlanetlabTelemetry

DATA = Path(__file__).resolve().parents[3].parent / "shared/data"
needs_traces = pytest.mark.skipif(not DATA.is_dir(), reason="the real traces are not here")
HEADER = ";\t".join(
    (
        "Timestamp [ms]",
        "CPU cores",
        "CPU capacity provisioned [MHZ]",
        "CPU usage [MHZ]",
        "CPU usage [%]",
        "Memory capacity provisioned [KB]",
        "Memory usage [KB]",
        "Disk read throughput [KB/s]",
        "Disk write throughput [KB/s]",
        "Network received throughput [KB/s]",
        "Network transmitted throughput [KB/s]",
    )
)
MIDNIGHT = 1735689600  # 2025-01-01T00:00Z


def bitbrains_row(seconds: float, used: str = "1300.0", memory: float = 2097152.0) -> str:
    cells = (seconds, 2, 2600.0, used, 50.0, memory, 1048576.0, 125.0, 250.0, 1000.0, 1.0)
    return ";\t".join(map(str, cells))


def bitbrains(folder: Path, vms: dict[str, list[str]]) -> str:
    for name, lines in vms.items():
        (folder / f"{name}.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    return str(folder)


def drifting(count: int = 4) -> list[str]:
    return [bitbrains_row(MIDNIGHT + 300 * i + 4 + i) for i in range(count)]


def test_bitbrains_hand_picked_row(tmp_path: Path) -> None:
    source = BitbrainsTelemetry(bitbrains(tmp_path, {"1": drifting(), "2": drifting()}))
    frame = source.fetch()
    first = frame.iloc[0]
    assert source.name == "bitbrains"
    assert frame["service_id"].unique().tolist() == ["1", "2"]
    assert first["event_timestamp"] == pd.Timestamp("2025-01-01T00:05Z")  # start 00:00:04
    assert first["cpu_utilization"] == pytest.approx(0.5)  # 1300 / 2600 MHz
    assert first["memory_utilization"] == pytest.approx(0.5)
    assert first["memory_capacity_gib"] == pytest.approx(2.0)
    assert first["cpu_capacity_cores"] == 2
    assert first["disk_read_mbps"] == pytest.approx(1.0)
    assert first["disk_write_mbps"] == pytest.approx(2.0)
    assert first["network_in_mbps"] == pytest.approx(8.0)
    assert first["network_out_mbps"] == pytest.approx(0.008)


def test_bitbrains_milliseconds_are_recognised(tmp_path: Path) -> None:
    lines = [bitbrains_row((MIDNIGHT + 300 * i) * 1000) for i in range(3)]
    frame = BitbrainsTelemetry(bitbrains(tmp_path, {"1": lines, "2": lines})).fetch()
    assert frame["event_timestamp"].min() == pd.Timestamp("2025-01-01T00:05Z")


def test_bitbrains_clock_end_is_raised_to_the_grid(tmp_path: Path) -> None:
    path = bitbrains(tmp_path, {"1": drifting(), "2": drifting()})
    frame = BitbrainsTelemetry(path, clock="end").fetch()
    assert frame["event_timestamp"].min() == pd.Timestamp("2025-01-01T00:05Z")  # end 00:00:04


def test_bitbrains_two_rows_in_a_slot_keep_the_last(tmp_path: Path) -> None:
    lines = [bitbrains_row(MIDNIGHT), bitbrains_row(MIDNIGHT + 299, "2600.0"), *drifting()[1:]]
    frame = BitbrainsTelemetry(bitbrains(tmp_path, {"1": lines, "2": drifting()})).fetch()
    one = frame[frame["service_id"] == "1"]
    assert len(one) == 4
    assert one["cpu_utilization"].iloc[0] == pytest.approx(1.0)


def test_bitbrains_no_capacity_is_unknown_not_infinite(tmp_path: Path) -> None:
    lines = [bitbrains_row(MIDNIGHT, memory=0.0), *drifting()[1:]]
    frame = BitbrainsTelemetry(bitbrains(tmp_path, {"1": lines, "2": drifting()})).fetch()
    assert np.isnan(frame["memory_utilization"].iloc[0])


def test_bitbrains_missing_column_text_and_any_order(tmp_path: Path) -> None:
    path = bitbrains(tmp_path, {"1": drifting(), "2": [bitbrains_row(MIDNIGHT, "idle")]})
    with pytest.raises(
        SchemaError, match=r"2\.csv: column CPU usage \[MHZ\]: got text 'idle' in row 1"
    ):
        BitbrainsTelemetry(path).fetch()
    bitbrains(tmp_path, {"2": drifting()[::-1]})
    assert len(BitbrainsTelemetry(path).fetch()) == 2 * len(drifting())
    (tmp_path / "2.csv").write_text("a;b\n1;2\n")
    with pytest.raises(SchemaError, match=r"column Timestamp \[ms\], CPU cores"):
        BitbrainsTelemetry(path).fetch()


def test_bitbrains_one_vm_is_read(tmp_path: Path) -> None:
    assert len(BitbrainsTelemetry(bitbrains(tmp_path, {"1": drifting()})).fetch()) > 0


def test_bitbrains_fingerprint_follows_content(tmp_path: Path) -> None:
    source = BitbrainsTelemetry(bitbrains(tmp_path, {"1": drifting(), "2": drifting()}))
    first = source.snapshot_id()
    bitbrains(tmp_path, {"2": drifting(5)})
    assert source.snapshot_id() != first


@needs_traces
def test_bitbrains_native_vm_equals_the_gridded_trace() -> None:
    mine = BitbrainsTelemetry(str(DATA / "raw/bitbrains")).fetch()
    theirs = TableTelemetry(str(DATA / "bitbrains_rnd.parquet")).fetch()
    left = mine[mine["service_id"] == "57"].set_index("event_timestamp")
    right = theirs[theirs["service_id"] == "rnd_057"].set_index("event_timestamp")
    names = [n for n in left.columns if n not in ("service_id", "cluster_id")]
    assert len(left) == 8253
    pd.testing.assert_frame_equal(left[names], right.loc[left.index, names], rtol=1e-5)


def planetlab(folder: Path, day: str, nodes: dict[str, list[object]]) -> None:
    (folder / day).mkdir(exist_ok=True)
    for name, lines in nodes.items():
        (folder / day / name).write_text("\n".join(map(str, lines)))


def test_planetlab_days_and_percent(tmp_path: Path) -> None:
    planetlab(tmp_path, "20110303", {"n1": [0, 50, 100], "n2": [7, 8, 9]})
    planetlab(tmp_path, "20110306", {"n1": [25, 25, 25]})
    frame = PlanetlabTelemetry(str(tmp_path)).fetch()
    one = frame[frame["service_id"] == "n1"]
    np.testing.assert_allclose(one["cpu_utilization"], [0, 0.5, 1, 0.25, 0.25, 0.25])
    assert one["event_timestamp"].iloc[0] == pd.Timestamp("2011-03-03T00:05Z")
    assert one["event_timestamp"].iloc[3] == pd.Timestamp("2011-03-06T00:05Z")
    ends = PlanetlabTelemetry(str(tmp_path / "20110303"), clock="end").fetch()
    assert ends["event_timestamp"].min() == pd.Timestamp("2011-03-03T00:00Z")


def test_planetlab_text_and_wrong_folder(tmp_path: Path) -> None:
    planetlab(tmp_path, "20110303", {"n1": [1, 2], "n2": [3, "idle"]})
    with pytest.raises(SchemaError, match=r"n2: line 2: got text 'idle'"):
        PlanetlabTelemetry(str(tmp_path)).fetch()
    planetlab(tmp_path, "march", {"n3": [1]})
    with pytest.raises(SourceError, match="a folder called march"):
        PlanetlabTelemetry(str(tmp_path)).fetch()


def test_planetlab_fingerprint_follows_the_day(tmp_path: Path) -> None:
    planetlab(tmp_path, "20110303", {"n1": [1, 2], "n2": [3, 4]})
    first = PlanetlabTelemetry(str(tmp_path)).snapshot_id()
    (tmp_path / "20110303").rename(tmp_path / "20110304")
    assert PlanetlabTelemetry(str(tmp_path)).snapshot_id() != first


@needs_traces
def test_planetlab_native_nodes_equal_the_table() -> None:
    mine = PlanetlabTelemetry(str(DATA / "raw/planetlab")).fetch()
    theirs = TableTelemetry(str(DATA / "planetlab.parquet")).fetch()
    both = mine.merge(theirs, on=["service_id", "event_timestamp"])
    assert len(both) == 6048
    np.testing.assert_array_equal(both["cpu_utilization_x"], both["cpu_utilization_y"])


def nab(folder: Path, names: tuple[str, ...], windows: bool = True) -> str:
    times = pd.date_range("2014-02-14 14:27", periods=6, freq="5min")
    for name in names:
        values = pd.DataFrame({"timestamp": times, "value": [10.0, 20, 30, 40, 50, 60]})
        values.to_csv(folder / f"{name}.csv", index=False)
    if windows:
        held = {
            "realAWSCloudwatch/ec2_cpu_1.csv": [
                ["2014-02-14 14:32:00.000000", "2014-02-14 14:42:00.000000"]
            ],
            "realAWSCloudwatch/rds_cpu_2.csv": [],
        }
        (folder / "combined_windows.json").write_text(json.dumps(held))
    return str(folder)


def test_nab_percent_windows_and_phase(tmp_path: Path) -> None:
    frame = NabTelemetry(nab(tmp_path, ("ec2_cpu_1", "rds_cpu_2"))).fetch()
    one = frame[frame["service_id"] == "ec2_cpu_1"]
    np.testing.assert_allclose(one["cpu_utilization"], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], rtol=1e-6)
    assert one["is_anomaly"].tolist() == [0, 1, 1, 1, 0, 0]  # both ends of the window included
    assert frame["is_anomaly"].sum() == 3
    # start 14:27, end 14:32, knowable on the grid at 14:35
    assert one["event_timestamp"].iloc[0] == pd.Timestamp("2014-02-14T14:35Z")
    assert set(frame["cluster_id"]) == {"ec2", "rds"}


def test_nab_other_metrics_are_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = nab(tmp_path, ("ec2_cpu_1", "rds_cpu_2", "ec2_disk_write_bytes_1ef3de"))
    with caplog.at_level(logging.INFO):
        assert NabTelemetry(path).fetch()["service_id"].nunique() == 2
    assert "skipped, not CPU: ec2_disk_write_bytes_1ef3de.csv" in caplog.text


def test_nab_without_windows_has_no_anomaly_column(tmp_path: Path) -> None:
    frame = NabTelemetry(nab(tmp_path, ("ec2_cpu_1", "rds_cpu_2"), windows=False)).fetch()
    assert "is_anomaly" not in frame.columns


def test_nab_labels_are_found_beside_the_data_and_count_in_the_fingerprint(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "realAWSCloudwatch"
    folder.mkdir(parents=True)
    source = NabTelemetry(nab(folder, ("ec2_cpu_1", "rds_cpu_2")))
    (tmp_path / "labels").mkdir()
    (folder / "combined_windows.json").rename(tmp_path / "labels" / "combined_windows.json")
    assert source.fetch()["is_anomaly"].sum() == 3
    first = source.snapshot_id()
    (tmp_path / "labels" / "combined_windows.json").write_text("{}")
    assert source.snapshot_id() != first


def test_nab_user_errors(tmp_path: Path) -> None:
    path = nab(tmp_path, ("ec2_cpu_1", "rds_cpu_2"))
    with pytest.raises(SourceError, match=r"data\.labels=.*no such file"):
        NabTelemetry(path, labels=str(tmp_path / "none.json")).fetch()
    (tmp_path / "bad.json").write_text("[1]")
    with pytest.raises(SourceError, match=r"data\.labels: .*unreadable"):
        NabTelemetry(path, labels=str(tmp_path / "bad.json")).fetch()
    (tmp_path / "rds_cpu_2.csv").write_text("when,value\n1,2\n")
    with pytest.raises(SchemaError, match="column timestamp"):
        NabTelemetry(path).fetch()
    (tmp_path / "rds_cpu_2.csv").unlink()
    assert NabTelemetry(path).fetch()["service_id"].unique().tolist() == ["ec2_cpu_1"]
    (tmp_path / "ec2_cpu_1.csv").rename(tmp_path / "latency.csv")
    with pytest.raises(SourceError, match="none with cpu in its name"):
        NabTelemetry(path).fetch()


@needs_traces
def test_nab_native_equals_the_table() -> None:
    mine = NabTelemetry(str(DATA / "raw/nab")).fetch()
    theirs = TableTelemetry(str(DATA / "nab_cloudwatch.parquet")).fetch()
    names = ["service_id", "event_timestamp", "cpu_utilization", "is_anomaly"]
    both = mine[names].merge(theirs[names], on=names[:2])
    assert len(both) == len(mine) == 40320
    np.testing.assert_allclose(both["cpu_utilization_x"], both["cpu_utilization_y"], rtol=1e-5)
    np.testing.assert_array_equal(both["is_anomaly_x"], both["is_anomaly_y"])


@pytest.mark.parametrize("source", [BitbrainsTelemetry, PlanetlabTelemetry, NabTelemetry])
def test_native_sources_share_their_checks(source: type, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        source(str(tmp_path / "absent")).fetch()
    with pytest.raises(ConfigError, match=r"data\.clock"):
        source(str(tmp_path), clock="noon")
    with pytest.raises(ConfigError, match=r"data\.freq"):
        source(str(tmp_path), freq="sometimes")
    assert source("x", name="mine").name == "mine"
