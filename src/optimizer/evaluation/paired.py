"""Intervals of a model's figures, and of its difference from a baseline, over services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from optimizer.core.durations import format_duration
from optimizer.core.panel import FloatArray
from optimizer.evaluation import bootstrap
from optimizer.evaluation.metrics.events import Vector, average_precision, brier_skill
from optimizer.evaluation.metrics.forecasts import pinball_rows
from optimizer.evaluation.settings import Evaluation
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import ForecastTask

FloatVector = NDArray[np.float64]


def compare_events(
    samples: Dataset, y_score: Vector, baseline_score: Vector, settings: Evaluation
) -> dict[str, float]:
    """Return model minus baseline with paired intervals: positive means the model is better.

    ``average_precision_gain`` and ``brier_skill_gain``, each with ``_lower`` and ``_upper``.
    ``y_score``, ``baseline_score``: shape ``(n,)``: calibrated probabilities of both on the same
    rows. ``settings``: gives the bootstrap; both models see the same draws of services.
    """
    service, y = samples.service, samples.y
    counts = draws(samples, settings)
    figures: dict[str, float] = {
        "average_precision_gain": average_precision(y, y_score)
        - average_precision(y, baseline_score),
        "brier_skill_gain": brier_skill(y, y_score) - brier_skill(y, baseline_score),
    }
    precision, skill = bootstrap.average_precisions, bootstrap.brier_skills
    resampled = {
        "average_precision_gain": precision(service, y, y_score, counts)
        - precision(service, y, baseline_score, counts),
        "brier_skill_gain": skill(service, y, y_score, counts)
        - skill(service, y, baseline_score, counts),
    }
    return figures | bounds(resampled, settings.confidence)


def compare_forecasts(
    samples: Dataset,
    quantiles: FloatArray,
    baseline: FloatArray,
    task: ForecastTask,
    settings: Evaluation,
) -> dict[str, float]:
    """Return model minus baseline with paired intervals: negative means the model is better.

    Per horizon ``mae_change_1h`` and ``pinball_change_1h``, each with ``_lower`` and ``_upper``.
    ``quantiles``, ``baseline``: shape ``(n, n_horizons, n_quantiles)``: forecasts of both on the
    same rows. ``settings``: gives the bootstrap; both models see the same draws of services.
    """
    counts, figures = draws(samples, settings), dict[str, float]()
    resampled: dict[str, FloatVector] = {}
    for index, horizon in enumerate(task.horizons):
        name, y = format_duration(horizon), samples.y[:, index]
        own = forecast_losses(y, quantiles[:, index], task.quantiles)
        other = forecast_losses(y, baseline[:, index], task.quantiles)
        for metric, loss in own.items():
            change, key = loss - other[metric], f"{metric}_change_{name}"
            known = change[~np.isnan(change)]
            figures[key] = float(known.mean()) if len(known) else float("nan")
            resampled[key] = bootstrap.weighted_means(samples.service, change, counts)
    return figures | bounds(resampled, settings.confidence)


def event_intervals(
    samples: Dataset, y_score: Vector, own: FloatVector, settings: Evaluation
) -> dict[str, float]:
    """Return the intervals of average precision and both Brier skills, none without draws.

    ``own``, shape ``(n,)``, is the past rate of each row's service.
    """
    if settings.bootstrap_resamples == 0:
        return {}
    service, y, counts = samples.service, samples.y, draws(samples, settings)
    return bounds(
        {
            "average_precision": bootstrap.average_precisions(service, y, y_score, counts),
            "brier_skill": bootstrap.brier_skills(service, y, y_score, counts),
            "brier_skill_service_rate": bootstrap.brier_skills(service, y, y_score, counts, own),
        },
        settings.confidence,
    )


def forecast_intervals(
    samples: Dataset, quantiles: FloatArray, task: ForecastTask, settings: Evaluation
) -> dict[str, float]:
    """Return the intervals of each horizon's MAE and pinball loss, none without draws."""
    if settings.bootstrap_resamples == 0:
        return {}
    counts, means = draws(samples, settings), dict[str, FloatVector]()
    for index, horizon in enumerate(task.horizons):
        losses = forecast_losses(samples.y[:, index], quantiles[:, index], task.quantiles)
        for metric, loss in losses.items():
            key = f"{metric}_{format_duration(horizon)}"
            means[key] = bootstrap.weighted_means(samples.service, loss, counts)
    return bounds(means, settings.confidence)


def forecast_losses(
    y: FloatArray, predicted: FloatArray, levels: Sequence[float]
) -> dict[str, FloatVector]:
    """Return each row's absolute error and pinball loss, NaN where the actual is unknown."""
    median = predicted[:, list(levels).index(0.5)].astype(np.float64)
    return {"mae": np.abs(median - y), "pinball": pinball_rows(y, predicted, levels)}


def draws(samples: Dataset, settings: Evaluation) -> NDArray[np.int32]:
    """Return the table of drawn services: the same for every model judged on these rows."""
    return bootstrap.resample_services(
        samples.service,
        samples.panel.n_services,
        settings.bootstrap_resamples,
        settings.bootstrap_seed,
    )


def bounds(resampled: Mapping[str, FloatVector], confidence: float) -> dict[str, float]:
    """Return ``<key>_lower`` and ``<key>_upper`` of each resampled figure."""
    out: dict[str, float] = {}
    for key, values in resampled.items():
        out[f"{key}_lower"], out[f"{key}_upper"] = bootstrap.interval(values, confidence)
    return out
