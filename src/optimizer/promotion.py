"""When a challenger becomes the champion."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.comparison import judge_models
from optimizer.durations import format_duration
from optimizer.evaluation.settings import Evaluation
from optimizer.samples import EventTask, Samples, Task
from optimizer.targets.base import Labels
from optimizer.trained import TrainedModel
from optimizer.training import FoldSamples, newer_rows, primary_metric


@dataclass(frozen=True)
class Verdict:
    """Whether the challenger is promoted, and why.

    Parameters
    ----------
    promoted : bool
        It becomes the champion.
    reason : str
        One line with the figures that decided.
    """

    promoted: bool
    reason: str


def beats_baseline(task: Task, figures: dict[str, dict[str, float]], best: str) -> Verdict:
    """Return the verdict on a first model: it must beat the best baseline on the test fold.

    Parameters
    ----------
    task : EventTask or ForecastTask
        Decides the figure.
    figures : dict
        Figures by model name, the challenger first.
    best : str
        The best baseline.
    """
    metric, sign = primary_metric(task)
    name = next(iter(figures))
    mine, other = figures[name][metric], figures[best][metric]
    won = sign * mine > sign * other
    return Verdict(won, f"{metric} {mine:.4f} against {other:.4f} of {best}, the best baseline")


def beats_champion(
    challenger: TrainedModel,
    champion: TrainedModel,
    fold: FoldSamples,
    labels: Labels,
    settings: Evaluation,
) -> Verdict:
    """Return the verdict on a later model: it must beat the champion on rows newer than both.

    Parameters
    ----------
    challenger, champion : TrainedModel
        The two models.
    fold : FoldSamples
        The newest fold; of its test rows only those later than anything that either model was
        fitted or calibrated on are used.
    labels : Labels
        Truth of the challenger's target.
    settings : Evaluation
        Costs and budgets.
    """
    if champion.task != challenger.task:
        return Verdict(
            False,
            f"the champion answers another question ({_tell(champion.task)}, not "
            f"{_tell(challenger.task)}): choose another registry.name",
        )
    moments = [challenger.fitted_until, champion.fitted_until]
    rows = newer_rows(fold.test, moments)
    if len(rows) == 0:
        return Verdict(False, f"no test row is newer than both trainings ({max(moments)})")
    panel, table = champion.align(rows.panel, rows.table)
    theirs = Samples(panel, table, rows.rows, rows.y)
    predictions = {"challenger": challenger.predict(rows), "champion": champion.predict(theirs)}
    newer = FoldSamples(fold.train, fold.valid, rows, fold.fold)
    models = {"challenger": challenger, "champion": champion}
    figures = judge_models(models, predictions, newer, labels, settings)
    metric, sign = primary_metric(challenger.task)
    mine, other = figures["challenger"][metric], figures["champion"][metric]
    won = sign * mine > sign * other
    return Verdict(
        won, f"{metric} {mine:.4f} against {other:.4f} of the champion on {len(rows):,} newer rows"
    )


def _tell(task: Task) -> str:
    horizons = [task.horizon] if isinstance(task, EventTask) else task.horizons
    ceiling = f" ceiling {task.ceiling:g}" if isinstance(task, EventTask) else ""
    return f"{task.metric}{ceiling} {', '.join(format_duration(h) for h in horizons)}"
