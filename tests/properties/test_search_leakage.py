"""A search never sees the test: neither its folds nor a trial's score reach so far."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from factories import panel_of, tiny_panel
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from optimizer.core.config import load_config
from optimizer.core.errors import InsufficientHistoryError
from optimizer.core.panel import Panel
from optimizer.features.engine import compute_features
from optimizer.models.callbacks import TrainingCallback
from optimizer.targets.scale_event import ScaleEvent
from optimizer.targets.splits import RollingOrigin
from optimizer.targets.utilization import Utilization
from optimizer.training.experiment import Components, Experiment, build_components, build_experiment
from optimizer.training.fit import fit_uncalibrated, score_validation

BASE = ["features=minimal", "threads=1", "target.horizon=3h", "target.metric=cpu_utilization"]
SIZES = ["model.rounds=8", "model.min_child_samples=10", "model.quantile_min_child_samples=10"]
PANEL = tiny_panel(8, 500)
CASES = [
    [],
    ["split.folds=2"],
    ["imbalance=smote"],
    ["target=utilization", "target.horizon=[1h,24h]", "target.quantiles=[0.1,0.5,0.9]"],
]


def parts_of(overrides: list[str]) -> Components:
    return build_components(load_config([*BASE, *SIZES, *overrides]))


def experiment_on(panel: Panel, overrides: list[str]) -> Experiment:
    parts = parts_of(overrides)
    return build_experiment(parts, panel, compute_features(panel, parts.groups), validations=2)


def run_trial(panel: Panel, overrides: list[str]) -> tuple[list[float], list[float]]:
    """Return a trial's scores on its folds, and all that its watcher was told."""
    experiment, told = experiment_on(panel, overrides), []
    scores = []
    for fold in experiment.folds:
        watch = TrainingCallback(lambda share, value: told.append(value))
        fit_config = replace(
            experiment.fit_config, runtime=replace(experiment.fit_config.runtime, watch=watch)
        )
        trained, _ = fit_uncalibrated("lightgbm", parts_of(overrides).model, fold, fit_config)
        scores.append(score_validation(trained, fold))
    return scores, told


@cache
def first_test_step(*overrides: str) -> int:
    parts = parts_of(list(overrides))
    return parts.split.split(PANEL, parts.target.gap)[0].test[0]


def disturb(panel: Panel, start: int) -> Panel:
    """Return the panel with other values and other gaps from a step on; the clock is the same."""
    rng = np.random.default_rng(11)
    values = panel.values.copy()
    noise = rng.gamma(1.0, 1.0, values[:, :, start:].shape).astype(np.float32)
    noise[rng.random(noise.shape) < 0.2] = np.nan
    values[:, :, start:] = noise
    present = panel.present.copy()
    present[1:, start:] = rng.random(present[1:, start:].shape) < 0.7
    present[0, start:] = True  # every step stays observed: folds depend on the clock
    return replace(panel, values=values, present=present)


@pytest.mark.parametrize("overrides", CASES, ids=" ".join)
def test_trial_scores_the_same_whatever_happens_from_the_first_test_step_on(
    overrides: list[str],
) -> None:
    start = first_test_step(*overrides)
    scores, told = run_trial(PANEL, overrides)
    assert (scores, told) == run_trial(disturb(PANEL, start), overrides)
    assert len(scores) == 2
    assert told
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("overrides", CASES[:1] + CASES[-1:], ids=" ".join)
def test_trial_scores_otherwise_if_its_own_validation_rows_change(overrides: list[str]) -> None:
    gap = parts_of(overrides).target.gap // PANEL.step
    earlier = disturb(PANEL, first_test_step(*overrides) - 2 * gap - 1)
    scores = [run_trial(panel, overrides)[0] for panel in (PANEL, earlier)]
    assert scores[0][0] == scores[1][0]  # the older fold validates before the change
    assert scores[0][1] != scores[1][1]


@pytest.mark.parametrize("overrides", CASES[:1] + CASES[-1:], ids=" ".join)
def test_trial_has_no_test_rows(overrides: list[str]) -> None:
    start = first_test_step(*overrides)
    for fold in experiment_on(PANEL, overrides).folds:
        assert len(fold.test) == 0
        assert max(fold.train.step.max(), fold.valid.step.max()) < start


@given(
    n_steps=st.integers(150, 1500),
    counts=st.tuples(st.integers(1, 5), st.integers(1, 4)),
    horizon=st.sampled_from(["1h", "3h", "6h", "24h"]),
    extra=st.integers(0, 20),
    shares=st.tuples(st.integers(3, 8), st.integers(1, 3), st.integers(1, 4)),
    days=st.booleans(),
    kind=st.sampled_from([ScaleEvent, Utilization]),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_validation_folds_any_setting_lie_wholly_before_every_test_fold(
    n_steps: int,
    counts: tuple[int, int],
    horizon: str,
    extra: int,
    shares: tuple[int, int, int],
    days: bool,
    kind: type,
) -> None:
    target, (folds, count) = kind(horizon), counts
    gap = target.gap + extra * pd.Timedelta("1h")
    train, valid = (share / sum(shares) for share in shares[:2])
    split = RollingOrigin(folds, train, valid, 1 - train - valid, f"{gap / pd.Timedelta('1h')}h")
    panel = panel_of(np.zeros((2, n_steps)))
    if days:  # a trace of separate days: every third one was recorded
        seen = np.arange(n_steps) // 24 % 3 == 0
        panel = replace(panel, present=np.broadcast_to(seen, (2, n_steps)))
    try:
        tested = split.split(panel, target.gap)
        found = split.validation_folds(panel, target.gap, count)
    except InsufficientHistoryError:
        assume(False)
        raise
    first = min(fold.test[0] for fold in tested)
    ahead, n_gap = int(pd.Timedelta(horizon) / panel.step), int(gap / panel.step)
    assert len(found) == count
    for fold in found:
        assert fold.train[0] < fold.train[1] <= fold.valid[0] - n_gap
        assert fold.valid[0] < fold.valid[1] <= first - n_gap
        assert fold.valid[1] - 1 + ahead < first  # where its last label stops looking
        assert fold.test[0] == fold.test[1] <= first
    for one, two in pairwise(found):  # no row validates twice
        assert one.valid[1] <= two.valid[0]
        assert one.train[0] == two.train[0]
    assert (found[-1].train, found[-1].valid) == (tested[0].train, tested[0].valid)
