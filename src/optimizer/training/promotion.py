"""When a challenger becomes the champion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.core.durations import format_duration
from optimizer.demand.usage import Usage
from optimizer.evaluation.exceedance import Scored, score_surface
from optimizer.evaluation.settings import Evaluation
from optimizer.models.exceedance.fitted import TrainedSurface, moments
from optimizer.targets.base import Labels
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import EventTask, Task
from optimizer.training.comparison import judge_models
from optimizer.training.fit import FoldDataset, newer_rows, primary_metric
from optimizer.training.predictor import TrainedModel

SURFACE_METRIC = ("log_loss", -1)
"""The figure that decides between two surfaces, and its sign: less is better."""


@dataclass(frozen=True)
class Verdict:
    """Whether the challenger is promoted, and why."""

    promoted: bool
    reason: str


def beats_baseline(task: Task, figures: dict[str, dict[str, float]], best: str) -> Verdict:
    """Return the verdict on a first model: it must beat the best baseline on the test fold."""
    return _judge(*primary_metric(task), figures, best, f"{best}, the best baseline")


def surface_beats_baseline(figures: dict[str, dict[str, float]], best: str) -> Verdict:
    """Return the verdict on a first surface: less log loss than the best baseline on the test fold.

    Parameters are those of :func:`beats_baseline`.
    """
    return _judge(*SURFACE_METRIC, figures, best, f"{best}, the best baseline")


def _judge(
    metric: str, sign: int, figures: dict[str, dict[str, float]], rival: str, told: str
) -> Verdict:
    """Return whether the first model has a better figure than its rival."""
    mine, other = figures[next(iter(figures))][metric], figures[rival][metric]
    return Verdict(sign * mine > sign * other, f"{metric} {mine:.4f} against {other:.4f} of {told}")


def beats_champion(
    challenger: TrainedModel,
    champion: TrainedModel | TrainedSurface,
    fold: FoldDataset,
    labels: Labels,
    settings: Evaluation,
) -> Verdict:
    """Return the verdict on a later model: it must beat the champion on rows newer than both.

    ``challenger``, ``champion``: the two models; a surface under the same name answers another
    question. ``fold``: the newest fold; of its test rows only those later than anything that either
    model was fitted or calibrated on are used.
    """
    if isinstance(champion, TrainedSurface) or champion.task != challenger.task:
        return _differ(champion, challenger)
    moments = [challenger.fitted_until, champion.fitted_until]
    rows = newer_rows(fold.test, moments)
    if len(rows) == 0:
        return _nothing_newer(max(moments))
    panel, table = champion.align(rows.panel, rows.table)
    theirs = Dataset(panel, table, rows.rows, rows.y)
    predictions = {"challenger": challenger.predict(rows), "champion": champion.predict(theirs)}
    newer = FoldDataset(fold.train, fold.valid, rows, fold.fold)
    models = {"challenger": challenger, "champion": champion}
    figures = judge_models(models, predictions, newer, labels, settings)
    told = f"the champion on {len(rows):,} newer rows"
    return _judge(*primary_metric(challenger.task), figures, "champion", told)


def surface_beats_champion(
    challenger: TrainedSurface,
    champion: TrainedModel | TrainedSurface,
    usage: Usage,
    cutoffs: NDArray[np.int64],
) -> Verdict:
    """Return the verdict on a later surface: it must beat the champion on rows newer than both.

    ``challenger``, ``champion``: both are asked at the same levels: the services' references.
    ``cutoffs``: int64, ascending: those of the test fold. Only those at or after everything that
    either surface was fitted on are used.
    """
    if not isinstance(champion, TrainedSurface) or _question(champion) != _question(challenger):
        return _differ(champion, challenger)
    latest = max(challenger.fitted_until, champion.fitted_until)
    newer = cutoffs[moments(usage, cutoffs) >= latest]
    if len(newer) == 0:
        return _nothing_newer(latest)
    mine = score_surface(challenger, challenger.answer(usage, newer), usage, newer)
    theirs = score_surface(
        champion, champion.answer(usage, newer), usage, newer, challenger.settings.bounds
    )
    both = Scored(mine.cases, {"model": mine.shares["model"], "champion": theirs.shares["model"]})
    losses = {name: both.losses(name)[0] for name in both.shares}
    figures = {name: {SURFACE_METRIC[0]: float(np.mean(one))} for name, one in losses.items()}
    told = f"the champion on {len(losses['model']):,} newer rows"
    return _judge(*SURFACE_METRIC, figures, "champion", told)


def _differ(
    champion: TrainedModel | TrainedSurface, challenger: TrainedModel | TrainedSurface
) -> Verdict:
    """Return the verdict on two models that cannot be compared."""
    told = [
        _question(one) if isinstance(one, TrainedSurface) else _tell(one.task)
        for one in (champion, challenger)
    ]
    return Verdict(
        False,
        f"the champion answers another question ({told[0]}, not {told[1]}): choose another "
        "registry.name",
    )


def _nothing_newer(latest: np.datetime64) -> Verdict:
    return Verdict(False, f"no test row is newer than both trainings ({latest})")


def _question(trained: TrainedSurface) -> str:
    """Return what a surface says: two must agree on it to be compared."""
    length, step = format_duration(trained.interval), format_duration(trained.step)
    told = f"{trained.settings.outcome} of {trained.resource} above a level"
    return f"{told} within {length}, steps of {step}"


def _tell(task: Task) -> str:
    horizons = [task.horizon] if isinstance(task, EventTask) else task.horizons
    ceiling = f" ceiling {task.ceiling:g}" if isinstance(task, EventTask) else ""
    return f"{task.metric}{ceiling} {', '.join(format_duration(h) for h in horizons)}"
