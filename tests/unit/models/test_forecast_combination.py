"""Weights of experts: hand-computed numbers, and the same windows counted row by row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from factories import forecast_task, panel_of, tiny_panel, tiny_table

from optimizer.core.panel import FloatArray, Panel
from optimizer.models.boosting.forecast_combination import (
    ETA,
    LEAST_LOSS,
    Windows,
    mix,
    pinball_losses,
    relative_losses,
    weights_of,
    with_evidence,
)
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import ForecastTask

NEVER = np.datetime64("2000-01-01", "us")
MEDIAN = (0.5,)


def everything(panel: Panel) -> Dataset:
    """Return all rows of the panel; labels are not read."""
    table = tiny_table(panel)
    return Dataset(panel, table, np.arange(table.n_rows), np.zeros(table.n_rows, np.float32))


def constant(samples: Dataset, value: float, levels: int = 1) -> FloatArray:
    return np.full((len(samples), levels), value, dtype=np.float32)


def mixed(samples: Dataset, task: ForecastTask, *values: float) -> FloatArray:
    """Return the mixture of constant experts on the rows of a panel, at the first level."""
    past = with_evidence(samples, task, 0, NEVER)
    experts = [constant(past, value, len(task.quantiles)) for value in values]
    return mix(experts[:-1], experts[-1:], past, samples.rows, task, 0)[:, 0]


def by_hand(errors: list[float]) -> FloatArray:
    """Return the weights of experts whose own and fleet's mean losses are these."""
    score = np.exp(-ETA * np.array(errors) / np.mean(errors))
    weight: FloatArray = score / score.sum()
    return weight


def test_mixture_equals_hand_computed() -> None:
    panel = panel_of(np.full((1, 8), 0.30), step="12h")  # a day is two steps
    found = mixed(everything(panel), forecast_task(panel, ("24h",), MEDIAN), 0.39, 0.40, 0.42)
    # until step 1 nothing has matured: the two models weigh the same
    np.testing.assert_allclose(found[:2], 0.395, rtol=1e-6)
    # losses 0.045, 0.05, 0.06 are 0.871, 0.968, 1.161 of their mean: 1 : 0.380 : 0.0548
    np.testing.assert_allclose(found[2:], 0.393795, atol=1e-6)


def test_weights_draw_a_service_to_the_fleet() -> None:
    own = np.array([[0.2, 0.6]]), np.array([[2.0]])  # mean losses 0.1 and 0.3: 0.5 and 1.5
    fleet = np.array([[4.0, 4.0]]), np.array([[10.0]])
    # four rows' worth of the fleet: (2 * 0.5 + 4) / 6 and (2 * 1.5 + 4) / 6, a third apart
    weight = weights_of(own, fleet, 4.0, (0.5, 0.5))
    np.testing.assert_allclose(weight, [[0.965555, 0.034445]], atol=1e-6)


@pytest.mark.parametrize(
    "own",
    [
        (np.zeros((1, 2)), np.zeros((1, 1))),
        (np.array([[0.0, LEAST_LOSS]]), np.array([[1.0]])),
    ],
    ids=["service without a row", "service that stands still"],
)
def test_weights_of_a_service_that_tells_nothing_are_those_of_the_fleet(
    own: tuple[FloatArray, FloatArray],
) -> None:
    fleet = np.array([[3.0, 1.0]]), np.array([[10.0]])
    weight = weights_of(own, fleet, 48.0, (0.5, 0.5))  # type: ignore[arg-type]
    np.testing.assert_allclose(weight[0], by_hand([3.0, 1.0]))


def test_without_evidence_the_models_weigh_the_same_and_own_values_nothing() -> None:
    panel = panel_of(np.full((1, 2), 0.3), step="12h")  # a day ahead nothing has matured
    samples = everything(panel)
    task = forecast_task(panel, ("24h",), MEDIAN)
    past = with_evidence(samples, task, 0, NEVER)
    models, own = ([constant(past, v) for v in pair] for pair in ((0.2, 0.4), (0.8, 0.9)))
    np.testing.assert_allclose(mix(models, own, past, samples.rows, task, 0), 0.3, rtol=1e-6)


def test_weights_without_any_evidence_are_the_default() -> None:
    nothing = np.zeros((2, 3)), np.zeros((2, 1))
    weight = weights_of(nothing, nothing, 48.0, (0.5, 0.5, 0.0))
    np.testing.assert_array_equal(weight, [[0.5, 0.5, 0.0]] * 2)


def test_relative_losses_of_a_fleet_that_stands_still_are_equal() -> None:
    relative, known = relative_losses(np.zeros((1, 3)), np.array([[5.0]]))
    np.testing.assert_array_equal(relative, np.ones((1, 3)))
    assert not known.any()


def test_pinball_losses_equal_hand_computed() -> None:
    y, forecasts = np.array([1.0], np.float32), np.array([[0.5, 1.5]], np.float32)
    np.testing.assert_allclose(pinball_losses(y, forecasts, 0.8), [[0.4, 0.1]])


def test_each_level_has_its_own_weights() -> None:
    panel = panel_of(np.full((1, 8), 0.5), step="12h")
    task = forecast_task(panel, ("24h",), (0.1, 0.5, 0.9))
    samples = everything(panel)
    past = with_evidence(samples, task, 0, NEVER)
    experts = [constant(past, value, 3) for value in (0.4, 0.6, 0.6)]
    found = mix(experts[:-1], experts[-1:], past, samples.rows, task, 0)[-1]
    # 0.4 is a good 10 % quantile of 0.5 and 0.6 a good 90 % quantile; at the median they tie
    low, high = by_hand([0.1, 0.9, 0.9]), by_hand([0.9, 0.1, 0.1])
    want = [low @ [0.4, 0.6, 0.6], 1.6 / 3, high @ [0.4, 0.6, 0.6]]
    np.testing.assert_allclose(found, want, rtol=1e-6)


def test_unseen_service_is_weighted_as_the_fleet() -> None:
    cpu = np.full((3, 8), 0.3)
    cpu[1], cpu[2, :7] = 0.5, np.nan
    panel = panel_of(cpu, step="12h")
    found = mixed(everything(panel), forecast_task(panel, ("24h",), MEDIAN), 0.39, 0.40, 0.42)
    losses = np.abs(np.array([[0.39, 0.40, 0.42]]) - np.array([[0.3], [0.5]])).mean(axis=0)
    newest = found.reshape(3, 8)[2, 7]
    assert newest == pytest.approx(by_hand(losses.tolist()) @ [0.39, 0.40, 0.42], rel=1e-6)


def count_row_by_row(past: Dataset, values: FloatArray, t: int, ahead: int, day: int) -> FloatArray:
    """Return the sums per service over the rows made in ``(t - ahead - day, t - ahead]``."""
    sums = np.zeros((past.panel.n_services, values.shape[1]))
    for service, step, value in zip(past.service, past.step, values, strict=True):
        if t - ahead - day < step <= t - ahead:
            sums[service] += value
    return sums  # type: ignore[return-value]


@pytest.mark.parametrize(("step", "n_steps"), [("1h", 120), ("5min", 900)])
@pytest.mark.parametrize("horizon", ["24h", "36h"])
def test_windows_sum_what_has_matured(step: str, n_steps: int, horizon: str) -> None:
    panel = tiny_panel(3, n_steps, seed=3, step=step, gaps=0.1)
    task = forecast_task(panel, (horizon,), MEDIAN)
    samples = everything(panel)
    past = with_evidence(samples, task, 0, NEVER)
    evidence = past.select(~np.isnan(past.y))
    values = np.random.default_rng(0).random((len(evidence), 2))
    ahead, day = task.horizon_steps[0], round(pd.Timedelta("24h") / panel.step)
    own, fleet = Windows.cut(evidence, samples, ahead).sums(values)
    for row in range(0, len(samples), 97):
        want = count_row_by_row(evidence, values, samples.step[row], ahead, day)  # type: ignore[arg-type]
        np.testing.assert_allclose(own[row], want[samples.service[row]], atol=1e-9)
        np.testing.assert_allclose(fleet[row], want.sum(axis=0), atol=1e-9)


def test_shrinkage_is_two_days_on_every_clock() -> None:
    found = []
    for step, size in (("1h", 1), ("5min", 12)):
        # two services far apart, so that the shrinkage shows; a day's rows of each
        cpu = np.repeat([[0.3], [0.5]], 60 * size, axis=1)
        panel = panel_of(cpu, step=step)
        rows = everything(panel)
        task = forecast_task(panel, ("24h",), MEDIAN)
        found.append(mixed(rows, task, 0.39, 0.40, 0.42).reshape(2, -1)[:, -1])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)
    assert found[0][0] < found[0][1]


def test_evidence_is_what_has_matured_since_the_fit() -> None:
    cpu = np.arange(100, dtype=np.float64)[None] / 100
    cpu[0, [50, 75]] = np.nan  # made in a gap; matured in a gap
    panel = panel_of(cpu)
    task = forecast_task(panel, ("1h", "24h"), MEDIAN)
    samples = everything(panel)
    samples = samples.select((samples.step >= 85) & (samples.step < 90))
    past = with_evidence(samples, task, 1, panel.timestamps[45])
    evidence = past.select(~np.isnan(past.y))
    # the window of step 85 opens at 85 - 24 - 23 = 38, but the fit's last row is step 45
    np.testing.assert_array_equal(
        evidence.step, [s for s in range(46, 66) if s not in {50, 75 - 24}]
    )
    np.testing.assert_allclose(evidence.y, (evidence.step + 24) / 100, rtol=1e-6)
    assert set(samples.rows) <= set(past.rows)
    far = with_evidence(samples, task, 1, panel.timestamps[0])
    assert far.step[0] == 85 - 24 - 23
    late = with_evidence(samples, task, 1, panel.timestamps[-1])
    np.testing.assert_array_equal(late.rows, samples.rows)


def test_no_rows_give_no_forecasts() -> None:
    panel = tiny_panel(2, 60)
    task = forecast_task(panel, ("24h",))
    samples = everything(panel)
    nothing = samples.select(np.zeros(len(samples), dtype=bool))
    past = with_evidence(nothing, task, 0, NEVER)
    assert len(past) == 0
    experts = [constant(past, 0.5, 3)] * 2
    assert mix(experts, experts, past, nothing.rows, task, 0).shape == (0, 3)


def test_labels_of_the_rows_to_predict_are_not_read() -> None:
    panel = tiny_panel(2, 120, seed=2)
    task = forecast_task(panel, ("24h",), MEDIAN)
    samples = everything(panel)
    wrong = replace(samples, y=np.full((len(samples), 1), 9.0, np.float32))
    np.testing.assert_array_equal(
        mixed(samples, task, 0.2, 0.3, 0.4), mixed(wrong, task, 0.2, 0.3, 0.4)
    )
