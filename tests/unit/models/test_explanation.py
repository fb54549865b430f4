"""What drove a forecast: SHAP values that add up, and their inputs in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from usages import at, fleet

from optimizer.demand.usage import Usage
from optimizer.models.exceedance.explanation import explain_targets, input_names
from optimizer.models.exceedance.features import HALFLIVES, REFERENCES, SurfaceTable, describe
from optimizer.models.exceedance.fitted import TrainedSurface, build_intervals, fit_surface
from optimizer.models.exceedance.lightgbm import ExceedanceLightGBM
from optimizer.models.exceedance.rolling import RollingSurface

HELD, STOP, DAY = 6, 12 * 24, 24
SILENT = 2
SETTINGS = RollingSurface(
    ExceedanceLightGBM(rounds=20, min_child_samples=20, num_leaves=7), seed=3, threads=1
)


@pytest.fixture(scope="module")
def usage() -> Usage:
    return fleet(8, 20)  # service 1 starts on day 12, service 2 is silent


@pytest.fixture(scope="module")
def trained(usage: Usage) -> TrainedSurface:
    return fit_surface(build_intervals(usage, SETTINGS, STOP), SETTINGS)


def booster_of(trained: TrainedSurface) -> Any:
    assert isinstance(trained.model.model, ExceedanceLightGBM)
    return trained.model.model._booster


@pytest.fixture(scope="module")
def table(usage: Usage) -> SurfaceTable:
    return describe(usage, at(STOP + DAY), HELD)


@pytest.fixture(scope="module")
def targets(usage: Usage) -> np.ndarray:
    return np.asarray(0.6 * usage.capacity, dtype=np.float32)


def test_contributions_add_up_to_the_prediction(
    usage: Usage, trained: TrainedSurface, table: SurfaceTable, targets: np.ndarray
) -> None:
    inputs, shap = trained.model.contributions(usage, table, targets)
    share = trained.model.exceedance(usage, table, targets[None, :, None])[0, :, 0]
    known = table.known[0]
    assert known.tolist() == [service != SILENT for service in range(8)]
    expected = booster_of(trained).predict(inputs, pred_contrib=True)[:, -1]
    assert np.ptp(expected) == 0.0  # one for all: the mean over the fit
    odds = np.log(share / (1.0 - share))
    np.testing.assert_allclose((shap.sum(axis=1) + expected)[known], odds[known], atol=1e-4)
    assert np.ptp(odds[known]) > 0.5  # services do differ


def test_every_input_has_a_name(
    usage: Usage, trained: TrainedSurface, table: SurfaceTable, targets: np.ndarray
) -> None:
    inputs, shap = trained.model.contributions(usage, table, targets)
    names = input_names(table)
    assert len(names) == inputs.shape[1] == shap.shape[1] == booster_of(trained).num_feature()
    assert len(names) == len(table.names) + len(REFERENCES) + len(HALFLIVES)
    told = [name(0.5) for name in names]
    assert len(set(told)) == len(told)


def test_strongest_inputs_are_told_with_what_they_do(
    usage: Usage, trained: TrainedSurface, table: SurfaceTable, targets: np.ndarray
) -> None:
    found = explain_targets(trained.model, usage, table, targets)
    inputs, shap = trained.model.contributions(usage, table, targets)
    names = input_names(table)
    assert [len(one) for one in found] == [0 if s == SILENT else 3 for s in range(8)]
    seen = set()
    for service in (0, 1, 7):
        size = np.abs(shap[service])
        for rank, text in enumerate(found[service]):
            column = int(np.flatnonzero(size == np.sort(size)[-1 - rank])[0])
            verb = "raises" if shap[service, column] > 0 else "lowers"
            value = names[column](float(inputs[service, column]))
            assert text == f"{value} ({verb} the risk)"
            seen.add(verb)
    assert seen == {"raises", "lowers"}
    one = explain_targets(trained.model, usage, table, targets, most=1)
    assert [text for text, *_ in filter(None, found)] == [text for (text,) in filter(None, one)]


def test_higher_target_lowers_the_risk(
    usage: Usage, trained: TrainedSurface, table: SurfaceTable, targets: np.ndarray
) -> None:
    low, high = (
        trained.model.contributions(usage, table, np.float32(scale) * targets)[1]
        for scale in (0.2, 5.0)
    )
    known = table.known[0]
    assert (low.sum(axis=1) > high.sum(axis=1))[known].all()


def table_of(*names: str) -> SurfaceTable:
    empty = np.zeros((1, 1, len(names)), dtype=np.float32)
    return SurfaceTable(at(1), empty, np.zeros((1, 1, len(REFERENCES)), np.float32), names)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("max 24h", np.log(1.2), "max 24h = 1.20 x p99 7d"),
        ("std 6h", np.log(0.5), "std 6h = 0.50 x p99 7d"),
        ("last", np.nan, "last = ? x p99 7d"),
        ("same part of day max", 0.0, "same part of day max = 1.00 x p99 7d"),
        ("p99 7d", np.log(0.25), "p99 7d = 0.25 x capacity"),
        ("peak trend 6h", np.log(2.0), "peak trend 6h = 2.00 x the window before"),
        ("idle 24h", 0.05, "idle 24h steps = 5 %"),
        ("observed 24h", 1.0, "observed 24h steps = 100 %"),
        ("high 7d", np.nan, "high 7d steps = ?"),
        ("last peak's rank", 0.5, "last peak's rank = 50 %"),
        ("age", np.log1p(336.0), "age = 336 steps"),
        ("since high", np.log1p(5.0), "since high = 5 steps"),
        ("cos week", -0.5, "cos week = -0.5"),
    ],
)
def test_features_in_words(name: str, value: float, told: str) -> None:
    assert input_names(table_of(name))[0](value) == told


def test_levels_and_past_exceedance_in_words() -> None:
    names = input_names(table_of())
    first = REFERENCES.index("max 24h")
    assert names[first](np.log(1.5)) == "target = 1.50 x max 24h"
    assert names[len(REFERENCES)](0.015) == "past steps above target (12h) = 1.5 %"
    assert names[-1](0.0) == "past steps above target (72h) = 0 %"
