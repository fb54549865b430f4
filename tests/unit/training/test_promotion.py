"""Who becomes the champion, decided by hand-made scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from factories import event_task, forecast_task, tiny_panel, tiny_samples, tiny_table

from optimizer.core.panel import FloatArray
from optimizer.evaluation.settings import Evaluation
from optimizer.models.base import Runtime, TrainingLog
from optimizer.models.imbalance.base import ImbalanceStrategy
from optimizer.targets.base import Labels
from optimizer.targets.dataset import Dataset
from optimizer.targets.scale_event import ScaleEvent
from optimizer.targets.splits import Fold
from optimizer.targets.task import EventTask, Task
from optimizer.training.fit import FoldDataset
from optimizer.training.predictor import TrainedModel
from optimizer.training.promotion import Verdict, beats_baseline, beats_champion

PANEL = tiny_panel(6, 400)
TABLE = tiny_table(PANEL)
TASK = event_task(PANEL)
CUT = Fold((0, 234), (240, 294), (300, 400), 6)
LABELS: Labels = ScaleEvent("3h").label(PANEL)
SETTINGS = Evaluation(bootstrap_resamples=0)


class Oracle:
    """Scores by the truth, blurred: ``blur=0`` is perfect; remembers which rows it was given."""

    def __init__(self, blur: float) -> None:
        self.blur = blur
        self.steps: list[int] = []

    def fit_events(
        self,
        train: Dataset,
        valid: Dataset,
        task: EventTask,
        imbalance: ImbalanceStrategy,
        runtime: Runtime,
    ) -> TrainingLog:
        return TrainingLog()

    def score_events(self, samples: Dataset) -> FloatArray:
        self.steps = sorted(set(samples.step.tolist()))
        noise = np.random.default_rng(0).random(len(samples))
        return ((1 - self.blur) * samples.y + self.blur * noise).astype(np.float32)


def trained(blur: float, until: int, task: Task = TASK) -> TrainedModel:
    return TrainedModel(
        name="oracle",
        model=Oracle(blur),
        task=task,
        groups=(),
        features=TABLE.names,
        metrics=PANEL.metrics,
        step=PANEL.step,
        calibrator=None,
        threshold=0.5,
        fitted_until=PANEL.timestamps[until],
    )


@pytest.fixture(scope="module")
def fold() -> FoldDataset:
    parts = [tiny_samples(TASK, PANEL, TABLE, start=a, stop=b) for a, b in (CUT.train, CUT.valid)]
    return FoldDataset(*parts, tiny_samples(TASK, PANEL, TABLE, start=300), CUT)


@pytest.mark.parametrize(
    ("mine", "other", "won"), [(0.5, 0.4, True), (0.4, 0.4, False), (float("nan"), 0.1, False)]
)
def test_beats_baseline_of_events_is_more_average_precision(
    mine: float, other: float, won: bool
) -> None:
    figures = {"m": {"average_precision": mine}, "b": {"average_precision": other}}
    verdict = beats_baseline(TASK, figures, "b")
    assert verdict.promoted is won
    assert verdict.reason.endswith("of b, the best baseline")


def test_beats_baseline_of_forecasts_is_less_pinball_loss() -> None:
    figures = {"m": {"pinball": 0.01}, "b": {"pinball": 0.02}}
    verdict = beats_baseline(forecast_task(PANEL), figures, "b")
    assert verdict == Verdict(True, "pinball 0.0100 against 0.0200 of b, the best baseline")


def test_beats_champion_better_challenger_wins_and_worse_loses(fold: FoldDataset) -> None:
    good, poor = trained(0.2, 299), trained(0.95, 299)
    assert beats_champion(good, poor, fold, LABELS, SETTINGS).promoted
    lost = beats_champion(poor, good, fold, LABELS, SETTINGS)
    assert not lost.promoted
    assert "of the champion on" in lost.reason


def test_beats_champion_equal_models_keep_the_champion(fold: FoldDataset) -> None:
    verdict = beats_champion(trained(0.3, 299), trained(0.3, 299), fold, LABELS, SETTINGS)
    assert not verdict.promoted


def test_beats_champion_uses_only_rows_newer_than_both_trainings(fold: FoldDataset) -> None:
    challenger, champion = trained(0.2, 299), trained(0.9, 349)
    verdict = beats_champion(challenger, champion, fold, LABELS, SETTINGS)
    n_newer = int((fold.test.step > 349).sum())
    assert f"on {n_newer:,} newer rows" in verdict.reason
    for model in (challenger.model, champion.model):
        assert isinstance(model, Oracle)
        assert min(model.steps) == 350


def test_beats_champion_without_newer_rows_keeps_the_champion(fold: FoldDataset) -> None:
    verdict = beats_champion(trained(0.0, 299), trained(0.9, 399), fold, LABELS, SETTINGS)
    assert not verdict.promoted
    assert verdict.reason.startswith("no test row is newer than both trainings (2024-01-17")


def test_beats_champion_of_another_question_is_not_compared(fold: FoldDataset) -> None:
    other = replace(TASK, ceiling=0.6)
    verdict = beats_champion(trained(0.0, 299), trained(0.9, 299, other), fold, LABELS, SETTINGS)
    assert not verdict.promoted
    assert "ceiling 0.6 3h, not cpu_utilization ceiling 0.8 3h" in verdict.reason
    assert "registry.name" in verdict.reason
