"""A feature reads no further back than its spec says, and no later than its own step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from factories import metrics_panel
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.core.config import build, load_config
from optimizer.core.durations import count_steps
from optimizer.core.panel import Panel
from optimizer.core.schema import ANOMALY, LABELS, METRICS, SCALE_EVENT
from optimizer.features.base import FeatureGroup
from optimizer.features.engine import compute_features

CHOICES: dict[str, dict[str, FeatureGroup]] = {
    choice: {
        name: build(node, name)
        for name, node in load_config([f"features={choice}"]).features.groups.items()
    }
    for choice in ("full", "minimal")
}
GROUPS = list(CHOICES["full"].values())
N_STEPS = {"1h": 420, "5min": 2600}


def gappy_panel(step: str, seed: int) -> Panel:
    """Return every metric of six services: gaps, absent rows, a late start and a move."""
    rng = np.random.default_rng(seed)
    shape = (6, N_STEPS[step])
    values = {name: rng.gamma(2.0, 0.2, shape) for name in METRICS}
    values |= {name: rng.random(shape) < 0.05 for name in (SCALE_EVENT, ANOMALY)}
    clusters = np.repeat(np.arange(6) % 3, shape[1]).reshape(shape)
    clusters[1, shape[1] // 2 :] = 2
    panel = metrics_panel(values, step=step, clusters=clusters)
    present = rng.random(shape) > 0.03
    present[2, : shape[1] // 3] = False
    cells = panel.values.copy()
    cells[:, ~present] = np.nan
    cells[rng.random(cells.shape) < 0.02] = np.nan
    cells[0, 3, 100:130] = np.nan
    return replace(panel, values=cells, present=present)


def disturb(panel: Panel, steps: slice, seed: int) -> Panel:
    """Return the panel with other values, gaps, absences and clusters in these steps."""
    rng = np.random.default_rng(seed)
    values, present, clusters = panel.values.copy(), panel.present.copy(), panel.clusters.copy()
    noise = rng.gamma(1.0, 3.0, values[:, :, steps].shape).astype(np.float32)
    absent = rng.random(noise.shape[1:]) < 0.2
    noise[rng.random(noise.shape) < 0.2] = np.nan
    noise[:, absent] = np.nan
    values[:, :, steps], present[:, steps] = noise, ~absent
    clusters[:, steps] = rng.integers(0, len(panel.cluster_names), absent.shape)
    return replace(panel, values=values, present=present, clusters=clusters)


def grids(panel: Panel) -> dict[str, np.ndarray]:
    """Return every feature over the grid of the panel, absent rows included."""
    table = compute_features(replace(panel, present=np.ones_like(panel.present)), GROUPS)
    shape = (panel.n_services, panel.n_steps)
    return {name: table.values[i].reshape(shape) for i, name in enumerate(table.names)}


@pytest.mark.parametrize("step", N_STEPS)
@given(cut=st.floats(0.02, 0.98), seed=st.integers(0, 2**16))
@settings(max_examples=12, deadline=None, derandomize=True)
def test_features_up_to_any_cut_are_bitwise_what_they_were(
    step: str, cut: float, seed: int
) -> None:
    panel = gappy_panel(step, seed)
    after = int(cut * panel.n_steps) + 1
    one, two = (
        compute_features(p, GROUPS) for p in (panel, disturb(panel, slice(after, None), seed))
    )
    kept = [table.values[:, table.step < after].view(np.uint32) for table in (one, two)]
    different = (kept[0] != kept[1]).any(axis=1)
    assert not different.any(), [n for n, d in zip(one.names, different, strict=True) if d]


@pytest.mark.parametrize("step", N_STEPS)
def test_features_forget_what_is_older_than_their_lookback(step: str) -> None:
    """An exponential mean may keep a thousandth, all else nothing but rounding."""
    panel, other = gappy_panel(step, 1), gappy_panel(step, 8)
    specs = {spec.name: spec for spec in compute_features(panel, GROUPS).specs}
    before, stale = grids(panel), {}
    for name, spec in specs.items():
        back = pd.Timedelta(spec.lookback)
        steps = count_steps(back, panel.step) if back > pd.Timedelta(0) else 0
        if steps not in stale:  # everything older than the lookback of the last step
            old = max(panel.n_steps - 1 - steps, 0)
            values = panel.values.copy()
            values[:, :, :old] = other.values[:, :, :old]
            stale[steps] = grids(replace(panel, values=values))
        near = 1e-3 if "ewm" in name else 1e-5
        np.testing.assert_allclose(
            stale[steps][name][:, -1], before[name][:, -1], rtol=near, atol=near, err_msg=name
        )


@pytest.mark.parametrize("step", N_STEPS)
def test_features_do_read_as_far_back_as_they_say(step: str) -> None:
    """A lookback must not be an idle boast: what lies within it does change the values."""
    panel = gappy_panel(step, 2)
    before, after = grids(panel), grids(disturb(panel, slice(0, None), 4))
    same = [name for name in before if np.array_equal(before[name], after[name], equal_nan=True)]
    calendar = {f for f, s in sources(panel).items() if not s}
    assert set(same) == calendar


def sources(panel: Panel) -> dict[str, tuple[str, ...]]:
    """Return the metrics that each feature says it is computed from."""
    return {spec.name: spec.source for spec in compute_features(panel, GROUPS).specs}


def test_features_change_with_their_sources_only() -> None:
    panel = gappy_panel("1h", 3)
    before, told = grids(panel), sources(panel)
    for index, metric in enumerate(panel.metrics):
        values = panel.values.copy()
        values[index] = disturb(panel, slice(0, None), 5).values[index]
        after = grids(replace(panel, values=values))
        changed = {n for n in before if not np.array_equal(before[n], after[n], equal_nan=True)}
        assert changed == {name for name, source in told.items() if metric in source}
        assert not (metric in LABELS and changed)


def test_features_of_the_full_choice_are_150_and_more_under_unique_names() -> None:
    for step in N_STEPS:
        names = compute_features(gappy_panel(step, 0), GROUPS).names
        assert len(names) >= 150
        assert len(set(names)) == len(names)
