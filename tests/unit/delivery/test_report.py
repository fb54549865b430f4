"""The report's page and tables: figures by hand, nothing loaded, nothing a user wrote runs."""

# ruff: noqa: RUF001 (the minus sign and the dash of missing values are typographic on purpose)

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from optimizer.core.errors import SchemaError
from optimizer.delivery.report.plots import decimate, plot_risks, plot_service
from optimizer.delivery.report.report import ReportContext, write_report
from optimizer.delivery.report.tables import FIELDS, write_tables
from optimizer.delivery.report.view_model import (
    build_rows,
    build_tiles,
    format_risk,
    money,
    percent,
    pick_services,
    quantity,
    risk_level,
)
from optimizer.demand.usage import CPU, Usage
from optimizer.evaluation.plots.coverage import plot_promises

NAN = float("nan")
NASTY = "<script>alert('x')</script>&\"$a_b$"
VOID = {"meta", "link", "img", "input", "br"}
DRIVERS = ("max 24h = 3.2 cores", "P99 7d = 3 cores", "hour < 6")
ROWS = (
    # service, resource, current, target, low, high, action, finding, exceedance, risk, saving
    ("a", "cpu", 4.0, 2.0, 1.0, 2.5, "scale_down", "over_provisioned", 0.01, 1.25, 40.0),
    ("a", "memory", 8.0, 8.0, 6.0, 7.0, "keep", "optimized", 0.02, 1.25, 0.0),
    ("b", "cpu", 1.0, 3.0, 2.0, 4.0, "scale_up", "under_provisioned", 0.03, 3.5, -50.5),
    ("b", "memory", 2.0, 1.0, 0.5, 1.0, "scale_down", "idle", NAN, 3.5, 2.25),
    (NASTY, "cpu", NAN, NAN, NAN, NAN, "none", "unknown", NAN, NAN, NAN),
    (NASTY, "memory", 16.0, 4.0, NAN, NAN, "scale_down", "over_provisioned", 0.0, NAN, 1200.0),
)


def recommendations() -> pd.DataFrame:
    names = (
        "service_id", "resource", "current", "target", "lower_bound", "upper_bound", "action",
        "finding", "exceedance", "risk", "monthly_saving",
    )  # fmt: skip
    frame = pd.DataFrame(ROWS, columns=names)
    frame["cluster_id"] = ["eu", "eu", "us", "us", "<b>x", "<b>x"]
    frame["unit"] = ["cores", "GiB"] * 3
    frame["monthly_saving_p10"] = frame["monthly_saving"] - 10.0
    frame["monthly_saving_p90"] = frame["monthly_saving"] + 10.0
    frame["event_probability"] = [0.125, NAN, 0.5, NAN, NAN, 1.0]
    frame["confidence"] = [0.9, 0.8, 0.7, 0.6, NAN, 0.5]
    frame["drivers"] = [DRIVERS] * 6
    frame["reason_code"] = "expected_peak"
    frame["reason"] = ["The peak is low.", "It fits.", "R&D", "x", "No <i>history</i>.", "y"]
    return frame[list(FIELDS)]


PROMISES = pd.DataFrame(
    {
        "group": "cpu",
        "promised": [0.01, 0.02, 0.05],
        "realised": [0.012, 0.04, 0.0],
        "ratio": [1.2, 2.0, 0.0],
    }
)


def usage(days: int = 9) -> Usage:
    steps = 24 * days
    clock = np.datetime64("2024-01-01", "us") + np.arange(1, steps + 1) * np.timedelta64(1, "h")
    values = np.ones((3, steps), dtype=np.float32)
    values[2] = np.nan
    capacity = np.array([4.0, 1.0, 1.0], dtype=np.float32)
    return Usage(CPU, values, capacity, clock, pd.Timedelta("1h"), ("a", "b", NASTY))


def context() -> ReportContext:
    return ReportContext(
        title="Report <of> R&D",
        generated_at=pd.Timestamp("2024-01-09 01:07", tz="Europe/Berlin"),
        cutoff=pd.Timestamp("2024-01-09", tz="UTC"),
        valid_until=pd.Timestamp("2024-01-09 06:00", tz="UTC"),
        policy="budget_optimal",
        policy_words="minimises <cost>.",
        price_name="list",
        price_as_of="2024-01-01",
        currency="$",
        models={"surface": "version 3", "event": "version 7"},
        data_name="synthetic",
        fleet={"current_monthly_cost": 4767.0, "target_monthly_cost": 3575.25},
        promises=PROMISES,
        bounds=pd.DataFrame({"group": ["cpu"], "covered": [0.913], "intervals": [1200]}),
        notes=("<u>1</u> service without capacity.",),
    )


class Page(HTMLParser):
    """What a browser makes of the page: tags with attributes, and the cells of the table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[tuple[dict[str, str | None], str]]] = []
        self.facts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert len(given) == len(attrs), f"{tag} has an attribute twice"
        self.tags.append((tag, given))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append((given, ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self._open or "th" in self._open:
            attrs, text = self.rows[-1][-1]
            self.rows[-1][-1] = attrs, text + data
        if self._open[-1:] == ["dd"]:
            self.facts.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("report") / "deep" / "report.html"
    return write_report(recommendations(), {CPU: usage()}, context(), place)


@pytest.fixture(scope="module")
def text(path: Path) -> str:
    return path.read_text()


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_page_loads_nothing_and_says_so(page: Page, text: str) -> None:
    for _, attrs in page.tags:
        assert not attrs.keys() & {"srcset", "action", "data", "poster", "xlink:href", "style"}
        for name in ("src", "href"):
            assert (attrs.get(name) or "#").startswith(("#", "data:"))
    assert "url(" not in text
    assert "@import" not in text
    policy = next(m["content"] for m in page.of("meta") if "http-equiv" in m)
    assert policy is not None
    assert policy.startswith("default-src 'none';")


def test_pictures_load_nothing_either(page: Page) -> None:
    sources = [image["src"] or "" for image in page.of("img")]
    # Three of the fleet, and one of each service: b, the nasty one, a.
    assert len(sources) == 6
    for source in sources:
        drawn = base64.b64decode(source.removeprefix("data:image/svg+xml;base64,")).decode()
        loads = re.findall(r'(?:href="|url\()([^")]*)', drawn)
        assert loads
        assert all(place.startswith("#") for place in loads)
        # All usage of the nasty one is missing.
        assert ("no usage was observed" in drawn) == (source == sources[4])


def test_only_the_page_s_own_script_may_run(page: Page, text: str) -> None:
    assert len(page.of("script")) == 1
    script = text.split("<script>")[1].split("</script>", maxsplit=1)[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(m["content"] for m in page.of("meta") if "http-equiv" in m)
    assert f"script-src 'sha256-{digest}'" in str(policy)


def test_what_a_user_wrote_is_text(page: Page, text: str) -> None:
    names = [row[0][1] for row in page.rows[1:]]
    assert sorted(names) == sorted(["aeu", "aeu", "bus", "bus", f"{NASTY}<b>x", f"{NASTY}<b>x"])
    for made in ("alert('x')</script>", "<i>history", "<b>x", "<u>1</u>", "<of>", "<cost>"):
        assert made not in text
    assert not {tag for tag, _ in page.tags} & {"i", "u", "of", "cost"}


def test_head_tells_when_and_what(page: Page) -> None:
    assert page.facts[:6] == [
        "2024-01-09 00:07 UTC",  # 01:07 in Berlin
        "2024-01-09 00:00 UTC",
        "2024-01-09 06:00 UTC",
        "budget_optimal: minimises <cost>.",
        "event version 7, surface version 3",
        "list, as of 2024-01-01, in $",
    ]


def test_cells_sort_by_number_and_unknown_ones_are_empty(page: Page) -> None:
    # Most money first: 1200, 50.5, 40, 2.25, 0 and unknown.
    saving = [row[6] for row in page.rows[1:]]
    assert [attrs["data-v"] for attrs, _ in saving] == ["1200", "-50.5", "40", "2.25", "0", ""]
    assert [text for _, text in saving] == [
        "1,200(1,190 to 1,210)", "−50.50(−60.50 to −40.50)", "40.00(30.00 to 50.00)",
        "2.25(−7.75 to 12.25)", "0.00(−10.00 to 10.00)", "–",
    ]  # fmt: skip
    # 4/16 - 1, 3/1 - 1, 2/4 - 1, 1/2 - 1, 8/8 - 1
    change = [row[2] for row in page.rows[1:]]
    assert [attrs["data-v"] for attrs, _ in change] == ["-0.75", "2", "-0.5", "-0.5", "0", ""]
    assert change[0][1] == "16 → 4 GiB (−75 %)"
    assert change[4][1] == "8 → 8 GiB"
    assert change[5][1] == "– → – cores"
    assert [row[7][1] for row in page.rows[1:]] == ["0 %", "3 %", "1 %", "–", "2 %", "–"]
    assert [row[8][1] for row in page.rows[1:]] == ["100 %", "50 %", "12 %", "–", "–", "–"]


def test_risk_is_never_rounded_up_to_at_risk() -> None:
    assert [format_risk(value) for value in (2.97, 3.0, 0.1 + 0.2, 4.0)] == [
        "2.9",
        "3.0",
        "0.3",
        "4.0",
    ]
    assert format_risk(NAN) == format_risk(float("inf")) != "nan"


def test_risk_is_a_number_and_not_a_colour_alone(page: Page, text: str) -> None:
    assert [row[5][1] for row in page.rows[1:]] == ["–", "3.5", "1.2", "3.5", "1.2", "–"]
    assert text.count('<span class="badge high">3.5</span>') == 2
    assert [risk_level(value) for value in (0.0, 0.99, 1.0, 2.9, 3.0, 4.0, NAN)] == [
        "low", "low", "moderate", "elevated", "high", "high", "unknown",
    ]  # fmt: skip


def test_page_can_be_read_without_seeing_it(page: Page) -> None:
    assert all(image["alt"] for image in page.of("img"))
    heads = [attrs for attrs, _ in page.rows[0]]
    assert {(head["scope"], head["aria-sort"]) for head in heads} == {("col", "none")}
    assert all(row[0][0]["scope"] == "row" for row in page.rows[1:])
    bars = [svg["aria-label"] for svg in page.of("svg") if "aria-label" in svg]
    assert bars[1] == "coming peak 2 to 4"
    assert len(bars) == 5  # nothing is known of the sixth row


def test_links_lead_somewhere_and_ids_are_unique(page: Page) -> None:
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = {str(a["href"]).removeprefix("#") for a in page.of("a")}
    assert links == {"service-1", "service-2", "service-3"}
    assert links <= set(ids)


def tile(tiles: list[dict[str, str]], label: str) -> tuple[str, str]:
    return next((one["value"], one["hint"]) for one in tiles if one["label"] == label)


def test_tiles_add_up() -> None:
    tiles = build_tiles(recommendations(), context().fleet, "USD")
    # 40 + 0 - 50.5 + 2.25 + 1200 = 1191.75, of 4767 that is 25 %; quantiles do not add up.
    assert tile(tiles, "Saving per month") == ("1,192 USD", "25 % of now; P10 to P90: –")
    assert tile(tiles, "Cost per month recommended")[0] == "3,575 USD"
    now, hint = tile(tiles, "Cost per month now")
    assert now == "4,767 USD"
    assert hint == "1 of 6 rows without a price or capacity are not counted"
    assert tile(tiles, "Scale up / scale down")[0] == "1 / 3"
    assert tile(tiles, "Keep / none")[0] == "1 / 1"
    assert tile(tiles, "Services at risk") == ("1", "of 3 services: risk 3 or more")
    assert tile(tiles, "Under-provisioned")[0] == "1"
    # (0.01 + 0.02 + 0.03 + 0) / 4
    assert tile(tiles, "Steps expected above target")[0] == "1.5 %"


def test_tiles_take_the_fleet_s_own_figures() -> None:
    fleet = {
        "monthly_saving": 1000.0, "monthly_saving_p10": 800.0, "monthly_saving_p90": 1300.0,
        "packed_monthly_saving": 640.0, "violated_share": 0.004, "nodes_freed": 3.0,
    }  # fmt: skip
    tiles = build_tiles(recommendations(), fleet, "USD")
    assert tile(tiles, "Saving per month") == ("1,000 USD", "P10 to P90: 800 to 1,300")
    assert tile(tiles, "Cost per month now")[0] == "–"
    assert tile(tiles, "Saved once nodes are given back")[0] == "640 USD"
    assert tile(tiles, "Steps expected above target")[0] == "0.4 %"
    assert tile(tiles, "Nodes freed")[0] == "3"


def test_bar_shows_where_bounds_target_and_request_lie() -> None:
    rows = {(row["service"], row["resource"]): row for row in build_rows(recommendations(), {})}
    # 134 pixels from 2 to 136 for 0 to the largest, 4: target 2 is 2 + 67 - 1.5 for half a mark.
    assert rows["a", "cpu"]["bar"] == {
        "low": "35.5", "high": "85.8", "target": "67.5", "current": "136.0",
    }  # fmt: skip
    assert rows[NASTY, "memory"]["bar"]["low"] == ""
    assert rows[NASTY, "cpu"]["bar"] is None


def test_services_looked_at_closely() -> None:
    frame = recommendations()
    # b is at risk; the third moves 1200, a 40. Half of the places at most go by risk.
    assert pick_services(frame, 12) == ["b", NASTY, "a"]
    assert pick_services(frame, 1) == ["b"]
    assert pick_services(frame, 0) == []
    frame["risk"] = 0.0
    frame.loc[frame["service_id"] == "a", "monthly_saving"] = 0.0
    assert pick_services(frame, 12) == [NASTY, "b"]


def test_numbers_as_text() -> None:
    assert [quantity(v) for v in (0.00512, 1.2345, 99.94, 1234.5, -0.5, NAN)] == [
        "0.00512", "1.23", "99.9", "1,234", "−0.5", "–",
    ]  # fmt: skip
    assert [money(v) for v in (-0.001, 99.99, -99.999, 1234.4, NAN)] == [
        "0.00", "99.99", "−100", "1,234", "–",
    ]  # fmt: skip
    assert [percent(v) for v in (0.0, 0.00005, 0.0087, 0.0996, 1.0, NAN)] == [
        "0 %", "< 0.01 %", "0.87 %", "10 %", "100 %", "–",
    ]  # fmt: skip


def test_line_keeps_every_extreme_and_gap() -> None:
    values = np.zeros(1000, dtype=np.float32)
    values[[333, 777]] = [9.0, -9.0]
    values[500:520] = np.nan
    steps = decimate(values, most=100)  # pieces of 10 steps
    assert len(steps) <= 200
    assert {333, 777} <= set(steps.tolist())
    assert np.isnan(values[steps]).sum() == 2  # two pieces are all gap, a step each
    np.testing.assert_array_equal(decimate(values[:200], most=100), np.arange(200))


def test_service_s_picture_shows_a_week_and_nothing_after_the_cutoff() -> None:
    frame, told = recommendations(), context()
    figure = plot_service(
        frame[frame["service_id"] == "a"], {CPU: usage()}, told.cutoff, told.valid_until
    )
    assert figure is not None
    (axis,) = figure.axes  # memory has no usage
    line = next(line for line in axis.lines if line.get_label() == "usage")
    moments = np.asarray(line.get_xdata(), dtype="datetime64[us]")
    assert moments[0] == np.datetime64("2024-01-02T01:00")
    assert moments[-1] == np.datetime64("2024-01-09T00:00")
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert labels == ["usage", "current 4", "coming peak 1 to 2.5", "target 2"]
    assert plot_service(frame, {}, told.cutoff, told.valid_until) is None


def test_risks_count_a_service_once() -> None:
    (axis,) = plot_risks(recommendations()).axes
    # a at 1.25 in [1, 1.5), b at 3.5 in [3.5, 4]; the third has no known risk.
    assert [bar.get_height() for bar in axis.patches] == [0, 0, 1, 0, 0, 0, 0, 1]


def test_promises_that_never_failed_are_shown_below() -> None:
    (axis,) = plot_promises(PROMISES, "steps").axes
    came, none = axis.lines[-2:]
    np.testing.assert_allclose(came.get_xydata(), [[1.0, 1.2], [2.0, 4.0]])
    np.testing.assert_allclose(none.get_xydata(), [[5.0, 0.5]])  # half of the smallest, 1 %
    nothing = plot_promises(PROMISES.assign(realised=NAN), "steps").axes[0]
    assert "no promise has come due" in [text.get_text() for text in nothing.texts]


def test_caption_counts_promises_kept(text: str) -> None:
    # 0.012/0.01 = 1.2 lies in 0.5 to 1.5; 2 and 0 do not.
    assert "1 of 3 promises came true within 0.5 to 1.5 times" in text
    assert "where 90% were promised: cpu 91.3% of 1,200." in text


def test_equal_input_gives_an_equal_page(text: str, tmp_path: Path) -> None:
    shuffled = recommendations().sample(frac=1.0, random_state=0)
    again = write_report(shuffled, {CPU: usage()}, context(), tmp_path / "report.html")
    assert again.read_text() == text
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_report_of_nothing_says_so(tmp_path: Path) -> None:
    told = replace(context(), fleet={}, promises=PROMISES[:0], notes=())
    path = write_report(recommendations().iloc[:0], {}, told, tmp_path / "report.html")
    page = Page(path.read_text())
    assert "There is none." in path.read_text()
    assert page.rows == []
    assert page.of("img") == []


def test_missing_column_is_named(tmp_path: Path) -> None:
    frame = recommendations().drop(columns="risk")
    with pytest.raises(SchemaError, match="column risk"):
        write_report(frame, {}, context(), tmp_path / "report.html")
    with pytest.raises(SchemaError, match="column risk"):
        write_tables(frame, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_tables_hold_what_the_frame_holds(tmp_path: Path) -> None:
    frame = recommendations()
    (tmp_path / "recommendations.csv").write_text("old")
    paths = write_tables(frame, tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    csv, records, parquet = paths
    back = pd.read_csv(csv, float_precision="round_trip")
    expected = frame.assign(drivers="; ".join(DRIVERS))
    pd.testing.assert_frame_equal(back, expected, check_exact=True)

    parsed = json.loads(records.read_text(), parse_constant=pytest.fail)
    assert list(parsed[0]) == list(FIELDS)
    assert parsed[4]["service_id"] == NASTY
    assert parsed[4]["risk"] is None
    assert parsed[0]["drivers"] == list(DRIVERS)
    assert parsed[2]["monthly_saving"] == -50.5

    table = pq.read_table(parquet)
    assert table.schema.field("drivers").type == pa.list_(pa.string())
    read = pd.read_parquet(parquet)
    read["drivers"] = [tuple(told) for told in read["drivers"]]
    pd.testing.assert_frame_equal(read, frame)


def test_narrow_floats_are_told_with_their_own_digits(tmp_path: Path) -> None:
    target = np.array([70.66069, 0.1, NAN, 1e-7, 3e8, 2.0], dtype=np.float32)
    _, records, _ = write_tables(recommendations().assign(target=target), tmp_path)
    told = [row["target"] for row in json.loads(records.read_text())]
    assert told == [70.66069, 0.1, None, 1e-7, 3e8, 2.0]


def test_tables_of_nothing_keep_their_types(tmp_path: Path) -> None:
    _, records, parquet = write_tables(recommendations().iloc[:0], tmp_path)
    assert json.loads(records.read_text()) == []
    assert pq.read_schema(parquet).field("drivers").type == pa.list_(pa.string())
