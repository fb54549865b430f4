"""A model beside the baselines on the test fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from optimizer.core.panel import FloatArray
from optimizer.evaluation.paired import compare_events, compare_forecasts
from optimizer.evaluation.scorecard import (
    evaluate_calibration,
    evaluate_events,
    evaluate_forecasts,
    training_scale,
)
from optimizer.evaluation.settings import Evaluation
from optimizer.targets.base import Labels
from optimizer.targets.task import EventTask
from optimizer.training.fit import FoldDataset, primary_metric
from optimizer.training.predictor import TrainedModel

REFERENCES = ("persistence", "seasonal_naive")
"""Baselines that forecasts are given as a ratio of."""


@dataclass(frozen=True)
class Comparison:
    """Figures and predictions of several models on one test fold.

    ``figures``: figures by model name; the first is the model, the others are baselines.
    ``predictions``: what :meth:`TrainedModel.predict` returned on the test rows, by model name.
    ``raw``: the model's own predictions before calibration.
    """

    figures: dict[str, dict[str, float]]
    predictions: dict[str, FloatArray]
    raw: FloatArray
    difference: dict[str, float]
    best_baseline: str


def compare_models(
    models: Mapping[str, TrainedModel], fold: FoldDataset, labels: Labels, settings: Evaluation
) -> Comparison:
    """Return the figures of every model on the fold's test rows.

    ``models``: the model first, then the baselines. ``fold``: all test rows are predicted; training
    and validation rows give each service's past rate.
    """
    name, *baselines = models
    test = fold.test
    raw = models[name].raw(test)
    predictions = {name: models[name].calibrate(raw)}
    predictions |= {other: models[other].predict(test) for other in baselines}
    figures = judge_models(models, predictions, fold, labels, settings)
    metric, sign = primary_metric(models[name].task)
    best = max(baselines, key=lambda other: _rank(figures[other][metric], sign))
    task = models[name].task
    pair = (test, predictions[name], predictions[best])
    if isinstance(task, EventTask):
        figures[name] |= evaluate_calibration(test, raw, settings)
        difference = compare_events(*pair, settings)
    else:
        difference = compare_forecasts(*pair, task, settings)
    return Comparison(figures, predictions, raw, difference, best)


def judge_models(
    models: Mapping[str, TrainedModel],
    predictions: Mapping[str, FloatArray],
    fold: FoldDataset,
    labels: Labels,
    settings: Evaluation,
) -> dict[str, dict[str, float]]:
    """Return the figures of given predictions on the fold's test rows, by model name."""
    test, past = fold.test, (fold.train, fold.valid)
    found = {}
    for name, model in models.items():
        if isinstance(model.task, EventTask):
            rates = settings.reference_rates(past, test.panel.n_services)
            found[name] = evaluate_events(
                test,
                predictions[name],
                model.task,
                labels.events,
                float("nan") if model.threshold is None else model.threshold,
                rates,
                settings,
            )
        else:
            references = {r: predictions[r] for r in REFERENCES if r in predictions}
            scale = training_scale(fold.train, model.task.metric)
            found[name] = evaluate_forecasts(
                test, predictions[name], model.task, references, scale, settings
            )
    return found


def _rank(value: float, sign: int) -> float:
    """Return a sort key: more is better, unknown is worst."""
    return -np.inf if np.isnan(value) else sign * value
