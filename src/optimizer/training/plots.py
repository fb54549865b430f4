"""Every picture of a run, drawn from its comparison."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from optimizer.core.durations import format_duration
from optimizer.core.plotting import save_figure
from optimizer.evaluation.alarms import alarm_curve, alarm_fold
from optimizer.evaluation.plots.events import (
    plot_alarm_curves,
    plot_precision_recall,
    plot_reliability,
)
from optimizer.evaluation.plots.forecasts import plot_forecast_fan
from optimizer.evaluation.plots.training import plot_importance, plot_training
from optimizer.evaluation.settings import Evaluation
from optimizer.models.base import Explainable, TrainingLog
from optimizer.targets.base import Labels
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import EventTask
from optimizer.training.comparison import Comparison
from optimizer.training.predictor import TrainedModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_plots(
    trained: TrainedModel,
    log: TrainingLog,
    comparison: Comparison,
    test: Dataset,
    labels: Labels,
    settings: Evaluation,
    directory: Path,
) -> None:
    """Draw the pictures that suit the task and write them as PNG."""
    directory.mkdir(parents=True, exist_ok=True)
    figures = {"training_curve": plot_training(log)}
    if isinstance(trained.model, Explainable):
        figures["feature_importance"] = plot_importance(trained.model.importance())
    if isinstance(trained.task, EventTask):
        figures |= dict(_event_figures(comparison, test, trained.task, labels, settings))
    else:
        for index, horizon in enumerate(trained.task.horizons):
            figures[f"forecast_fan_{format_duration(horizon)}"] = plot_forecast_fan(
                test, comparison.predictions[trained.name], trained.task, horizon_index=index
            )
    for name, figure in figures.items():
        save_figure(figure, directory / f"{name}.png")


def _event_figures(
    comparison: Comparison, test: Dataset, task: EventTask, labels: Labels, settings: Evaluation
) -> Iterator[tuple[str, Figure]]:
    name = next(iter(comparison.predictions))
    step = test.panel.step
    renewal = settings.renewal_steps(step, task.horizon_steps)
    fold = alarm_fold(test, task, labels.events, settings.lead_steps(step), renewal)
    budgets = tuple(settings.false_alarm_rates)
    curves = {
        model: alarm_curve(fold, score, max_rate=max(budgets))
        for model, score in comparison.predictions.items()
    }
    yield "precision_recall", plot_precision_recall(test.y, comparison.predictions)
    yield "reliability", plot_reliability(test.y, comparison.raw, comparison.predictions[name])
    yield "warned_events", plot_alarm_curves(curves, budgets)
