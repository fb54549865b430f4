"""Warnings as an operator lives them: events foreseen in time, and false alarms per week.

Definitions, used everywhere in the project:

* A row (a service at an evaluated step) *alarms* when its score is at or above the threshold.
* An *alarm episode* is a maximal run of alarming rows of one service in which successive
  alarming rows are at most two steps apart, so that a break of one step does not end it. It is
  *false* when none of its rows has label 1.
* An *event* is an onset: a service at step e. It *counts* when at least one row was evaluated in
  the span ``[e - horizon_steps, e - lead_steps]`` and is *warned* when one of these rows alarms.
  ``lead_steps`` is the lead time (30 minutes) in steps, rounded up: at least one step.
* *Service-weeks* are evaluated rows times the step, over seven days.

* With *renewal* an episode is cut into pieces of at most so many steps, each a new alarm with its
  own verdict. Without it (the default) an episode costs one false alarm at most, and none if any
  of its rows is positive, so that a score that never changes can alarm for a whole fold at no
  charge: the share of rows in alarm is therefore reported beside each recall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.panel import BoolArray
from optimizer.evaluation.metrics.events import Vector
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import EventTask

WEEK = pd.Timedelta("7D")
BREAK_STEPS = 2
"""Successive alarming rows of an episode are at most this many steps apart."""
N_CANDIDATES = 400
"""Thresholds scanned, spaced evenly in the logarithm of the number of alarming rows."""


@dataclass(frozen=True)
class AlarmFold:
    """Evaluated rows and events of one fold, sorted once for any number of scores.

    - ``order``: int64, shape ``(n,)``: rows of the fold by service, then step.
    - ``key``: int64, shape ``(n,)``: position of each sorted row on one line on which successive
      steps are 1 apart and services are far apart.
    - ``positive``: bool, shape ``(n,)``: label of each sorted row.
    - ``first``, ``stop``: int64, shape ``(n_counted,)``: the sorted rows ``[first, stop)`` that can
      warn of each counted event; never empty.
    - ``n_events``: events of the evaluated services between the first evaluated step and the last
      one plus the horizon, counted or not.
    - ``renewal_steps``: an alarm still on after so many steps counts as a new one; 0 means never.
    """

    order: NDArray[np.int64]
    key: NDArray[np.int64]
    positive: BoolArray
    first: NDArray[np.int64]
    stop: NDArray[np.int64]
    n_events: int
    service_weeks: float
    renewal_steps: int = 0

    def warning_scores(self, score: Vector) -> NDArray[np.float64]:
        """Return the highest score that could have warned of each counted event."""
        ordered = np.asarray(score, dtype=np.float64)[self.order]
        if len(self.first) == 0:
            return np.empty(0)
        # spans may overlap: reduceat takes [first, stop) at the even places, junk at the odd ones
        bounds = np.stack([self.first, self.stop], axis=1).ravel()
        return np.asarray(np.maximum.reduceat(np.append(ordered, -np.inf), bounds)[::2])

    def count_false_alarms(self, alarm: BoolArray) -> int:
        """Return the number of false alarm episodes; ``alarm`` has the order of the sorted rows."""
        at = np.flatnonzero(alarm)
        if len(at) == 0:
            return 0
        key = self.key[at]
        begins = np.concatenate(([True], np.diff(key) > BREAK_STEPS))
        if self.renewal_steps:
            age = key - key[begins][np.cumsum(begins) - 1]
            begins[1:] |= np.diff(age // self.renewal_steps) != 0
        starts = np.flatnonzero(begins)
        return int(np.sum(np.add.reduceat(self.positive[at].astype(np.int64), starts) == 0))


@dataclass(frozen=True)
class AlarmCurve:
    """What each of a falling row of thresholds would have meant.

    - ``threshold``: float64, shape ``(k,)``, falling.
    - ``false_alarms``: float64, shape ``(k,)``: false alarm episodes per service-week.
    - ``event_recall``: float64, shape ``(k,)``: share of counted events warned in time; NaN without
      any.
    - ``row_recall``: float64, shape ``(k,)``: share of positive rows that alarm; NaN without any.
    - ``alarm_share``: float64, shape ``(k,)``: share of rows that alarm.
    """

    threshold: NDArray[np.float64]
    false_alarms: NDArray[np.float64]
    event_recall: NDArray[np.float64]
    row_recall: NDArray[np.float64]
    alarm_share: NDArray[np.float64]


@dataclass(frozen=True)
class AlarmPoint:
    """The curve read at one budget of false alarms; ``threshold`` is inf if none keeps it."""

    threshold: float
    false_alarms: float
    event_recall: float
    row_recall: float
    alarm_share: float


def lead_steps(lead: pd.Timedelta, step: pd.Timedelta) -> int:
    """Return the lead time in steps, rounded up, at least one."""
    return max(1, -(-lead // step))


def alarm_fold(
    samples: Dataset, task: EventTask, events: BoolArray, lead_steps: int, renewal_steps: int = 0
) -> AlarmFold:
    """Return the fold's rows and events, sorted and matched.

    - ``samples``: the evaluated rows, in any order, with their labels.
    - ``events``: bool, shape ``(n_services, n_steps)``: True at the step an event sets on.
    - ``lead_steps``: warnings later than so many steps before the event are too late, at least 1.
    - ``renewal_steps``: an alarm still on after so many steps counts as a new one; 0 means never.
    """
    service, step = samples.service.astype(np.int64), samples.step.astype(np.int64)
    stride = samples.panel.n_steps + task.horizon_steps + BREAK_STEPS + 1
    key = service * stride + step
    order = np.argsort(key, kind="stable")
    key = key[order]
    of, onset = np.nonzero(events)
    earliest = np.maximum(onset - task.horizon_steps, 0)
    first = np.searchsorted(key, of * stride + earliest, "left")
    stop = np.searchsorted(key, of * stride + onset - lead_steps, "right")
    # an event in the first steps of the clock has no step early enough; its span is empty
    counted = (stop > first) & (onset >= lead_steps)
    n_events = 0
    if len(step):
        seen = np.isin(of, np.unique(service))
        in_time = (onset > step.min()) & (onset <= step.max() + task.horizon_steps)
        n_events = int(np.sum(seen & in_time))
    return AlarmFold(
        order=order,
        key=key,
        positive=np.asarray(samples.y[order] > 0.5),
        first=first[counted],
        stop=stop[counted],
        n_events=n_events,
        service_weeks=len(key) * (samples.panel.step / WEEK),
        renewal_steps=renewal_steps,
    )


def event_recall(fold: AlarmFold, score: Vector, threshold: float) -> float:
    """Return the share of counted events warned in time at the threshold; NaN without any."""
    best = fold.warning_scores(score)
    return float(np.mean(best >= threshold)) if len(best) else float("nan")


def false_alarm_rate(fold: AlarmFold, score: Vector, threshold: float) -> float:
    """Return false alarm episodes per service-week at the threshold; NaN without rows."""
    if len(fold.key) == 0:
        return float("nan")
    alarm = np.asarray(score)[fold.order] >= threshold
    return fold.count_false_alarms(alarm) / fold.service_weeks


def alarm_curve(
    fold: AlarmFold, score: Vector, *, max_rate: float = 14.0, n_candidates: int = N_CANDIDATES
) -> AlarmCurve:
    """Return the curve from no alarm down to the first threshold above ``max_rate``.

    - ``fold``: from :func:`alarm_fold`.
    - ``score``: shape ``(n,)``, in the order of the samples.
    - ``max_rate``: False alarm episodes per service-week at which the scan stops; that point is
      kept.
    - ``n_candidates``: thresholds at most. They are scores at which 1, 2, ... n rows alarm, evenly
      spaced in the logarithm, because the budgets of interest alarm in a small share of the rows.
    """
    n = len(fold.key)
    if n == 0:
        empty = np.empty(0)
        return AlarmCurve(empty, empty, empty, empty, empty)
    ordered = np.asarray(score, dtype=np.float64)[fold.order]
    falling = np.sort(ordered)[::-1]
    ranks = np.unique(np.geomspace(1, n, n_candidates).round().astype(np.int64)) - 1
    candidates = np.unique(falling[ranks])[::-1]
    rates: list[float] = []
    for threshold in candidates:
        rates.append(fold.count_false_alarms(ordered >= threshold) / fold.service_weeks)
        if rates[-1] > max_rate:
            break
    threshold = candidates[: len(rates)]
    return AlarmCurve(
        threshold=threshold,
        false_alarms=np.asarray(rates),
        event_recall=_share_at_least(fold.warning_scores(score), threshold),
        row_recall=_share_at_least(ordered[fold.positive], threshold),
        alarm_share=_share_at_least(ordered, threshold),
    )


def recall_at_false_alarms(
    curve: AlarmCurve, rates: Sequence[float] = (1.0, 3.5, 7.0, 14.0)
) -> dict[float, AlarmPoint]:
    """Return the curve's point at each budget of false alarm episodes per service-week.

    The threshold is the lowest one at which, and at every higher one of which, the false alarm rate
    is within the budget. A score that breaks the budget at once warns of nothing. ``curve``:
    scanned at least as far as the largest of the rates. ``rates``: budgets, > 0.
    """
    points: dict[float, AlarmPoint] = {}
    for rate in rates:
        within = np.logical_and.accumulate(curve.false_alarms <= rate)
        kept = int(within.sum())
        if kept == 0:
            nothing = 0.0 if len(curve.threshold) else float("nan")
            silent = [
                float("nan") if np.isnan(values).all() else nothing
                for values in (curve.event_recall, curve.row_recall)
            ]
            points[rate] = AlarmPoint(float("inf"), nothing, silent[0], silent[1], nothing)
            continue
        points[rate] = AlarmPoint(
            threshold=float(curve.threshold[kept - 1]),
            false_alarms=float(curve.false_alarms[kept - 1]),
            event_recall=float(curve.event_recall[kept - 1]),
            row_recall=float(curve.row_recall[kept - 1]),
            alarm_share=float(curve.alarm_share[kept - 1]),
        )
    return points


def _share_at_least(
    values: NDArray[np.float64], thresholds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return, per threshold, the share of values at or above it; NaN without values."""
    if len(values) == 0:
        return np.full(len(thresholds), np.nan)
    below = np.searchsorted(np.sort(values), thresholds, "left")
    return np.asarray(1.0 - below / len(values), dtype=np.float64)
