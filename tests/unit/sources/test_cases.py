"""Telemetry as it really comes: each file is read right, or refused with the way on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from optimizer.core.errors import SchemaError
from optimizer.core.schema import CPU, SERVICE, TIMESTAMP, metrics_of
from optimizer.quality.quarantine import split_rows
from optimizer.sources.resampling import common_step, resample
from optimizer.sources.table import TableTelemetry

CASES = Path(__file__).parents[2] / "cases"


def load(name: str, **arguments: Any) -> pd.DataFrame:
    return TableTelemetry(str(CASES / name), **arguments).fetch()


def assert_says(frame: pd.DataFrame, right: pd.DataFrame, *, atol: float = 1e-6) -> None:
    """Compare rows by key, and all metrics that both have; nothing more and nothing less."""
    both = right.astype({SERVICE: str}).merge(
        frame.astype({SERVICE: str}), on=[SERVICE, TIMESTAMP], how="outer", indicator=True
    )
    assert (both["_merge"] == "both").all()
    for name in set(metrics_of(frame)) & set(metrics_of(right)):
        np.testing.assert_allclose(
            both[f"{name}_y"], both[f"{name}_x"], rtol=1e-5, atol=atol, err_msg=name
        )


@pytest.fixture(scope="module")
def hourly() -> pd.DataFrame:
    return load("31-headers/Fleet.CSV")


@pytest.fixture(scope="module")
def quarters() -> pd.DataFrame:
    return load("more/00-plain.csv")


def test_the_right_values_are_what_the_file_says(hourly: pd.DataFrame) -> None:
    plain = pd.read_csv(CASES / "31-headers/Fleet.CSV", skipinitialspace=True)
    np.testing.assert_allclose(hourly[CPU], plain["cpu_utilization"], rtol=1e-6)
    assert hourly[SERVICE].tolist() == plain["Service_ID"].tolist()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("01-grafana-units/fleet.csv", {}),
        ("03-prom-json/range.json", {"value": CPU, "columns": {"service_id": "pod"}}),
        ("04-cw-json/metrics.json", {"value": CPU, "units": {"cpu": "percent"}}),
        ("07-semicolon/fleet.csv", {}),
        ("10-mixed-epoch/fleet.csv", {}),
        ("33-wide/fleet.csv", {"value": CPU}),
        ("35-preamble/fleet.csv", {}),
        ("37-newest-first/fleet.csv", {}),
        ("38-overlap", {}),
        ("43-bytes/fleet.csv", {"units": {"memory": "bytes"}}),
        (
            "44-odd-path/cols.csv",
            {"columns": {CPU: "CPU Usage (%)"}, "units": {"cpu": "percent"}},
        ),
        ("56-thousands/fleet.csv", {}),
        (
            "59-millicores/fleet.csv",
            {"units": {"cpu_capacity": "millicores", "memory_capacity": "mib"}},
        ),
        ("60-percent-errors/fleet.csv", {"units": {"error_rate": "percent", "latency": "s"}}),
        ("72-space-in-id/fleet.csv", {}),
        ("76-comment-line/fleet.csv", {}),
        ("79-excel-serial/fleet.csv", {}),
        ("80-day-first/fleet.csv", {"time_format": "%d/%m/%Y %H:%M"}),
        ("83-file-units", {"units": {"cpu": "auto"}}),
    ],
)
def test_it_says_what_the_plain_file_says(
    name: str, arguments: dict[str, Any], hourly: pd.DataFrame
) -> None:
    assert_says(load(name, **arguments), hourly, atol=6e-4)  # percent with a decimal


@pytest.mark.parametrize("word", ["None", "dash", "na", "null", "undefined"])
def test_words_for_a_missing_cell_are_missing(word: str, hourly: pd.DataFrame) -> None:
    frame = load(f"32-text-missing/{word}.csv")
    missing = frame["memory_utilization"].isna().to_numpy()
    assert 0 < missing.sum() < len(frame)
    assert_says(frame[~missing], hourly[~missing])
    np.testing.assert_allclose(frame[CPU], hourly[CPU], rtol=1e-6)


@pytest.mark.parametrize("missing", [[-1], ()])
def test_a_sentinel_costs_its_cell(missing: list[int], hourly: pd.DataFrame) -> None:
    split = split_rows(load("25-minus-one/fleet.csv", missing=missing))
    assert len(split.kept) == len(hourly)
    assert split.kept["memory_utilization"].isna().mean() == pytest.approx(0.026, abs=0.002)
    assert list(split.counts) == ([] if missing else ["out of range: memory_utilization"])
    np.testing.assert_allclose(split.kept[CPU], hourly[CPU], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("more/04-irregular-spaces.csv", {}),
        ("more/12-quantities.csv", {}),
        ("more/31-shuffled.csv", {}),
        ("more/32-tab.tsv", {}),
        (
            "more/01-grafana-wide-local-dst.csv",
            {"value": CPU, "timezone": "Europe/Berlin"},
        ),
    ],
)
def test_more_of_it_says_what_the_plain_file_says(
    name: str, arguments: dict[str, Any], quarters: pd.DataFrame
) -> None:
    assert_says(load(name, **arguments), quarters)


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("05-low-percent/fleet.csv", {}, r"all services.*percent.*data\.units\.cpu=percent"),
        ("43-bytes/fleet.csv", {}, r"looks like bytes.*data\.units\.memory=bytes"),
        ("59-millicores/fleet.csv", {}, r"4,000.*millicores.*data\.units\.cpu_capacity"),
        ("80-day-first/fleet.csv", {}, r"'01/03/2025 00:00' in row 1.*data\.time_format"),
        ("83-file-units", {}, r"b\.csv: column cpu_utilization.*all services.*percent"),
        (
            "84-one-exporter-percent/fleet.csv",
            {},
            r"service app-3 \(1 of 5 services\).*data\.units\.cpu=auto",
        ),
        ("33-wide/fleet.csv", {}, r"data\.value=cpu_utilization"),
        (
            "more/01-grafana-wide-local-dst.csv",
            {"value": CPU},
            r"hour from 2026-10-25 02:00:00 twice.*data\.timezone",
        ),
    ],
)
def test_it_is_refused_with_the_way_on(name: str, arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(SchemaError, match=told):
        load(name, **arguments)


def test_one_exporter_in_percent_is_told_by_itself() -> None:
    frame = load("84-one-exporter-percent/fleet.csv", units={"cpu": "auto"})
    means = frame.groupby(SERVICE, observed=True)[CPU].max()
    assert means["app-3"] == pytest.approx(0.17, abs=1e-3)
    assert means.drop("app-3").between(0.8, 1.0).all()


@pytest.mark.parametrize(
    ("name", "step", "services"),
    [("12-ha-same/offset20.csv", "2min", 3), ("more/30-mixed-steps.csv", "15min", 3)],
)
def test_services_of_several_steps_and_phases_keep_their_values(
    name: str, step: str, services: int
) -> None:
    frame = load(name)
    assert common_step(frame) == step
    for freq in (step, "30min"):
        slots = resample(frame, freq)
        assert slots[SERVICE].nunique() == services
        assert slots[CPU].notna().mean() > 0.9  # the first slot is cut
        means = slots.groupby(SERVICE, observed=True)[CPU].mean()
        right = frame.groupby(SERVICE, observed=True)[CPU].mean()
        np.testing.assert_allclose(means, right, rtol=0.01)


def test_replicas_of_a_collector_are_merged_only_if_it_is_said() -> None:
    assert set(split_rows(load("12-ha-same/fleet.csv")).counts) == {
        "duplicate key: service_id, event_timestamp"
    }
    merged = load("12-ha-same/fleet.csv", merge="mean")
    assert len(merged) == 450
    assert split_rows(merged).counts == {}


def test_pods_are_folded_into_their_workloads() -> None:
    assert load("16-pod-churn/fleet.csv")[SERVICE].nunique() == 21
    folded = load("16-pod-churn/fleet.csv", fold_pods=True)
    assert folded[SERVICE].unique().tolist() == ["shop-0", "shop-1", "shop-2"]
    pods = load(
        "more/08-pod-churn.csv",
        fold_pods=True,
        columns={SERVICE: ["namespace", "pod", "container"], CPU: "cpu_usage_cores"},
        units={"cpu": "fraction"},
    )
    assert pods[SERVICE].unique().tolist() == [f"shop/{n}/main" for n in ("api", "batch", "db")]


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("18-future-row/days.csv", "2025-03-01 00:00", "2025-03-10 23:00"),
        ("50-zero-time/fleet.csv", "2025-03-01 00:00", "2025-03-10 23:00"),
        ("50-zero-time/year1.csv", "2025-03-01 00:00", "2025-03-10 23:00"),
        ("more/24-future.csv", "2026-10-23 22:00", "2026-10-25 21:45"),
    ],
)
def test_rows_far_away_never_move_the_grid(name: str, first: str, last: str) -> None:
    split = split_rows(load(name))
    assert 1 <= len(split.quarantined) <= 3
    assert split.kept[TIMESTAMP].min() == pd.Timestamp(first, tz="UTC")
    assert split.kept[TIMESTAMP].max() == pd.Timestamp(last, tz="UTC")


def test_ids_are_what_they_were_before_they_became_numbers() -> None:
    assert load("23-int-ids/floats.parquet")[SERVICE].unique().tolist() == ["1001", "1002", "1003"]
    whole = load("23-int-ids/fleet.parquet")[SERVICE].unique().tolist()
    assert whole == ["12", "9007199254740992", "9007199254740993"]


def test_one_name_in_two_places_is_two_services(hourly: pd.DataFrame) -> None:
    pods = load("28-prom-labels/fleet.csv", columns={SERVICE: "pod", "cluster_id": "namespace"})
    assert pods[SERVICE].unique().tolist() == ["pay/api", "shop/api", "web"]
    joined = load("28-prom-labels/fleet.csv", columns={SERVICE: ["namespace", "pod"]})
    assert joined[SERVICE].unique().tolist() == ["pay/api", "shop/api", "shop/web"]
    np.testing.assert_allclose(joined[CPU], hourly[CPU], rtol=1e-6)
    clusters = load("29-same-name-two-clusters/fleet.csv")
    means = clusters.groupby(SERVICE, observed=True)[CPU].agg(["mean", "size"])
    assert means.index.tolist() == ["db", "prod/api", "staging/api", "web"]
    assert means.loc["staging/api", "mean"] < 0.05 < means.loc["prod/api", "mean"]
    assert (means["size"] == 240).all()


def test_usage_above_capacity_is_believed_and_said(caplog: pytest.LogCaptureFixture) -> None:
    frame = load("15b-above-capacity/fleet.csv")
    assert frame[CPU].max() > 2
    assert "burst/above-limit has a median of 1.17, above its whole capacity" in caplog.text


def test_units_that_only_look_wrong_are_said(caplog: pytest.LogCaptureFixture) -> None:
    load("60-percent-errors/fleet.csv")
    assert "latency_ms has a median" in caplog.text
    assert "looks like seconds: set data.units.latency=s" in caplog.text
    assert "looks like percent: set data.units.error_rate=percent" in caplog.text


def test_a_job_that_runs_twice_a_day_keeps_its_rows(quarters: pd.DataFrame) -> None:
    frame = load("more/10-cronjob.csv")
    assert common_step(frame) is None
    counts = frame[SERVICE].value_counts()
    assert counts.min() == 4
    keys = quarters.set_index([SERVICE, TIMESTAMP])[CPU]
    rows = frame[frame[SERVICE] == counts.idxmin()]
    assert set(rows[TIMESTAMP]) <= set(keys.index.get_level_values(1))
