"""Weights of the experts of one horizon, from how well each did lately.

A day ahead no single forecast is best for long: a model of the level wins while services behave
as in training, the service's own recent distribution wins after they have changed, and what the
hour was on past days wins where they keep to the clock. So a horizon has several experts, and
each of their quantiles is weighted by its recent loss.

Information at time t: for a horizon h, the forecasts that were made at moments
``s <= t - h``, whose targets ``s + h <= t`` have been observed. Forecasts made up to the last
training row are no evidence, since there the models have seen the answers; validation rows, which
only stop a training early, are.

References
----------
Cesa-Bianchi and Lugosi, Prediction, Learning, and Games, Cambridge University Press 2006 (chapter
2, exponentially weighted averages); Berrisch and Ziel, CRPS learning, Journal of Econometrics
2023 (weights per quantile level).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import count_steps
from optimizer.core.panel import FloatArray, IntArray
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import ForecastTask

WINDOW = pd.Timedelta("24h")
"""Moments of prediction whose losses count, up to ``t - h``.

With SHRINKAGE and ETA it was chosen on rolling origins before the default test fold of a public
trace, the GWA-T-12 Bitbrains servers, and checked on generated data; with the fourth expert none
of nine neighbours was better there by more than 0.3 %.
"""
SHRINKAGE = pd.Timedelta("48h")
"""How much evidence the fleet's loss is worth against a service's own; chosen as WINDOW was."""
ETA = 10.0
"""Sharpness of the weights: a relative loss 0.1 lower multiplies a weight by e. As WINDOW."""
LEAST_LOSS = 1e-6
"""A mean loss up to this, as of a service that stands still, tells experts apart no more."""

Matrix = NDArray[np.float64]
Index = NDArray[np.integer]


def with_evidence(
    samples: Dataset, task: ForecastTask, position: int, since: np.datetime64
) -> Dataset:
    """Return the rows and, beside them, those past ones whose forecasts weigh the experts.

    ``y`` has shape ``(n,)``: of a row of evidence the actual at ``s + h``, which is no later than
    the newest row to predict; of any other NaN. ``since``: moment of the last training row;
    evidence is later.
    """
    panel, table = samples.panel, samples.table
    ahead = task.horizon_steps[position]
    if len(samples) == 0:
        return Dataset(panel, table, samples.rows, np.empty(0, dtype=np.float32))
    fresh = int(np.searchsorted(panel.timestamps, since, side="right"))
    first = int(samples.step.min()) - ahead - count_steps(WINDOW, panel.step) + 1
    last = int(samples.step.max()) - ahead
    past = np.flatnonzero((table.step >= max(first, fresh)) & (table.step <= last))
    service, step = table.service[past], table.step[past]
    actual = panel.at(task.metric, service, step + ahead)
    known = ~np.isnan(actual) & ~np.isnan(panel.at(task.metric, service, step))
    rows = np.union1d(samples.rows, past[known])
    y = np.full(len(rows), np.nan, dtype=np.float32)
    y[np.searchsorted(rows, past[known])] = actual[known]
    return Dataset(panel, table, rows, y)


@dataclass(frozen=True)
class Windows:
    """Which matured forecasts count for each row, on the grid of services and steps.

    ``service``, ``step``: shape ``(k,)``: rows of evidence, the first step being 1. ``place``,
    ``low``, ``high``: shape ``(m,)``: service of each row to predict, and the half-open range
    ``(low, high]`` of the steps that count for it. ``shape``: services, and steps plus 1.
    """

    service: IntArray
    step: Index
    place: IntArray
    low: Index
    high: Index
    shape: tuple[int, int]

    @classmethod
    def cut(cls, past: Dataset, rows: Dataset, ahead: int) -> Windows:
        """Return for each row the forecasts made in ``(t - ahead - WINDOW, t - ahead]``."""
        base = int(past.step.min()) if len(past) else 0
        size = int(past.step.max()) - base + 1 if len(past) else 0
        high = rows.step.astype(np.int64) - (ahead + base - 1)
        low = high - count_steps(WINDOW, rows.panel.step)
        low, high = (np.clip(end, 0, size) for end in (low, high))
        shape = rows.panel.n_services, size + 1
        return cls(past.service, past.step - (base - 1), rows.service, low, high, shape)

    def sums(self, values: Matrix) -> tuple[Matrix, Matrix]:
        """Return the sums over each row's window, of its own service and of the fleet.

        float64, each of shape ``(m, n)``. ``values``: float64, shape ``(k, n)``.
        """
        grid = np.zeros((*self.shape, values.shape[1]))
        grid[self.service, self.step] = values
        fleet = np.cumsum(grid.sum(axis=0), axis=0)
        np.cumsum(grid, axis=1, out=grid)
        own: Matrix = grid[self.place, self.high] - grid[self.place, self.low]
        return own, fleet[self.high] - fleet[self.low]


def pinball_losses(y: FloatArray, forecasts: FloatArray, level: float) -> Matrix:
    """Return each expert's pinball loss at one level.

    float64, shape ``(k, n_experts)``. ``y``: shape ``(k,)``: actuals. ``forecasts``: shape ``(k,
    n_experts)``: the experts' quantiles of this level.
    """
    short = y[:, None].astype(np.float64) - forecasts
    return np.maximum(level * short, (level - 1.0) * short)


def relative_losses(total: Matrix, count: Matrix) -> tuple[Matrix, NDArray[np.bool_]]:
    """Return each expert's mean loss over the mean of all experts', and where it says something.

    float64, shape ``(m, n_experts)``, 1 where nothing is said; bool, shape ``(m, 1)``. ``total``:
    shape ``(m, n_experts)``: losses summed over the window. ``count``: shape ``(m, 1)``: rows in
    the window.
    """
    mean = total / np.maximum(count, 1.0)
    middle = mean.mean(axis=1, keepdims=True)
    known = (count > 0.0) & (middle > LEAST_LOSS)
    return np.where(known, mean / np.where(known, middle, 1.0), 1.0), known


def weights_of(
    own: tuple[Matrix, Matrix],
    fleet: tuple[Matrix, Matrix],
    shrinkage: float,
    default: Sequence[float],
) -> Matrix:
    """Return each expert's weight from the losses of the service and of the fleet.

    A service's relative loss ``r`` over its ``n`` rows is drawn to the fleet's, ``(n r + k r_fleet)
    / (n + k)``; the weights are the softmax of ``-ETA`` times that. float64, shape ``(m,
    n_experts)``, summing to 1 per row. ``own``, ``fleet``: losses summed over the window, shape
    ``(m, n_experts)``, and its rows, shape ``(m, 1)``. ``default``: weights where the fleet has no
    matured forecast either.
    """
    common, _ = relative_losses(*fleet)
    relative, known = relative_losses(*own)
    rows = np.where(known, own[1], 0.0)
    score = -ETA * (rows * relative + shrinkage * common) / (rows + shrinkage)
    weight = np.exp(score - score.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    return np.where(fleet[1] > 0.0, weight, np.asarray(default))


def mix(
    models: Sequence[FloatArray],
    own: Sequence[FloatArray],
    past: Dataset,
    rows: NDArray[np.int64],
    task: ForecastTask,
    position: int,
) -> FloatArray:
    """Return the weighted mean of the experts' quantiles, level by level.

    float32, shape ``(m, n_quantiles)``, ascending.

    - ``models``, ``own``: quantiles of the experts that are models, and of those that are the
      service's own past values; each float32, shape ``(n, n_quantiles)``.
    - ``past``: the ``n`` rows of the forecasts, as :func:`with_evidence` returns them.
    - ``rows``: shape ``(m,)``: rows of the table to predict, all of them among those of ``past``.

    Notes
    -----
    Where no forecast has matured, the models weigh the same and the service's own values nothing:
    these can be far worse than a model.

    One level is held on the grid at a time: 8 bytes per service, step and expert.
    """
    wanted = np.searchsorted(past.rows, rows)
    known = ~np.isnan(past.y)
    evidence = past.select(known)
    at = Dataset(past.panel, past.table, rows, past.y[wanted])
    windows = Windows.cut(evidence, at, task.horizon_steps[position])
    own_rows, fleet_rows = windows.sums(np.ones((len(evidence), 1)))
    shrinkage = float(count_steps(SHRINKAGE, past.panel.step))
    experts = [*models, *own]
    default = [1.0 / len(models)] * len(models) + [0.0] * len(own)
    out = np.empty((len(rows), len(task.quantiles)), dtype=np.float32)
    for place, level in enumerate(task.quantiles):
        forecasts = np.stack([one[:, place] for one in experts], axis=1)
        ours, fleet = windows.sums(pinball_losses(evidence.y, forecasts[known], level))
        weight = weights_of((ours, own_rows), (fleet, fleet_rows), shrinkage, default)
        out[:, place] = (weight * forecasts[wanted]).sum(axis=1)
    return np.sort(out, axis=1)
