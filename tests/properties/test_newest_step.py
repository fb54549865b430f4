"""What serving computes for the newest step is what the batch has for it, whatever arrives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from factories import metrics_panel

from optimizer.core.config import CONF_DIR, build, load_config
from optimizer.core.panel import Panel, build_panel
from optimizer.core.schema import CLUSTER, METRICS, SERVICE, TIMESTAMP
from optimizer.features.base import Feature, FeatureGroup
from optimizer.features.buffer import TelemetryBuffer
from optimizer.features.engine import compute_features, plan_features
from optimizer.features.newest_block import NewestFeatures, newest_features, steps_to_keep

GROUPS = [
    build(node, name) for name, node in load_config(["features=full"]).features.groups.items()
]
START = {"1h": 360, "5min": 4200}
"""Steps of history before the first update: some windows are not yet full, or just so."""
STEPS = {"1h": 300, "5min": 40}
LATE = [0.9, 0.05, 0.03, 0.02]
"""Shares of the rows that arrive in time, one, three and thirty steps late."""


def telemetry(step: str, seed: int) -> pd.DataFrame:
    """Return rows of every metric: gaps, absences, a flat line, late starts, moves; in order."""
    rng = np.random.default_rng(seed)
    shape = (9, START[step] + STEPS[step])
    clusters = np.repeat(np.arange(9) % 3, shape[1]).reshape(shape)
    clusters[1, START[step] + 20 :] = 2  # moves
    clusters[5, START[step] - 10 : START[step] + 9] = 0  # and back
    size = {name: 1.0 if "utilization" in name else 200.0 for name in METRICS}
    values = {name: rng.gamma(4.0, 0.1, shape) * size[name] for name in METRICS}
    panel = metrics_panel(values, step=step, clusters=clusters)
    cells = panel.values.copy()
    cells[rng.random(cells.shape) < 0.03] = np.nan
    cells[0, 0] = 0.3
    cells[0, 3, -200:-150] = np.nan
    present = rng.random(shape) > 0.05
    present[2, : START[step] + 5] = False  # starts late
    present[6, : START[step] - 30] = False
    present[7, START[step] - 60 : START[step] + 25] = False  # long enough to be forgotten
    return to_rows(replace(panel, values=cells, present=present))


def to_rows(panel: Panel) -> pd.DataFrame:
    """Return the present rows of a panel as a long frame, in the order of time."""
    service, step = np.nonzero(panel.present)
    columns = {
        SERVICE: np.array(panel.services)[service],
        CLUSTER: np.array(panel.cluster_names)[panel.clusters[service, step]],
        TIMESTAMP: pd.DatetimeIndex(panel.timestamps[step], tz="UTC"),
    }
    columns |= {name: panel.metric(name)[service, step] for name in panel.metrics}
    return pd.DataFrame(columns).sort_values(TIMESTAMP, kind="stable", ignore_index=True)


def arrivals(frame: pd.DataFrame, first: pd.Timestamp, seed: int) -> list[pd.DataFrame]:
    """Return the rows from ``first`` on as they arrive: some late, some twice, in any order."""
    rng = np.random.default_rng(seed)
    later = frame[frame[TIMESTAMP] >= first]
    times = later[TIMESTAMP].unique()
    due = times.searchsorted(later[TIMESTAMP]) + rng.choice([0, 1, 3, 30], len(later), p=LATE)
    twice = later.sample(frac=0.05, random_state=seed)
    wrong = twice.assign(**dict.fromkeys(METRICS, -1.0))  # a later duplicate corrects it
    batches = []
    for step in range(len(times)):
        now = later[due == step].sample(frac=1.0, random_state=step)
        batches.append(pd.concat([wrong[wrong.index.isin(now.index)], now]))
    return batches


def expected(rows: pd.DataFrame, step: pd.Timedelta, groups: list[FeatureGroup]) -> NewestFeatures:
    """Return the batch values of the newest step."""
    panel = build_panel(rows, step)
    last = np.zeros_like(panel.present)
    last[:, -1] = panel.present[:, -1]
    table = compute_features(replace(panel, present=last), groups)
    services = tuple(panel.services[index] for index in table.service)
    return NewestFeatures(table.values, table.specs, services, panel.timestamps[-1])


def assert_same(given: NewestFeatures, want: NewestFeatures) -> None:
    assert given.names == want.names
    assert given.timestamp == want.timestamp
    assert set(given.services) == set(want.services)
    order = [given.services.index(name) for name in want.services]
    ours, theirs = given.values[:, order], want.values
    off = np.abs(ours - theirs) / np.maximum(1.0, np.abs(theirs))
    off[np.isnan(ours) & np.isnan(theirs)] = 0.0
    worst = dict(zip(want.names, off.max(axis=1, initial=0.0), strict=True))
    assert {name: value for name, value in worst.items() if not value <= 1e-5} == {}


def start(
    rows: pd.DataFrame, step: str, groups: list[FeatureGroup]
) -> tuple[TelemetryBuffer, list[Feature]]:
    panel = build_panel(rows, pd.Timedelta(step))
    buffer = TelemetryBuffer.from_panel(panel, 1)
    features = plan_features(groups, buffer.layout)
    keep = steps_to_keep([feature.spec for feature in features], panel.step)
    return TelemetryBuffer.from_panel(panel, keep), features


@pytest.mark.parametrize("step", START)
def test_newest_step_equals_the_batch_after_every_update(step: str) -> None:
    frame = telemetry(step, seed=5)
    first = frame[TIMESTAMP].min() + START[step] * pd.Timedelta(step)
    arrived = frame[frame[TIMESTAMP] < first]
    buffer, features = start(arrived, step, GROUPS)
    assert len(features) >= 150
    for rows in arrivals(frame, first, seed=6):
        assert buffer.update(rows) == 0
        arrived = pd.concat([arrived, rows]).drop_duplicates([SERVICE, TIMESTAMP], keep="last")
        want = expected(arrived, pd.Timedelta(step), GROUPS)
        assert_same(newest_features(buffer, features), want)
    assert len(buffer.services) == 9


@pytest.mark.parametrize("step", START)
@pytest.mark.parametrize(
    "name", sorted(path.stem for path in (CONF_DIR / "features" / "group").glob("*.yaml"))
)
def test_every_feature_group_has_a_newest_step(name: str, step: str) -> None:
    nodes = load_config(["features=full"]).features.groups
    # a derived feature needs its inputs beside it
    groups = [
        build(nodes[one], one) for one in dict.fromkeys((name, "workload", "rolling", "cluster"))
    ]
    frame = telemetry(step, seed=7)
    buffer, features = start(frame, step, groups)
    want = expected(frame, pd.Timedelta(step), groups)
    assert_same(newest_features(buffer, features), want)


def test_newest_step_of_a_cold_start_knows_what_it_can() -> None:
    frame = telemetry("1h", seed=8)
    first = frame[TIMESTAMP].min()
    rows = frame[frame[TIMESTAMP] < first + pd.Timedelta("3h")]
    buffer, features = start(rows, "1h", GROUPS)
    assert_same(newest_features(buffer, features), expected(rows, pd.Timedelta("1h"), GROUPS))


def test_newest_step_leaves_the_buffer_as_it_was() -> None:
    buffer, features = start(telemetry("1h", seed=9), "1h", GROUPS)
    before = [buffer.tail(metric, buffer.keep_steps).copy() for metric in buffer.metrics]
    one, two = newest_features(buffer, features), newest_features(buffer, features)
    np.testing.assert_array_equal(one.values, two.values)
    for metric, values in zip(buffer.metrics, before, strict=True):
        np.testing.assert_array_equal(buffer.tail(metric, buffer.keep_steps), values)
