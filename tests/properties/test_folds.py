"""Folds and labels at any cut, gap and horizon: nothing of one part is seen by the one before."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from factories import panel_of, tiny_panel
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from optimizer.core.errors import InsufficientHistoryError
from optimizer.core.panel import Panel
from optimizer.targets.base import Target
from optimizer.targets.scale_event import ScaleEvent
from optimizer.targets.splits import Fold, RollingOrigin
from optimizer.targets.utilization import Utilization

HORIZONS = st.sampled_from(["1h", "3h", "6h", "24h"])


def cut_or_skip(split: RollingOrigin, panel: Panel, target: Target) -> list[Fold]:
    """Return the folds; a draw whose history is too short for its gaps is no case."""
    try:
        return split.split(panel, target.gap)
    except InsufficientHistoryError:
        assume(False)
        raise


@given(
    n_steps=st.integers(150, 1500),
    folds=st.integers(1, 5),
    horizon=HORIZONS,
    extra=st.integers(0, 20),
    shares=st.tuples(st.integers(3, 8), st.integers(1, 3), st.integers(1, 4)),
    days=st.booleans(),
    kind=st.sampled_from([ScaleEvent, Utilization]),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_folds_any_setting_keep_the_order_of_time_and_the_gap(
    n_steps: int,
    folds: int,
    horizon: str,
    extra: int,
    shares: tuple[int, int, int],
    days: bool,
    kind: type,
) -> None:
    target = kind(horizon)
    gap = target.gap + extra * pd.Timedelta("1h")
    train, valid = (share / sum(shares) for share in shares[:2])
    split = RollingOrigin(folds, train, valid, 1 - train - valid, f"{gap / pd.Timedelta('1h')}h")
    panel = panel_of(np.zeros((2, n_steps)))
    if days:  # a trace of separate days: every third one was recorded
        seen = np.arange(n_steps) // 24 % 3 == 0
        panel = replace(panel, present=np.broadcast_to(seen, (2, n_steps)))
    found = cut_or_skip(split, panel, target)
    ahead = int(pd.Timedelta(horizon) / panel.step)
    n_gap = int(gap / panel.step)
    for fold in found:
        parts = [fold.train, fold.valid, fold.test]
        assert all(start < stop for start, stop in parts)
        for (_, stop), (start, _) in pairwise(parts):
            newest = stop - 1
            assert start - newest > n_gap
            assert start - (newest + ahead) > n_gap - ahead > 0  # where its label stops looking
        assert fold.train[0] == np.flatnonzero(panel.present.any(axis=0))[0]
    assert [fold.test[0] for fold in found[1:]] == [fold.test[1] for fold in found[:-1]]
    assert found[-1].test[1] == np.flatnonzero(panel.present.any(axis=0))[-1] + 1


@given(seed=st.integers(0, 99), n_services=st.integers(1, 5))
@settings(max_examples=10, deadline=None, derandomize=True)
def test_folds_depend_on_the_clock_only(seed: int, n_services: int) -> None:
    values = np.random.default_rng(seed).random((n_services, 300))
    split, gap = RollingOrigin(folds=2), pd.Timedelta("3h")
    assert split.split(panel_of(values), gap) == split.split(panel_of(np.zeros((2, 300))), gap)


@pytest.mark.parametrize("kind", [ScaleEvent, Utilization])
@given(horizon=HORIZONS, cut=st.integers(30, 395), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_labels_whose_look_ahead_ends_by_the_cut_are_settled(
    kind: type, horizon: str, cut: int, seed: int
) -> None:
    target: Target = kind(horizon)
    panel = tiny_panel(4, 400, seed, gaps=0.1)
    rng = np.random.default_rng(seed)
    values, present = panel.values.copy(), panel.present.copy()
    noise = rng.gamma(1.0, 1.0, values[:, :, cut + 1 :].shape).astype(np.float32)
    noise[rng.random(noise.shape) < 0.3] = np.nan
    values[:, :, cut + 1 :] = noise
    present[:, cut + 1 :] = rng.random(noise.shape[1:]) < 0.7
    before = target.label(panel)
    after = target.label(replace(panel, values=values, present=present))
    settled = slice(0, max(0, cut + 1 - int(pd.Timedelta(horizon) / panel.step)))
    np.testing.assert_array_equal(before.y[:, settled], after.y[:, settled])
    np.testing.assert_array_equal(before.eligible[:, settled], after.eligible[:, settled])
    np.testing.assert_array_equal(before.events[:, : cut + 1], after.events[:, : cut + 1])
