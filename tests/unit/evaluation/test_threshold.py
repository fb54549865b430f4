from __future__ import annotations

import numpy as np
import pytest

from optimizer.evaluation.threshold import choose_threshold, decision_cost

Y = np.array([1.0, 0.0, 1.0, 0.0, 0.0])
SCORE = np.array([0.9, 0.8, 0.6, 0.6, 0.1])


@pytest.mark.parametrize(
    ("miss", "threshold"),
    [
        # misses, false alarms at 0.9: 1, 0; 0.8: 1, 1; 0.6: 0, 2; 0.1: 0, 3; none: 2, 0
        (10.0, 0.6),  # 10, 11, 2, 3, 20
        (1.5, 0.9),  # 1.5, 2.5, 2, 3, 3
        (2.0, 0.9),  # 2, 3, 2, 3, 4: the higher of two that cost the same
    ],
)
def test_choose_threshold_minimises_the_cost(miss: float, threshold: float) -> None:
    assert choose_threshold(Y, SCORE, cost_miss=miss, cost_false_alarm=1.0) == threshold


def test_choose_threshold_when_no_alarm_pays_lies_above_all_scores() -> None:
    y = np.array([0.0, 0.0, 1.0])
    threshold = choose_threshold(y, np.array([0.9, 0.8, 0.7]), cost_miss=1.0, cost_false_alarm=1.0)
    assert 0.9 < threshold < 0.9001


def test_choose_threshold_without_positives_trusts_the_probabilities() -> None:
    threshold = choose_threshold(np.zeros(3), SCORE[:3], cost_miss=9.0, cost_false_alarm=1.0)
    assert threshold == pytest.approx(0.1)


def test_choose_threshold_equals_brute_force() -> None:
    rng = np.random.default_rng(0)
    score = rng.random(500).round(2)
    y = (rng.random(500) < score / 3).astype(float)
    costs = [decision_cost(y, score, threshold=t, cost_miss=5.0) for t in np.unique(score)]
    chosen = choose_threshold(y, score, cost_miss=5.0)
    assert decision_cost(y, score, threshold=chosen, cost_miss=5.0) == pytest.approx(min(costs))


def test_decision_cost_counts_misses_and_false_alarms() -> None:
    # at 0.7: rows 0 and 1 alarm; one false alarm, one miss: (10 + 1) / 5
    assert decision_cost(Y, SCORE, threshold=0.7) == pytest.approx(2.2)
