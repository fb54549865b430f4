"""Metrics of event probabilities, all of one signature: ``metric(y_true, y_score, ...) -> float``.

``y_true`` has shape ``(n,)`` and holds 0 or 1; ``y_score`` has shape ``(n,)`` and holds
probabilities in [0, 1]. A metric that the rows cannot define (no rows, no positives, one class
only) is NaN, never an exception: a quiet week is no failure.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.floating]
NAN = float("nan")


def prevalence(y_true: Vector) -> float:
    """Return the share of positive rows."""
    return float(np.mean(y_true, dtype=np.float64)) if len(y_true) else NAN


def average_precision(y_true: Vector, y_score: Vector) -> float:
    """Return the average precision: precision averaged over the positives as they are found.

    References
    ----------
    :func:`sklearn.metrics.average_precision_score` (no interpolation, ties found together).
    """
    from sklearn.metrics import average_precision_score

    if not _has_both(y_true):
        return NAN
    return float(average_precision_score(y_true, y_score))


def average_precision_lift(y_true: Vector, y_score: Vector) -> float:
    """Return the average precision as a multiple of the prevalence (what a coin reaches)."""
    if not _has_both(y_true):
        return NAN
    return average_precision(y_true, y_score) / prevalence(y_true)


def roc_auc(y_true: Vector, y_score: Vector) -> float:
    """Return the area under the ROC curve (:func:`sklearn.metrics.roc_auc_score`)."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(y_true, y_score)) if _has_both(y_true) else NAN


def brier_score(y_true: Vector, y_score: Vector) -> float:
    """Return the mean squared difference between probability and outcome; lower is better."""
    if len(y_true) == 0:
        return NAN
    return float(np.mean(np.square(np.asarray(y_score, dtype=np.float64) - y_true)))


def brier_skill(y_true: Vector, y_score: Vector, reference: Vector | float | None = None) -> float:
    """Return the Brier skill ``1 - Brier(score) / Brier(reference)``; 0 is no better.

    ``reference``: probabilities to beat, for example each row's service's past rate. By default the
    prevalence of these very rows: the best constant there is, known only in hindsight.

    References
    ----------
    Murphy, Skill scores based on the mean square error, Monthly Weather Review 1988.
    """
    if not _has_both(y_true):
        return NAN
    known = prevalence(y_true) if reference is None else reference
    base = brier_score(y_true, np.broadcast_to(np.asarray(known), np.shape(y_true)))
    return 1.0 - brier_score(y_true, y_score) / base if base > 0 else NAN


def log_loss(y_true: Vector, y_score: Vector) -> float:
    """Return the mean negative log likelihood in nats; probabilities are kept 1e-15 inside."""
    if len(y_true) == 0:
        return NAN
    p = np.clip(np.asarray(y_score, dtype=np.float64), 1e-15, 1.0 - 1e-15)
    return float(-np.mean(np.where(np.asarray(y_true) > 0.5, np.log(p), np.log1p(-p))))


def reliability_bins(
    y_true: Vector, y_score: Vector, n_bins: int = 15
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return mean probability, event rate and row count of bins of equal mass.

    Rows are sorted by score and cut into ``n_bins`` runs whose lengths differ by at most one.
    Rows of one score share their mean outcome, so that the order of the rows cannot matter.
    """
    if len(y_true) == 0:
        return np.empty(0), np.empty(0), np.empty(0, dtype=np.int64)
    score, inverse, rows = np.unique(
        np.asarray(y_score, dtype=np.float64), return_inverse=True, return_counts=True
    )
    outcome = np.repeat(np.bincount(inverse, weights=y_true) / rows, rows)
    n_bins = min(n_bins, len(y_true))
    edges = np.arange(n_bins + 1) * len(y_true) // n_bins
    count = np.diff(edges)
    mean_score = np.add.reduceat(np.repeat(score, rows), edges[:-1]) / count
    return mean_score, np.add.reduceat(outcome, edges[:-1]) / count, count


def expected_calibration_error(y_true: Vector, y_score: Vector, n_bins: int = 15) -> float:
    """Return the mean distance between probability and event rate over bins of equal mass.

    References
    ----------
    Naeini et al., Obtaining well calibrated probabilities using Bayesian binning, AAAI 2015;
    bins of equal mass as in Nixon et al., Measuring calibration in deep learning, 2019.
    """
    if len(y_true) == 0:
        return NAN
    mean_score, rate, count = reliability_bins(y_true, y_score, n_bins)
    return float(np.sum(count * np.abs(mean_score - rate)) / count.sum())


def precision(y_true: Vector, y_score: Vector, threshold: float) -> float:
    """Return the share of alarming rows (score at or above the threshold) that are positive."""
    alarm = np.asarray(y_score) >= threshold
    return float(np.mean(np.asarray(y_true)[alarm])) if alarm.any() else NAN


def recall(y_true: Vector, y_score: Vector, threshold: float) -> float:
    """Return the share of positive rows that alarm."""
    positive = np.asarray(y_true) > 0.5
    return float(np.mean(np.asarray(y_score)[positive] >= threshold)) if positive.any() else NAN


def f_beta(y_true: Vector, y_score: Vector, threshold: float, beta: float = 1.0) -> float:
    """Return ``(1 + b²) PR / (b² P + R)`` at the threshold; 0 when nothing alarms.

    ``threshold``: a row alarms when its score is at or above it. ``beta``: how many times recall
    matters as much as precision, > 0.
    """
    positive = np.asarray(y_true) > 0.5
    if not positive.any():
        return NAN
    alarm = np.asarray(y_score) >= threshold
    hits = np.sum(alarm & positive)
    square = beta * beta
    return float((1.0 + square) * hits / (square * positive.sum() + alarm.sum()))


def _has_both(y_true: Vector) -> bool:
    """Tell whether there are positive and negative rows."""
    positives = int(np.sum(np.asarray(y_true) > 0.5))
    return 0 < positives < len(y_true)
