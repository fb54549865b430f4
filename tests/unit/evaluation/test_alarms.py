from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from factories import panel_of, tiny_table
from numpy.typing import NDArray

from optimizer.core.schema import CPU
from optimizer.evaluation import alarms
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import EventTask

HOUR = pd.Timedelta("1h")


def fold_of(
    y: NDArray[np.floating],
    onsets: list[tuple[int, int]],
    *,
    horizon: int = 3,
    lead: int = 1,
    absent: list[tuple[int, int]] | None = None,
    renewal: int = 0,
) -> alarms.AlarmFold:
    """A fold on an hourly clock; ``y`` has shape ``(n_services, n_steps)``."""
    panel = panel_of(np.zeros(y.shape))
    table = tiny_table(panel)
    kept = np.ones(y.shape, dtype=bool)
    for place in absent or []:
        kept[place] = False
    rows = np.flatnonzero(kept[table.service, table.step])
    labels = y[table.service[rows], table.step[rows]].astype(np.float32)
    events = np.zeros(y.shape, dtype=bool)
    for place in onsets:
        events[place] = True
    task = EventTask(CPU, 0.8, horizon * HOUR, horizon)
    return alarms.alarm_fold(Dataset(panel, table, rows, labels), task, events, lead, renewal)


def test_count_false_alarms_bridges_a_break_of_one_step() -> None:
    y = np.zeros((2, 12))
    y[0, 9] = 1
    fold = fold_of(y, [])
    alarm = np.zeros((2, 12), dtype=bool)
    alarm[0, [0, 1, 3]] = True  # one episode: 1 -> 3 is a break of one step; false
    alarm[0, [6]] = True  # 3 -> 6 is a break of two steps: a new one; false
    alarm[0, [8, 9]] = True  # 6 -> 8 is a break of one step: joins; step 9 is positive: true
    alarm[1, [0]] = True  # another service: false, although it follows step 11 of service 0
    assert fold.count_false_alarms(alarm.ravel()) == 2


def test_count_false_alarms_counts_steps_not_rows() -> None:
    # steps 4 and 5 were not evaluated: rows 3 and 6 are neighbours, but two steps lie between
    fold = fold_of(np.zeros((1, 12)), [], absent=[(0, 4), (0, 5)])
    alarm = np.isin(np.arange(10), [3, 4])  # steps 3 and 6
    assert fold.count_false_alarms(alarm) == 2


def test_count_false_alarms_of_touching_services_are_two() -> None:
    alarm = np.zeros((2, 5), dtype=bool)
    alarm[0, 4] = alarm[1, 0] = True
    assert fold_of(np.zeros((2, 5)), []).count_false_alarms(alarm.ravel()) == 2


def test_count_false_alarms_with_renewal_judges_each_piece() -> None:
    y = np.zeros((1, 12))
    y[0, 4] = 1
    alarm = np.ones(12, dtype=bool)
    assert fold_of(y, []).count_false_alarms(alarm) == 0
    # pieces 0-2, 3-5 (true), 6-8, 9-11
    assert fold_of(y, [], renewal=3).count_false_alarms(alarm) == 3


def test_event_recall_needs_an_alarm_in_time() -> None:
    # horizon 3, lead 2: steps 5 and 6 can warn of an event at 8, step 7 is too late
    y = np.zeros((1, 12))
    fold = fold_of(y, [(0, 8)], lead=2)
    for step, warned in ((4, 0.0), (5, 1.0), (6, 1.0), (7, 0.0), (8, 0.0)):
        score = np.zeros(12)
        score[step] = 0.9
        assert alarms.event_recall(fold, score, 0.5) == warned


def test_alarm_fold_counts_only_events_that_could_be_warned_of() -> None:
    # the span of (0, 8) is 5..7, not evaluated; (0, 0) has no step before it; (1, 4) counts
    absent = [(0, 5), (0, 6), (0, 7)]
    fold = fold_of(np.zeros((2, 12)), [(0, 8), (0, 0), (1, 4)], absent=absent)
    assert len(fold.first) == 1
    assert fold.n_events == 2  # the one at step 0 is not after the first evaluated step
    score = np.zeros(21)
    score[fold.first[0]] = 1.0
    assert alarms.event_recall(fold, score, 0.5) == 1.0


def test_alarm_fold_with_overlapping_spans_takes_each_maximum() -> None:
    fold = fold_of(np.zeros((1, 12)), [(0, 5), (0, 6), (0, 11)])
    score = np.arange(12) / 100.0
    # spans 2..4, 3..5 and 8..10
    np.testing.assert_allclose(fold.warning_scores(score), [0.04, 0.05, 0.10])


def test_alarm_fold_of_shuffled_rows_is_the_same() -> None:
    rng = np.random.default_rng(0)
    panel = panel_of(np.zeros((3, 40)))
    table = tiny_table(panel)
    y, score = (rng.random(120) < 0.2).astype(np.float32), rng.random(120)
    events = rng.random((3, 40)) < 0.1
    task, order = EventTask(CPU, 0.8, 3 * HOUR, 3), rng.permutation(120)
    straight = alarms.alarm_fold(Dataset(panel, table, np.arange(120), y), task, events, 1)
    mixed = alarms.alarm_fold(Dataset(panel, table, order, y[order]), task, events, 1)
    for threshold in (0.2, 0.5, 0.9):
        ours = alarms.false_alarm_rate(mixed, score[order], threshold)
        assert ours == alarms.false_alarm_rate(straight, score, threshold)
        warned = alarms.event_recall(mixed, score[order], threshold)
        assert warned == alarms.event_recall(straight, score, threshold)


def test_recall_at_false_alarms_stops_before_the_budget_breaks() -> None:
    # 168 hourly rows are one service-week; false alarms at 10, 20, 30 score 0.9, 0.8, 0.4
    y = np.zeros((1, 168))
    y[0, 99] = y[0, 149] = 1
    fold = fold_of(y, [(0, 100), (0, 150)])
    score = np.full(168, 0.01)
    score[[10, 20, 99, 30, 149]] = [0.9, 0.8, 0.6, 0.4, 0.3]
    assert fold.service_weeks == pytest.approx(1.0)
    curve = alarms.alarm_curve(fold, score, max_rate=14)
    points = alarms.recall_at_false_alarms(curve, (0.5, 1.0, 2.0, 3.0))
    assert points[0.5].threshold == np.inf
    assert points[0.5].event_recall == 0.0
    assert points[1.0].threshold == 0.9
    assert (points[2.0].threshold, points[2.0].event_recall) == (0.6, 0.5)
    # the lowest threshold is 0.01: everything alarms in one episode with a positive row
    assert (points[3.0].threshold, points[3.0].alarm_share) == (0.01, 1.0)
    assert points[2.0].row_recall == 0.5


def test_recall_at_false_alarms_ignores_thresholds_below_a_breach() -> None:
    # at 0.01 the false alarms merge to none, but at 0.8 there were two
    fold = fold_of(np.eye(1, 168, 99), [(0, 100)])
    score = np.full(168, 0.01)
    score[[10, 20]] = [0.9, 0.8]
    points = alarms.recall_at_false_alarms(alarms.alarm_curve(fold, score, max_rate=14), (1.0,))
    assert points[1.0].threshold == 0.9
    assert points[1.0].event_recall == 0.0


def test_alarm_curve_falls_to_the_first_rate_above_the_limit() -> None:
    rng = np.random.default_rng(1)
    fold = fold_of((rng.random((4, 500)) < 0.05).astype(float), [(1, 50)])
    curve = alarms.alarm_curve(fold, rng.random(2000), max_rate=5.0)
    assert (np.diff(curve.threshold) < 0).all()
    assert (np.diff(curve.alarm_share) > 0).all()
    assert (curve.false_alarms[:-1] <= 5.0).all()
    assert curve.false_alarms[-1] > 5.0


def test_alarm_curve_of_one_service_ignores_later_data_of_another() -> None:
    rng = np.random.default_rng(2)
    y = np.zeros((2, 200))
    score = rng.random((2, 200))
    changed = score.copy()
    changed[1, 100:] = 0.0
    fold = fold_of(y, [(0, 150), (0, 30), (1, 20)])
    before, after = fold.warning_scores(score.ravel()), fold.warning_scores(changed.ravel())
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("step", "expected"), [("5min", 6), ("10min", 3), ("20min", 2), ("1h", 1), ("30min", 1)]
)
def test_lead_steps_rounds_up(step: str, expected: int) -> None:
    assert alarms.lead_steps(pd.Timedelta("30min"), pd.Timedelta(step)) == expected


def test_alarms_without_rows_are_nan() -> None:
    panel = panel_of(np.zeros((1, 5)))
    none = Dataset(panel, tiny_table(panel), np.empty(0, np.int64), np.empty(0, np.float32))
    task = EventTask(CPU, 0.8, HOUR, 1)
    fold = alarms.alarm_fold(none, task, np.ones((1, 5), dtype=bool), 1)
    score = np.empty(0)
    assert np.isnan(alarms.event_recall(fold, score, 0.5))
    assert np.isnan(alarms.false_alarm_rate(fold, score, 0.5))
    points = alarms.recall_at_false_alarms(alarms.alarm_curve(fold, score), (1.0,))
    assert np.isnan(points[1.0].event_recall)


def test_alarm_curve_of_many_rows_is_fast() -> None:
    rng = np.random.default_rng(3)
    y = (rng.random((200, 3000)) < 0.02).astype(float)
    begin = time.process_time()
    fold = fold_of(y, [(i, j) for i in range(200) for j in range(100, 3000, 200)], horizon=12)
    alarms.alarm_curve(fold, rng.random(600_000), max_rate=1e9)
    assert time.process_time() - begin < 20.0
