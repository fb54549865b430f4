"""The Azure Public Dataset's VM traces, rows in exactly the published layout."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optimizer.core.errors import ConfigError, SchemaError, SourceError
from optimizer.sources.traces.azure_vm import AzureVmTelemetry

# vm id, subscription id, deployment id, created, deleted, max, avg, p95 max, category, cores, GB
V1_TABLE = """\
x/XsOfHO4ocsV99i4NluqKDuxctW2MMVmwqOPAlg4wp8mqbBOe3wxBlQo0+Qx+uf,sub1==,dep1+/,0,2591700,99.369869,3.424094,10.194309,Delay-insensitive,1,1.75
H5CxmMoVcZSpjgGbohnVA3R+7uCTe/hM2ht2uIYi3t7KwXB9fVTC1oc/tNtPkPJN,sub1==,dep2+/,0,900,100,0.5,90.1,Interactive,4,7
third,sub2==,dep2+/,300,1500,10,5,9,Unknown,8,56
"""
V2_TABLE = """\
x/XsOfHO4ocsV99i4NluqKDuxctW2MMVmwqOPAlg4wp8mqbBOe3wxBlQo0+Qx+uf,sub1==,dep1+/,0,2591700,99.369869,3.424094,10.194309,Delay-insensitive,2,4
H5CxmMoVcZSpjgGbohnVA3R+7uCTe/hM2ht2uIYi3t7KwXB9fVTC1oc/tNtPkPJN,sub1==,dep2+/,0,900,100,0.5,90.1,Interactive,>24,>64
third,sub2==,dep2+/,300,1500,10,5,9,Unknown,&gt;24,&gt;64
"""
FIRST = "x/XsOfHO4ocsV99i4NluqKDuxctW2MMVmwqOPAlg4wp8mqbBOe3wxBlQo0+Qx+uf"
SECOND = "H5CxmMoVcZSpjgGbohnVA3R+7uCTe/hM2ht2uIYi3t7KwXB9fVTC1oc/tNtPkPJN"
# timestamp, vm id, min cpu, max cpu, avg cpu
READINGS_1 = f"""\
0,{FIRST},1.0,40.5,20.25
0,{SECOND},0,5,2
300,{FIRST},2.0,50,25
300,{SECOND},0,5,2.5
300,third,1,3,2
300,unknown,1,3,2
"""
READINGS_2 = f"""\
600,{FIRST},3.0,60,30
600,{SECOND},0,5,3
600,third,1,3,2
"""


def trace(folder: Path, table: str = V1_TABLE, packed: bool = False) -> str:
    files = {
        "vmtable/vmtable.csv": table,
        "vm_cpu_readings/vm_cpu_readings-file-1-of-125.csv": READINGS_1,
        "vm_cpu_readings/vm_cpu_readings-file-2-of-125.csv": READINGS_2,
        "deployment/deployment.csv": "dep1+/,1\n",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if packed:
            path.with_suffix(".csv.gz").write_bytes(gzip.compress(text.encode()))
        else:
            path.write_text(text)
    return str(folder)


def of(frame: pd.DataFrame, service: str) -> pd.DataFrame:
    return frame[frame["service_id"] == service].reset_index(drop=True)


@pytest.mark.parametrize("packed", [False, True])
def test_load_v1_rows(tmp_path: Path, packed: bool) -> None:
    source = AzureVmTelemetry(trace(tmp_path, packed=packed))
    frame = source.fetch()
    assert source.name == "azure_vm"
    assert set(frame["service_id"]) == {FIRST, SECOND, "third"}
    first = of(frame, FIRST)
    np.testing.assert_allclose(first["cpu_utilization"], [0.2025, 0.25, 0.30], rtol=1e-6)
    assert first["event_timestamp"].tolist() == list(
        pd.date_range("2016-11-16T00:05Z", periods=3, freq="5min")
    )
    assert first["cpu_capacity_cores"].tolist() == [1.0] * 3
    assert first["memory_capacity_gib"].tolist() == [1.75] * 3
    assert set(first["cluster_id"]) == {"dep1+/"}
    assert set(of(frame, SECOND)["cluster_id"]) == {"dep2+/"}
    assert of(frame, "third")["memory_capacity_gib"].tolist() == [56.0] * 2


@pytest.mark.parametrize("packed", [False, True])
def test_load_v2_open_buckets_are_their_lower_bound(tmp_path: Path, packed: bool) -> None:
    frame = AzureVmTelemetry(trace(tmp_path, V2_TABLE, packed), start="2019-05-01").fetch()
    assert of(frame, FIRST)["cpu_capacity_cores"].iloc[0] == 2
    assert of(frame, FIRST)["memory_capacity_gib"].iloc[0] == 4
    for name in (SECOND, "third"):
        assert of(frame, name)["cpu_capacity_cores"].iloc[0] == 24
        assert of(frame, name)["memory_capacity_gib"].iloc[0] == 64
    assert frame["event_timestamp"].min() == pd.Timestamp("2019-05-01T00:05Z")


@pytest.mark.parametrize(("reading", "value"), [("min", 0.01), ("max", 0.405), ("avg", 0.2025)])
def test_load_reading_chooses_the_column(tmp_path: Path, reading: str, value: float) -> None:
    frame = AzureVmTelemetry(trace(tmp_path), reading=reading).fetch()
    assert of(frame, FIRST)["cpu_utilization"].iloc[0] == pytest.approx(value)


def test_load_cluster_can_be_the_subscription(tmp_path: Path) -> None:
    frame = AzureVmTelemetry(trace(tmp_path), cluster="subscription").fetch()
    assert set(of(frame, SECOND)["cluster_id"]) == {"sub1=="}
    assert set(of(frame, "third")["cluster_id"]) == {"sub2=="}


def test_load_max_vms_keeps_the_longest_lived(tmp_path: Path) -> None:
    frame = AzureVmTelemetry(trace(tmp_path), max_vms=2).fetch()
    assert set(frame["service_id"]) == {FIRST, "third"}  # 900 s is shorter than 1200 s


def test_load_clock_end_adds_no_step(tmp_path: Path) -> None:
    frame = AzureVmTelemetry(trace(tmp_path), clock="end").fetch()
    assert frame["event_timestamp"].min() == pd.Timestamp("2016-11-16T00:00Z")


def test_load_files_come_in_their_number_order(tmp_path: Path) -> None:
    path = trace(tmp_path)
    readings = tmp_path / "vm_cpu_readings"
    (readings / "vm_cpu_readings-file-10-of-125.csv").write_text(f"900,{FIRST},1,2,1.5\n")
    frame = AzureVmTelemetry(path).fetch()
    assert of(frame, FIRST)["cpu_utilization"].iloc[-1] == pytest.approx(0.015)


def test_load_text_names_file_column_and_value(tmp_path: Path) -> None:
    path = trace(tmp_path)
    file = tmp_path / "vm_cpu_readings/vm_cpu_readings-file-2-of-125.csv"
    file.write_text(READINGS_2.replace(",30\n", ",much\n"))
    with pytest.raises(SchemaError, match=r"file-2-of-125\.csv: column avg cpu: got text 'much'"):
        AzureVmTelemetry(path).fetch()
    file.write_text("timestamp,vm id,min cpu,max cpu,avg cpu\n" + READINGS_2)
    with pytest.raises(SchemaError, match=r"column timestamp: got text 'timestamp'.*no header"):
        AzureVmTelemetry(path).fetch()


def test_one_text_in_the_table_costs_its_cell(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame = AzureVmTelemetry(trace(tmp_path, V1_TABLE.replace(",8,56", ",many,56"))).fetch()
    assert frame.groupby("service_id", observed=True)["cpu_capacity_cores"].count().min() == 0
    assert "text 'many' in row 3" in caplog.text


def test_readings_come_in_any_order(tmp_path: Path) -> None:
    path = trace(tmp_path)
    straight = AzureVmTelemetry(path).fetch()
    for file in (tmp_path / "vm_cpu_readings").glob("*.csv"):
        file.write_text("\n".join(reversed(file.read_text().splitlines())) + "\n")
    pd.testing.assert_frame_equal(AzureVmTelemetry(path).fetch(), straight)


def test_load_missing_parts(tmp_path: Path) -> None:
    path = trace(tmp_path)
    (tmp_path / "vmtable/vmtable.csv").unlink()
    with pytest.raises(SourceError, match="0 vmtable and 2 vm_cpu_readings files"):
        AzureVmTelemetry(path).fetch()
    with pytest.raises(SourceError, match="no such file"):
        AzureVmTelemetry(str(tmp_path / "absent")).snapshot_id()


def test_no_vm_with_readings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no row of telemetry"):
        AzureVmTelemetry(trace(tmp_path, "x" + V1_TABLE.splitlines()[0] + "\n")).fetch()


def test_fingerprint_follows_the_readings(tmp_path: Path) -> None:
    source = AzureVmTelemetry(trace(tmp_path))
    first = source.snapshot_id()
    file = tmp_path / "vm_cpu_readings/vm_cpu_readings-file-2-of-125.csv"
    file.write_text(READINGS_2 + "900,third,1,3,2\n")
    assert source.snapshot_id() != first


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("reading", "p95"),
        ("cluster", "rack"),
        ("max_vms", 1),
        ("start", "then"),
        ("clock", "noon"),
        ("freq", "0s"),
        ("path", ""),
    ],
)
def test_constructor_wrong_value_names_its_key(argument: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"data.{argument}"):
        AzureVmTelemetry(**({"path": "x"} | {argument: value}))  # type: ignore[arg-type]
