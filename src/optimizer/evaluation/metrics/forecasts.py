"""Metrics of quantile forecasts, all of one signature: ``metric(y_true, y_pred, ...) -> float``.

``y_true`` has shape ``(n,)`` and is NaN where the future was not observed: such rows are left
out. A point metric takes ``y_pred`` of shape ``(n,)``, a quantile metric of shape
``(n, n_quantiles)`` with its ``levels``. Error is prediction minus actual, so that a positive bias
means too high. Without a row to judge a metric is NaN; so it is when a prediction is NaN, because
a model may not choose its rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating]
NAN = float("nan")


def mae(y_true: Values, y_pred: Values) -> float:
    """Return the mean absolute error, in the unit of the metric."""
    return _mean(np.abs(_errors(y_true, y_pred)), y_true)


def rmse(y_true: Values, y_pred: Values) -> float:
    """Return the root of the mean squared error, in the unit of the metric."""
    return float(np.sqrt(_mean(np.square(_errors(y_true, y_pred)), y_true)))


def bias(y_true: Values, y_pred: Values) -> float:
    """Return the mean of prediction minus actual: positive means too high."""
    return _mean(_errors(y_true, y_pred), y_true)


def mase(y_true: Values, y_pred: Values, scale: Values) -> float:
    """Return the mean absolute scaled error, pooled.

    ``sum |error| / sum scale`` over the rows: below 1 beats what the seasonal naive did in the
    training fold. A ratio of sums, so that a nearly constant service, whose own scale is nearly
    zero, cannot swamp the fleet. ``y_true``, ``y_pred``: shape ``(n,)``. ``scale``: shape ``(n,)``:
    of each row's service, the mean absolute error of the seasonal naive inside the training fold
    (:func:`seasonal_naive_scale`).

    References
    ----------
    Hyndman and Koehler, Another look at measures of forecast accuracy, International Journal
    of Forecasting 2006.
    """
    error = np.abs(_errors(y_true, y_pred))
    known = ~np.isnan(y_true) & ~np.isnan(scale)
    total = float(np.sum(scale[known], dtype=np.float64))
    return float(error[known].sum() / total) if total > 0 else NAN


def seasonal_naive_scale(
    values: Values, season_steps: int, n_train_steps: int
) -> NDArray[np.float64]:
    """Return each service's in-sample mean absolute error of the seasonal naive.

    float64, shape ``(n_services,)``: mean of ``|v[t] - v[t - season]|``; a service without such a
    pair has the fleet's mean, NaN if there is none at all.

    - ``values``: shape ``(n_services, n_steps)``: the metric, NaN in gaps.
    - ``season_steps``: steps of a season (24 h), at least 1.
    - ``n_train_steps``: the training fold is the steps before this one; nothing later is read.
    """
    past = values[:, :n_train_steps].astype(np.float64)
    distance = np.abs(past[:, season_steps:] - past[:, : max(n_train_steps - season_steps, 0)])
    known = ~np.isnan(distance)
    pairs, total = known.sum(axis=1), np.where(known, distance, 0.0).sum(axis=1)
    scale = np.full(len(values), total.sum() / pairs.sum() if pairs.sum() else np.nan)
    np.divide(total, pairs, out=scale, where=pairs > 0)
    return scale


def pinball_rows(y_true: Values, y_pred: Values, levels: Sequence[float]) -> NDArray[np.float64]:
    """Return each row's pinball loss averaged over the levels, shape ``(n,)``, NaN if unknown."""
    total = np.zeros(len(y_true))
    for index, level in enumerate(levels):
        shortfall = -_errors(y_true, y_pred[:, index])
        total += np.maximum(level * shortfall, (level - 1.0) * shortfall)
    return total / len(levels)


def pinball(y_true: Values, y_pred: Values, levels: Sequence[float]) -> float:
    """Return the pinball loss ``max(q (y - p), (q - 1) (y - p))`` averaged over rows and levels.

    References
    ----------
    Koenker and Bassett, Regression quantiles, Econometrica 1978;
    :func:`sklearn.metrics.mean_pinball_loss`.
    """
    return _mean(pinball_rows(y_true, y_pred, levels), y_true)


def weighted_quantile_loss(y_true: Values, y_pred: Values, levels: Sequence[float]) -> float:
    """Return twice the summed pinball loss over the sum of ``|y|``, averaged over the levels.

    References
    ----------
    ``mean_wQuantileLoss`` of GluonTS (Alexandrov et al., JMLR 2020).
    """
    loss = pinball_rows(y_true, y_pred, levels)
    known = ~np.isnan(y_true)
    total = float(np.sum(np.abs(y_true[known]), dtype=np.float64))
    return float(2.0 * loss[known].sum() / total) if total > 0 else NAN


def interval_coverage(y_true: Values, lower: Values, upper: Values) -> float:
    """Return the PICP: the share of actuals within ``[lower, upper]``, bounds included."""
    return _mean(((y_true >= lower) & (y_true <= upper)).astype(np.float64), y_true)


def interval_width(y_true: Values, lower: Values, upper: Values) -> float:
    """Return the mean width of the intervals whose actual is known."""
    return _mean(upper.astype(np.float64) - lower, y_true)


def _errors(y_true: Values, y_pred: Values) -> NDArray[np.float64]:
    """Return prediction minus actual in float64, NaN where the actual is unknown."""
    return np.asarray(y_pred, dtype=np.float64) - y_true


def _mean(values: NDArray[np.float64], y_true: Values) -> float:
    """Return the mean over the rows whose actual is known."""
    known = values[~np.isnan(y_true)]
    return float(known.mean()) if len(known) else NAN
