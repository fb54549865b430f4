"""Steps of a trial: evenly spaced, each told once, and the end of a trial that leads nowhere."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import optuna
import pytest
from searches import make_search

from optimizer.models.callbacks import TrainingCallback, TrainingStopped
from optimizer.training.tuning.pruning import Reporter
from optimizer.training.tuning.study import ENQUEUED

EIGHT = make_search(reports=4, folds=2)


@dataclass
class Hopeless:
    """A trial that the pruner gives up at its third step."""

    user_attrs: dict[str, Any] = field(default_factory=dict)
    told: list[tuple[float, int]] = field(default_factory=list)

    def report(self, value: float, step: int) -> None:
        self.told.append((value, step))

    def should_prune(self) -> bool:
        return len(self.told) >= 3


def test_steps_are_evenly_spaced_and_take_the_first_value_that_reaches_them() -> None:
    trial = Hopeless()
    reporter = Reporter(trial, EIGHT, prunes=False)
    for percent in range(1, 101):
        reporter.tell(percent / 100, float(percent))
    # eight steps: an eighth of the work each, rounded up to a percent
    reached = [13, 25, 38, 50, 63, 75, 88, 100]
    assert reporter.history == [(step, value) for step, value in enumerate(reached, start=1)]
    assert trial.told == [(value, step) for step, value in reporter.history]


def test_step_is_reached_also_where_shares_are_a_rounding_error_short() -> None:
    reporter = Reporter(Hopeless(), make_search(reports=10, folds=1), prunes=False)
    for tenth in range(1, 11):
        reporter.tell(math.nextafter(tenth / 10, 0.0), 1.0)
    assert [step for step, _ in reporter.history] == list(range(1, 11))


def test_coarse_training_skips_steps_and_repeats_none() -> None:
    reporter = Reporter(Hopeless(), EIGHT, prunes=False)
    for share in (0.1, 0.4, 0.45, 0.4, 1.0):
        reporter.tell(share, share)
    assert reporter.history == [(3, 0.4), (8, 1.0)]


def test_second_fold_goes_on_where_the_first_ended() -> None:
    reporter = Reporter(Hopeless(), EIGHT, prunes=False)
    for index in range(2):
        for quarter in range(1, 5):
            TrainingCallback(reporter.tell).part(index, 2).report(quarter / 4, 10 * index + quarter)
    assert reporter.history == list(enumerate([1, 2, 3, 4, 11, 12, 13, 14], start=1))


def test_pruned_trial_stops_its_training_at_once() -> None:
    trial = Hopeless()
    reporter = Reporter(trial, EIGHT, prunes=True)
    for share in (0.125, 0.25):
        reporter.tell(share, 0.0)
    with pytest.raises(TrainingStopped) as caught:
        reporter.tell(0.375, 0.0)
    assert caught.value.reason == "pruned"
    assert [step for step, _ in reporter.history] == [1, 2, 3]  # the last one is kept too


@pytest.mark.parametrize(
    ("attrs", "prunes"),
    [({ENQUEUED: "defaults"}, True), ({ENQUEUED: "champion"}, True), ({}, False)],
)
def test_enqueued_and_incomparable_trials_are_never_pruned(
    attrs: dict[str, str], prunes: bool
) -> None:
    reporter = Reporter(Hopeless(attrs), EIGHT, prunes=prunes)
    for eighth in range(1, 9):
        reporter.tell(eighth / 8, 0.0)
    assert len(reporter.history) == 8


@pytest.mark.parametrize(("direction", "worse"), [("maximize", 0.1), ("minimize", 0.9)])
def test_optunas_median_ends_a_trial_that_is_worse_than_half(direction: str, worse: float) -> None:
    pruner = optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=4)
    study = optuna.create_study(direction=direction, pruner=pruner)
    for _ in range(2):
        trial = study.ask()
        reporter = Reporter(trial, EIGHT, prunes=True)
        for eighth in range(1, 9):
            reporter.tell(eighth / 8, 0.5)
        assert len(reporter.history) == 8
        study.tell(trial, 0.5)
    study.enqueue_trial({}, user_attrs={ENQUEUED: "defaults"})
    enqueued, drawn = study.ask(), study.ask()
    for eighth in range(1, 9):
        Reporter(enqueued, EIGHT, prunes=True).tell(eighth / 8, worse)
    reporter = Reporter(drawn, EIGHT, prunes=True)
    for eighth in range(1, 4):
        reporter.tell(eighth / 8, worse)
    with pytest.raises(TrainingStopped):
        reporter.tell(4 / 8, worse)
    assert [step for step, _ in reporter.history] == [1, 2, 3, 4]  # Optuna counts from 0


def test_trial_begun_again_reports_its_steps_without_a_word(
    recwarn: pytest.WarningsRecorder,
) -> None:
    trial = optuna.create_study().ask()
    for _ in range(2):
        reporter = Reporter(trial, EIGHT, prunes=False)
        reporter.tell(0.5, 1.0)
        assert reporter.history == [(4, 1.0)]
    assert [str(one.message) for one in recwarn if "step" in str(one.message)] == []
