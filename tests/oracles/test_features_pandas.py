"""Every feature equals its definition in float64 pandas, gaps, absent rows and late starts too."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

import pandas_engine
from agreement import TOLERANCE, deviation
from optimizer.core.config import build, load_config
from optimizer.core.panel import Panel, build_panel
from optimizer.features.engine import compute_features
from workload import make_panel

STEPS = {"1h": 500, "5min": 2160}
"""More than a week of hours; a week of 5-minute steps and a bit, so that every window fills."""


def irregular_panel(step: str) -> Panel:
    """Return six services: 1 % NaN, absent rows, a late start, a move and a flat line."""
    whole = make_panel(6, seed=11)
    size, clock = pd.Timedelta(step), slice(0, STEPS[step])
    timestamps = whole.timestamps[0] + np.arange(STEPS[step]) * size.to_timedelta64()
    rng = np.random.default_rng(3)
    present = rng.random((6, STEPS[step])) > 0.02
    present[2, 150:420] = False  # long enough to empty the windows of 6h and 24h
    present[4, : STEPS[step] // 3] = False  # starts late
    values = whole.values[:, :, clock].copy()
    values[:, ~present] = np.nan
    values[0, 5] = np.where(np.isnan(values[0, 5]), np.nan, np.float32(0.3))
    clusters = whole.clusters[:, clock].copy()
    clusters[3, 200:] = clusters[1, 0]  # moves to another cluster
    clusters[4, : STEPS[step] // 3] = -1
    return replace(
        whole,
        values=values,
        clusters=clusters,
        timestamps=timestamps.astype("datetime64[us]"),
        step=size,
        present=present,
    )


@cache
def both(step: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the features of the present rows from pandas and from the engine."""
    panel = irregular_panel(step)
    nodes = load_config(["features=full"]).features.groups
    groups = [build(node, name) for name, node in nodes.items()]
    result = pandas_engine.compute(*pandas_engine.prepare(panel, groups))
    expected = {
        name: column[panel.present.ravel()] for name, column in pandas_engine.columns(result)
    }
    table = compute_features(panel, groups)
    return expected, dict(zip(table.names, table.values, strict=True))


@pytest.mark.parametrize("step", STEPS)
def test_features_full_equal_float64_pandas(step: str) -> None:
    expected, given = both(step)
    assert set(given) == set(expected)
    assert len(given) >= 150
    off = {name: deviation(expected[name], given[name]) for name in expected}
    assert {name: value for name, value in off.items() if not value <= TOLERANCE} == {}


@pytest.mark.parametrize("step", STEPS)
def test_features_full_are_not_all_unknown(step: str) -> None:
    expected, _ = both(step)
    assert [name for name, column in expected.items() if np.isnan(column).mean() > 0.95] == []


def test_oracle_panel_survives_the_long_frame() -> None:
    """The grid that pandas sees is the one that build_panel makes of the present rows."""
    panel = irregular_panel("1h")
    frame = pandas_engine.to_frame(panel)[panel.present.ravel()]
    frame = frame.astype({"event_timestamp": "datetime64[us, UTC]"})
    rebuilt = build_panel(frame, panel.step)
    for metric in panel.metrics:
        np.testing.assert_array_equal(rebuilt.metric(metric), panel.metric(metric))
    np.testing.assert_array_equal(rebuilt.present, panel.present)


def test_deviation_of_a_value_where_none_is_expected_is_infinite() -> None:
    assert deviation(np.array([1.0, np.nan]), np.array([1.0, 2.0])) == np.inf
    assert deviation(np.array([1.0, 3.0]), np.array([1.0, 3.5])) == 0.5
