"""Conformal adjustment of quantile forecasts, on the validation fold.

A booster's 10 % quantile rarely has a tenth of new values below it: it was fitted on the past
and stopped early. One number per horizon and level, learned on held-out rows, sets that right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray
from optimizer.core.state import Stateful

MIN_ROWS = 50
"""Fewer known validation rows than this leave a horizon as it was."""
SPREAD_FLOOR = 0.05
"""A row's spread is at least this share of the horizon's mean spread."""


class QuantileCalibrator(Stateful):
    """Shift every quantile by a multiple of the row's own predicted spread.

    For horizon h and level q the adjusted quantile is ``p_q + c_hq * spread``, where the spread
    of a row is its highest minus its lowest predicted quantile (at least 5 % of the horizon's
    mean, so that a row that was certain can be widened too) and ``c_hq`` is the empirical
    q-quantile of ``(y - p_q) / spread`` on the validation fold: exactly a share q of its actuals
    then lies at or below the adjusted quantile.

    - ``levels``: quantile levels, ascending.
    - ``lower_bound``: no quantile is below it: utilization is never negative. None switches it off.
    - ``shift_``: float64, shape ``(n_horizons, n_quantiles)``: the multiples ``c``; 0 leaves a
      quantile.
    - ``spread_floor_``: float64, shape ``(n_horizons,)``, in the unit of the metric.

    Notes
    -----
    The median is the point forecast: it is moved only where the validation pinball loss at 0.5
    falls by that. Adjusted quantiles are sorted per row, which never raises the pinball loss.
    Only validation rows are read; coverage on the test fold is right as far as the two folds
    are alike.

    References
    ----------
    Romano, Patterson and Candès, Conformalized quantile regression, NeurIPS 2019; scaled by the
    spread as in Sesia and Candès, A comparison of some conformal quantile regression methods,
    Stat 2020.
    """

    fitted_attributes: ClassVar[tuple[str, ...]] = ("shift_", "spread_floor_")

    def __init__(self, levels: Sequence[float], lower_bound: float | None = 0.0) -> None:
        self.levels = tuple(levels)
        self.lower_bound = lower_bound
        self.shift_: NDArray[np.float64] = np.zeros((0, len(self.levels)))
        self.spread_floor_: NDArray[np.float64] = np.zeros(0)

    def fit(self, quantiles: FloatArray, y: FloatArray) -> QuantileCalibrator:
        """Learn the shifts and return the calibrator.

        ``quantiles``: shape ``(n, n_horizons, n_quantiles)``: predictions on the validation rows.
        ``y``: shape ``(n, n_horizons)``: actuals, NaN where not observed.
        """
        n_horizons = quantiles.shape[1]
        self.shift_ = np.zeros((n_horizons, len(self.levels)))
        self.spread_floor_ = np.zeros(n_horizons)
        for index in range(n_horizons):
            known = ~np.isnan(y[:, index])
            actual = y[known, index].astype(np.float64)
            predicted = self._bounded(quantiles[known, index]).astype(np.float64)
            if len(actual) < MIN_ROWS:
                continue
            mean_spread = float(np.mean(predicted[:, -1] - predicted[:, 0]))
            # all rows certain: fall back to a shift in the unit of the metric
            self.spread_floor_[index] = SPREAD_FLOOR * mean_spread if mean_spread > 0 else 1.0
            spread = np.maximum(predicted[:, -1] - predicted[:, 0], self.spread_floor_[index])
            self.shift_[index] = [
                _shift(actual, predicted[:, column], spread, level)
                for column, level in enumerate(self.levels)
            ]
        return self

    def predict(self, quantiles: FloatArray) -> FloatArray:
        """Return adjusted quantiles, float32, shape as given, ascending along the last axis.

        ``quantiles``: shape ``(n, n_horizons, n_quantiles)``, horizons and levels as in ``fit``.
        """
        quantiles = self._bounded(quantiles)
        spread = quantiles[..., -1] - quantiles[..., 0]
        spread = np.maximum(spread, self.spread_floor_.astype(np.float32))
        adjusted = quantiles + spread[..., None] * self.shift_.astype(np.float32)
        return np.sort(self._bounded(adjusted), axis=-1)

    def _bounded(self, quantiles: FloatArray) -> FloatArray:
        """Return the quantiles as float32, none below the bound."""
        values = np.asarray(quantiles, dtype=np.float32)
        return values if self.lower_bound is None else np.maximum(values, self.lower_bound)


def _shift(
    actual: NDArray[np.float64],
    predicted: NDArray[np.float64],
    spread: NDArray[np.float64],
    level: float,
) -> float:
    """Return the level-quantile of the scaled errors, 0 for a median it would not improve."""
    distance = actual - predicted
    shift = float(np.quantile(distance / spread, level, method="inverted_cdf"))
    if abs(level - 0.5) > 1e-9:
        return shift
    moved = np.mean(np.abs(distance - shift * spread))
    return shift if moved < np.mean(np.abs(distance)) else 0.0
