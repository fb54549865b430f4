"""The decision threshold: where raising an alarm starts to pay, chosen on the validation fold."""

from __future__ import annotations

import numpy as np

from optimizer.evaluation.metrics.events import Vector


def choose_threshold(
    y_true: Vector, y_score: Vector, *, cost_miss: float = 10.0, cost_false_alarm: float = 1.0
) -> float:
    """Return the threshold that minimises ``cost_miss * misses + cost_false_alarm * false alarms``.

    A row alarms when its score is at or above it. Of equal costs the highest threshold is taken
    (fewest alarms); a value just above the highest score means that no alarm pays. Without a
    positive row there is nothing to learn from, and the threshold is the one that is right for true
    probabilities, ``cost_false_alarm / (cost_miss + cost_false_alarm)``.

    - ``y_true``: shape ``(n,)``, 0 or 1: labels of the validation rows.
    - ``y_score``: shape ``(n,)``, in [0, 1]: calibrated probabilities of the same rows.
    - ``cost_miss``, ``cost_false_alarm``: cost of a positive row below the threshold and of a
      negative row at or above it, > 0.

    Notes
    -----
    Every distinct score is a candidate. All are weighed in one sorted pass.

    References
    ----------
    Elkan, The foundations of cost-sensitive learning, IJCAI 2001.
    """
    positives = float(np.sum(y_true > 0.5))
    if positives == 0:
        return cost_false_alarm / (cost_miss + cost_false_alarm)
    order = np.argsort(-np.asarray(y_score, dtype=np.float64), kind="stable")
    score = np.asarray(y_score, dtype=np.float64)[order]
    hits = np.cumsum(np.asarray(y_true)[order] > 0.5)
    last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
    false_alarms = last + 1 - hits[last]
    cost = cost_miss * (positives - hits[last]) + cost_false_alarm * false_alarms
    best = int(np.argmin(cost))
    if cost[best] >= cost_miss * positives:
        return float(np.nextafter(score[0], np.inf))
    return float(score[last[best]])


def decision_cost(
    y_true: Vector,
    y_score: Vector,
    *,
    threshold: float,
    cost_miss: float = 10.0,
    cost_false_alarm: float = 1.0,
) -> float:
    """Return the mean cost per row of alarming at the threshold; NaN without rows."""
    if len(y_true) == 0:
        return float("nan")
    alarm = np.asarray(y_score) >= threshold
    positive = np.asarray(y_true) > 0.5
    cost = cost_miss * np.sum(positive & ~alarm) + cost_false_alarm * np.sum(alarm & ~positive)
    return float(cost / len(y_true))
