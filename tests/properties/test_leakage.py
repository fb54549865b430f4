"""Nothing of the past changes when the future does."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.core.config import build, load_config
from optimizer.core.panel import Panel, build_panel
from optimizer.features.engine import compute_features
from optimizer.targets.scale_event import ScaleEvent
from optimizer.targets.splits import RollingOrigin
from optimizer.targets.utilization import Utilization

GROUPS = [
    build(node, name) for name, node in load_config(["features=full"]).features.groups.items()
]


def fleet(freq: str, days: int) -> Panel:
    config = load_config([f"data.freq={freq}", f"data.days={days}", "data.n_services=6"])
    panel = build_panel(build(config.data, "data").fetch())
    clusters = panel.clusters.copy()
    clusters[2, panel.n_steps // 2 :] = (clusters[2, -1] + 1) % len(panel.cluster_names)
    return replace(panel, clusters=clusters)  # one service moves to another cluster


def disturb(panel: Panel, cut: int, seed: int) -> Panel:
    """Return the panel with everything after the cut replaced, gaps and absences included."""
    rng = np.random.default_rng(seed)
    values, present = panel.values.copy(), panel.present.copy()
    clusters = panel.clusters.copy()
    shape = values[:, :, cut + 1 :].shape
    noise = rng.lognormal(0, 2, shape).astype(np.float32)
    noise[rng.random(shape) < 0.2] = np.nan
    values[:, :, cut + 1 :] = noise
    clusters[:, cut + 1 :] = rng.integers(0, len(panel.cluster_names), shape[1:])
    return replace(panel, values=values, present=present, clusters=clusters)


@pytest.mark.parametrize(("freq", "days"), [("1h", 30), ("5min", 9)])
def test_features_of_the_past_ignore_the_future(freq: str, days: int) -> None:
    panel = fleet(freq, days)
    cut = int(panel.n_steps * 0.85)
    before, after = (
        compute_features(panel, GROUPS),
        compute_features(disturb(panel, cut, 3), GROUPS),
    )
    past = before.step <= cut
    assert len(before.specs) >= 150
    for index, spec in enumerate(before.specs):
        np.testing.assert_array_equal(
            before.values[index, past], after.values[index, past], err_msg=spec.name
        )
    changed = [
        not np.array_equal(before.values[index], after.values[index], equal_nan=True)
        for index in range(len(before.specs))
    ]
    assert sum(changed) > 0.8 * len(changed)  # the disturbance does reach later steps


@pytest.mark.parametrize(
    "target",
    [
        ScaleEvent("6h"),
        ScaleEvent("6h", source="rule"),
        Utilization(["1h", "24h"]),
        Utilization("3h", metric="memory_utilization"),
    ],
)
def test_labels_whose_look_ahead_has_ended_ignore_the_future(target) -> None:
    panel = fleet("1h", 30)
    cut = int(panel.n_steps * 0.8)
    reach = pd.Timedelta("24h") if isinstance(target, Utilization) else pd.Timedelta("6h")
    ended = cut - int(reach / panel.step) + 1
    before, after = target.label(panel), target.label(disturb(panel, cut, 5))
    np.testing.assert_array_equal(before.y[:, :ended], after.y[:, :ended])
    np.testing.assert_array_equal(before.eligible[:, :ended], after.eligible[:, :ended])
    np.testing.assert_array_equal(before.events[:, :ended], after.events[:, :ended])
    assert not np.array_equal(before.y, after.y, equal_nan=True)


@settings(max_examples=60, deadline=None)
@given(
    steps=st.integers(700, 2000),
    folds=st.integers(1, 4),
    horizon=st.sampled_from(["1h", "6h", "24h"]),
    seed=st.integers(0, 99),
)
def test_folds_are_in_order_with_the_gap_between(
    steps: int, folds: int, horizon: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    step = pd.Timedelta("1h")
    values = rng.random((1, 3, steps), dtype=np.float32)
    panel = Panel(
        values, ("cpu_utilization",), ("a", "b", "c"), np.zeros((3, steps), np.int32), ("c",),
        np.arange(steps).astype("datetime64[h]").astype("datetime64[us]"), step,
        np.ones((3, steps), dtype=bool),
    )  # fmt: skip
    target, split = ScaleEvent(horizon), RollingOrigin(folds=folds)
    ahead = target.task(step).horizon_steps
    found = split.split(panel, target.gap)
    assert found == split.split(replace(panel, values=values[:, ::-1]), target.gap)
    for fold in found:
        assert fold.gap_steps == 2 * ahead
        assert 0 <= fold.train[0] < fold.train[1] <= fold.valid[0] < fold.valid[1] <= fold.test[0]
        assert fold.train[1] - 1 + ahead < fold.valid[0]
        assert fold.valid[1] - 1 + ahead < fold.test[0]
    assert found[-1].test[1] == steps
    for older, newer in pairwise(found):
        assert older.test[1] == newer.test[0]


def test_order_of_rows_and_services_is_irrelevant() -> None:
    frame = build(load_config(["data.days=12", "data.n_services=5"]).data, "data").fetch()
    shuffled = frame.sample(frac=1.0, random_state=1)
    one, two = (compute_features(build_panel(f), GROUPS) for f in (frame, shuffled))
    np.testing.assert_array_equal(one.values, two.values)
