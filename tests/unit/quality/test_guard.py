"""The guard end to end: limits, severities, report and files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optimizer.core.errors import ConfigError, DataQualityError, SchemaError
from optimizer.core.schema import CLUSTER, CPU, MEMORY, SERVICE, TIMESTAMP
from optimizer.quality.guard import TelemetryGuard
from optimizer.quality.inspection import inspect_telemetry
from optimizer.quality.report import Check, QualityReport, show
from optimizer.quality.spec import SEVERITIES
from optimizer.quality.suite import build_suite


def make_frame(services: int = 4, steps: int = 50) -> pd.DataFrame:
    stamps = pd.date_range("2026-01-01", periods=steps, freq="1h", tz="UTC")
    rows = services * steps
    return pd.DataFrame(
        {
            SERVICE: pd.Categorical(np.repeat([f"s{i}" for i in range(services)], steps)),
            CLUSTER: pd.Categorical(["c"] * rows),
            TIMESTAMP: np.tile(stamps, services),
            CPU: np.linspace(0.1, 0.9, rows, dtype=np.float32),
            MEMORY: np.full(rows, 0.5, dtype=np.float32),
        }
    ).astype({TIMESTAMP: "datetime64[us, UTC]"})


def failed(report: QualityReport) -> set[str]:
    return {check.name for check in report.checks if not check.passed}


def test_validate_clean_frame_passes_every_check_in_silence(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("INFO")
    report = TelemetryGuard().validate(make_frame())
    assert caplog.text == ""
    assert "".join(capsys.readouterr()) == ""
    assert report.success
    assert failed(report) == set()
    assert {check.name for check in report.checks} == set(SEVERITIES)
    assert (report.n_rows, report.n_quarantined) == (200, 0)


@pytest.mark.parametrize(("n_bad", "passes"), [(2, True), (3, False)])
def test_validate_share_of_quarantined_rows_decides_at_one_percent(
    n_bad: int, passes: bool
) -> None:
    frame = make_frame()
    frame.loc[: n_bad - 1, CPU] = np.inf  # 2 of 200 rows are exactly 1 %
    report = TelemetryGuard().validate(frame)
    assert report.success is passes
    assert failed(report) == (set() if passes else {"quarantined"})
    assert report.quarantined_by_reason == {f"infinite: {CPU}": n_bad}


def test_validate_percent_is_told_before_everything_else() -> None:
    frame = make_frame()
    frame[CPU] *= np.float32(120)  # some rows pass 100 and are out of range, too
    report = TelemetryGuard().validate(frame)
    assert failed(report) == {"percent_suspected", "quarantined", "above_capacity"}
    with pytest.raises(DataQualityError, match=r"percent_suspected\[cpu_utilization\]") as caught:
        report.raise_on_error()
    assert "data.units.cpu=percent" in caught.value.fix
    assert "quarantined[rows]" in str(caught.value.seen)


def test_validate_order_of_rows_is_no_fault() -> None:
    assert failed(TelemetryGuard().validate(make_frame().iloc[::-1])) == set()


def test_validate_a_fraction_with_a_median_above_one_is_never_silent() -> None:
    frame = make_frame()
    frame.loc[:49, CPU] = np.float32(1.2)
    report = TelemetryGuard().validate(frame)
    assert failed(report) == {"above_capacity"}
    assert report.success
    assert "1 of 4 services above, highest 1 (s0)" in report.summary()


def test_validate_many_broken_values_stop_the_run() -> None:
    frame = make_frame()
    frame.loc[:49, MEMORY] = np.float32(-1.0)
    report = TelemetryGuard().validate(frame)
    assert failed(report) == {"broken_values", "missing"}
    with pytest.raises(DataQualityError, match=r"data\.missing"):
        report.raise_on_error()


def test_validate_a_grid_of_rows_far_apart_is_refused_before_it_is_made() -> None:
    frame = make_frame(services=4, steps=300)
    far = frame.assign(**{TIMESTAMP: frame[TIMESTAMP] - pd.Timedelta("20000D")})
    frame = pd.concat([frame, far], ignore_index=True).astype(frame.dtypes)
    assert failed(TelemetryGuard(max_steps=10_000).validate(frame)) >= {"grid"}
    assert "grid[services]" in str([c.title for c in TelemetryGuard().validate(frame).errors])


def test_validate_warnings_do_not_stop_the_run() -> None:
    frame = make_frame().drop(index=range(60, 90))  # s1 is away for 30 h of 50
    frame = frame.drop(index=range(120, 150))  # s2 ends 30 h early
    frame.loc[:49, MEMORY] = np.nan  # 50 of 140 rows
    report = TelemetryGuard().validate(frame)
    assert failed(report) == {"gaps", "absent_rows", "staleness", "missing"}
    assert report.success
    report.raise_on_error()
    assert "1 of 4 services above, highest 30 (s1)" in report.summary()


def test_validate_severity_set_to_error_stops_the_run() -> None:
    frame = make_frame().drop(index=range(60, 90))
    report = TelemetryGuard(severities={"gaps": "error"}).validate(frame)
    with pytest.raises(DataQualityError, match="gaps"):
        report.raise_on_error()


def test_validate_metric_without_values_is_missing_not_out_of_range() -> None:
    frame = make_frame().assign(**{MEMORY: np.float32(np.nan)})
    assert failed(TelemetryGuard().validate(frame)) == {"missing"}
    unobserved = make_frame().assign(**{CPU: np.float32(np.nan)})
    assert failed(TelemetryGuard().validate(unobserved)) == {"missing", "cpu_observed"}


def test_validate_fewer_services_than_wanted_fail() -> None:
    assert failed(TelemetryGuard().validate(make_frame(services=1))) == set()
    wanted = TelemetryGuard(min_services=2)
    assert failed(wanted.validate(make_frame(services=1))) == {"service_count"}


def test_validate_empty_frame_fails_on_its_rows() -> None:
    report = TelemetryGuard().validate(make_frame().iloc[:0])
    with pytest.raises(DataQualityError, match=r"row_count\[rows\]: got 0 "):
        report.raise_on_error()


def test_validate_text_where_numbers_are_due_is_a_schema_error() -> None:
    frame = make_frame().assign(**{CPU: "high"})
    with pytest.raises(SchemaError, match="cpu_utilization"):
        TelemetryGuard().validate(frame)


def test_inspect_telemetry_writes_report_quarantine_and_docs(tmp_path: Path) -> None:
    frame = make_frame()
    frame.loc[7, CPU] = np.inf
    kept, report = inspect_telemetry(frame, TelemetryGuard(), tmp_path)
    assert len(kept) == 200
    assert np.flatnonzero(kept[CPU].isna()).tolist() == [7]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "data_docs",
        "quality.json",
        "quarantine.parquet",
    ]
    written = json.loads((tmp_path / "quality.json").read_text())
    assert QualityReport.from_dict(written) == report
    rows = pd.read_parquet(tmp_path / "quarantine.parquet")
    assert rows["reason"].tolist() == [f"infinite: {CPU}"]
    assert list(rows.columns) == [*frame.columns, "reason"]
    inspect_telemetry(make_frame(), TelemetryGuard(), tmp_path)
    assert not (tmp_path / "quarantine.parquet").exists()


def test_inspect_telemetry_failed_run_leaves_its_report(tmp_path: Path) -> None:
    frame = make_frame()
    frame.loc[:20, CPU] = -1.0
    with pytest.raises(DataQualityError, match=r"quality\.json") as caught:
        inspect_telemetry(frame, TelemetryGuard(), tmp_path / "quality")
    assert "quality.max_quarantined" in caught.value.allowed
    assert f"21 out of range: {CPU}" in str(caught.value.seen)
    assert not json.loads((tmp_path / "quality/quality.json").read_text())["success"]
    index = (tmp_path / "quality/data_docs/index.html").read_text()
    assert '<span class="badge failed">failed</span>' in index


def test_write_docs_pages_render_offline_and_links_resolve(tmp_path: Path) -> None:
    inspect_telemetry(make_frame(), TelemetryGuard(), tmp_path)
    pages = list((tmp_path / "data_docs").rglob("*.html"))
    assert len(pages) == 9  # the index, and a suite and a result for each of four frames
    for page in pages:
        html = page.read_text(encoding="utf-8")
        assert not re.search(r"<(script|link|img)\b", html), page
        assert "<style>" in html
        for link in re.findall(r'href="([^"#:]+)"', html):
            assert (page.parent / link).exists(), f"{page.name} -> {link}"
    assert any("must be less than or equal to" in page.read_text() for page in pages)


def test_build_suite_follows_the_columns() -> None:
    limits = TelemetryGuard().limits
    columns = (SERVICE, CLUSTER, TIMESTAMP, CPU)
    small = build_suite(columns, (CPU,), limits)
    large = build_suite((*columns, MEMORY), (CPU, MEMORY), limits)
    added = [e.check for e in large if e.subject == MEMORY]
    assert sorted(added) == [
        "broken_values", "missing", "percent_suspected", "types", "value_range", "value_range",
    ]  # fmt: skip
    assert len(large) == len(small) + len(added)
    assert not [e for e in small if e.subject == MEMORY]


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"max_quarantined": 1.5}, "quality.max_quarantined"),
        ({"max_missing": -0.1}, "quality.max_missing"),
        ({"max_quarantined": "much"}, "quality.max_quarantined"),
        ({"max_gap": "soon"}, "quality.max_gap"),
        ({"max_staleness": "-1h"}, "quality.max_staleness"),
        ({"percent_suspected_above": 0}, "quality.percent_suspected_above"),
        ({"min_services": 0}, "quality.min_services"),
        ({"severities": {"gap": "error"}}, "quality.severities"),
        ({"severities": {"gaps": "fatal"}}, "quality.severities.gaps"),
    ],
)
def test_guard_wrong_value_names_the_key(arguments: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TelemetryGuard(**arguments)  # type: ignore[arg-type]
    assert caught.value.offender == key


def test_report_summary_tells_warnings_and_reasons() -> None:
    check = Check("gaps", "largest_gap_hours", "warning", False, "1 of 2", "none", "wait")
    report = QualityReport(
        True, 1000, 5, {"infinite: cpu": 5}, {"infinite: cpu": {"web": 4, "db": 1}}, (check,)
    )
    text = report.summary()
    assert "1,000 rows, 5 quarantined" in text
    assert "quarantined 5: infinite: cpu (most of 'web': 4, 'db': 1)" in text
    assert "warning gaps[largest_gap_hours]: 1 of 2 (allowed: none)" in text
    assert QualityReport.from_dict(json.loads(json.dumps(report.to_dict()))) == report


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "nothing observed"), (200000.0, "200,000"), (0.123456, "0.1235"), ("a", "a")],
)
def test_show_observed_value_is_short(value: float | str | None, text: str) -> None:
    assert show(value) == text
