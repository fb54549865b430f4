"""Everything one model is judged by on a fold, as flat figures under stable names.

An interval of a figure ``x`` is ``x_lower`` and ``x_upper``. A figure that the fold cannot define
is NaN, and the log says why.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import count_steps, format_duration
from optimizer.core.panel import BoolArray, FloatArray
from optimizer.evaluation import alarms
from optimizer.evaluation.metrics import events as event_metrics
from optimizer.evaluation.metrics import forecasts as forecast_metrics
from optimizer.evaluation.paired import event_intervals, forecast_intervals
from optimizer.evaluation.per_service import events_by_service, median_lift
from optimizer.evaluation.settings import Evaluation
from optimizer.evaluation.threshold import decision_cost
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import EventTask, ForecastTask

logger = logging.getLogger(__name__)
FloatVector = NDArray[np.float64]
SEASON = pd.Timedelta("24h")


def evaluate_events(
    samples: Dataset,
    y_score: NDArray[np.floating],
    task: EventTask,
    events: BoolArray,
    threshold: float,
    reference_rates: FloatVector,
    settings: Evaluation,
) -> dict[str, float]:
    """Return all figures of event probabilities on a test fold.

    ``n_rows``, ``n_positives``, ``prevalence``, ``average_precision``, ``average_precision_lift``,
    ``roc_auc``, ``brier_score``, ``brier_skill``, ``brier_skill_service_rate``, ``log_loss``,
    ``ece``, ``per_service_lift_median``, ``per_service_lift_services``; at the threshold
    ``decision_threshold``, ``precision``, ``recall``, ``f_beta``, ``decision_cost``,
    ``event_recall_lead`` and ``false_alarms_per_service_week``; ``n_events``, ``n_events_counted``,
    ``service_weeks``, ``recall_1_false_alarm`` (of rows) and, per budget such as 3.5,
    ``event_recall_lead_at_3.5`` and ``alarm_share_at_3.5``; intervals.

    - ``y_score``: shape ``(n,)``: calibrated probabilities.
    - ``events``: bool, shape ``(n_services, n_steps)``: onsets, from the target.
    - ``reference_rates``: shape ``(n_services,)``: each service's own rate before the test fold.
    """
    y, own = samples.y, reference_rates[samples.service]
    positives = float(np.sum(y > 0.5))
    if positives in {0.0, float(len(y))}:
        logger.warning(
            "test fold: %d of %d rows are positive; ranking metrics are NaN", positives, len(y)
        )
    lift, n_lift = median_lift(
        events_by_service(samples, y_score, reference_rates), settings.min_positives_service
    )
    figures = {
        "n_rows": float(len(y)),
        "n_positives": positives,
        "prevalence": event_metrics.prevalence(y),
        "average_precision": event_metrics.average_precision(y, y_score),
        "average_precision_lift": event_metrics.average_precision_lift(y, y_score),
        "roc_auc": event_metrics.roc_auc(y, y_score),
        "brier_score": event_metrics.brier_score(y, y_score),
        "brier_skill": event_metrics.brier_skill(y, y_score),
        "brier_skill_service_rate": event_metrics.brier_skill(y, y_score, own),
        "log_loss": event_metrics.log_loss(y, y_score),
        "ece": event_metrics.expected_calibration_error(y, y_score, settings.ece_bins),
        "per_service_lift_median": lift,
        "per_service_lift_services": float(n_lift),
        "decision_threshold": threshold,
        "precision": event_metrics.precision(y, y_score, threshold),
        "recall": event_metrics.recall(y, y_score, threshold),
        "f_beta": event_metrics.f_beta(y, y_score, threshold, settings.beta),
        "decision_cost": decision_cost(
            y,
            y_score,
            threshold=threshold,
            cost_miss=settings.cost_miss,
            cost_false_alarm=settings.cost_false_alarm,
        ),
    }
    figures |= _alarm_figures(samples, y_score, task, events, threshold, settings)
    return figures | event_intervals(samples, y_score, own, settings)


def evaluate_calibration(
    samples: Dataset, raw_score: NDArray[np.floating], settings: Evaluation
) -> dict[str, float]:
    """Return what the scores were worth before calibration, keys ``*_uncalibrated``.

    ``raw_score``: shape ``(n,)``, in [0, 1]: what the model itself said.
    """
    y = samples.y
    ece = event_metrics.expected_calibration_error(y, raw_score, settings.ece_bins)
    return {
        "average_precision_uncalibrated": event_metrics.average_precision(y, raw_score),
        "brier_skill_uncalibrated": event_metrics.brier_skill(y, raw_score),
        "log_loss_uncalibrated": event_metrics.log_loss(y, raw_score),
        "ece_uncalibrated": ece,
    }


def evaluate_forecasts(
    samples: Dataset,
    quantiles: FloatArray,
    task: ForecastTask,
    references: Mapping[str, FloatArray],
    scale: FloatVector,
    settings: Evaluation,
) -> dict[str, float]:
    """Return all figures of quantile forecasts on a test fold.

    Per horizon such as ``1h``: ``n_rows_1h``, ``mae_1h``, ``rmse_1h``, ``bias_1h``, ``mase_1h``,
    ``pinball_1h``, ``wql_1h``, ``picp_80_1h``, ``width_80_1h``, the ratios and the intervals; over
    all horizons ``mae`` and ``pinball`` (means of the horizons').

    - ``quantiles``: shape ``(n, n_horizons, n_quantiles)``.
    - ``references``: quantiles of other models on the same rows, for ``mae_vs_<name>_<horizon>``
      and ``pinball_vs_<name>_<horizon>``: ratios, below 1 is better than the reference.
    - ``scale``: shape ``(n_services,)``: from :func:`training_scale`.
    """
    figures: dict[str, float] = {"n_rows": float(len(samples))}
    for index, horizon in enumerate(task.horizons):
        name, y = format_duration(horizon), samples.y[:, index]
        own = _horizon_figures(y, quantiles[:, index], task.quantiles, scale[samples.service])
        own["n_rows"] = float(np.sum(~np.isnan(y)))
        if own["n_rows"] == 0:
            logger.warning("test fold: no actual is known %s ahead; its metrics are NaN", name)
        for reference, other in references.items():
            own |= _ratios(own, reference, y, other[:, index], task.quantiles)
        figures |= {f"{key}_{name}": value for key, value in own.items()}
    for metric in ("mae", "pinball"):
        known = [figures[f"{metric}_{format_duration(horizon)}"] for horizon in task.horizons]
        figures[metric] = float(np.mean(known))
    return figures | forecast_intervals(samples, quantiles, task, settings)


def training_scale(train: Dataset, metric: str) -> FloatVector:
    """Return each service's in-sample error of the seasonal naive (24 h), for MASE.

    ``train``: the training fold: steps after its last row are not read.
    """
    n_steps = int(train.step.max()) + 1 if len(train) else 0
    season = count_steps(SEASON, train.panel.step)
    return forecast_metrics.seasonal_naive_scale(train.panel.metric(metric), season, n_steps)


def _alarm_figures(
    samples: Dataset,
    y_score: NDArray[np.floating],
    task: EventTask,
    events: BoolArray,
    threshold: float,
    settings: Evaluation,
) -> dict[str, float]:
    """Return event recall and false alarms at the threshold and at each budget."""
    step = samples.panel.step
    fold = alarms.alarm_fold(
        samples,
        task,
        events,
        settings.lead_steps(step),
        settings.renewal_steps(step, task.horizon_steps),
    )
    if len(fold.first) == 0:
        logger.warning("test fold: no event can be warned of in time; event recall is NaN")
    rates = settings.false_alarm_rates
    curve = alarms.alarm_curve(fold, y_score, max_rate=max(1.0, *rates))
    points = alarms.recall_at_false_alarms(curve, sorted({1.0, *rates}))
    figures = {
        "n_events": float(fold.n_events),
        "n_events_counted": float(len(fold.first)),
        "service_weeks": fold.service_weeks,
        "event_recall_lead": alarms.event_recall(fold, y_score, threshold),
        "false_alarms_per_service_week": alarms.false_alarm_rate(fold, y_score, threshold),
        "recall_1_false_alarm": points[1.0].row_recall,
    }
    for rate in rates:
        figures[f"event_recall_lead_at_{rate:g}"] = points[rate].event_recall
        figures[f"alarm_share_at_{rate:g}"] = points[rate].alarm_share
    return figures


def _ratios(
    own: Mapping[str, float],
    reference: str,
    y: FloatArray,
    other: FloatArray,
    levels: Sequence[float],
) -> dict[str, float]:
    """Return MAE and pinball loss as shares of a reference's on the same rows."""
    base = {
        "mae": forecast_metrics.mae(y, other[:, list(levels).index(0.5)]),
        "pinball": forecast_metrics.pinball(y, other, levels),
    }
    return {
        f"{metric}_vs_{reference}": own[metric] / value if value else float("nan")
        for metric, value in base.items()
    }


def _horizon_figures(
    y: FloatArray, predicted: FloatArray, levels: Sequence[float], scale: FloatVector
) -> dict[str, float]:
    median = predicted[:, list(levels).index(0.5)]
    figures = {
        "mae": forecast_metrics.mae(y, median),
        "rmse": forecast_metrics.rmse(y, median),
        "bias": forecast_metrics.bias(y, median),
        "mase": forecast_metrics.mase(y, median, scale),
        "pinball": forecast_metrics.pinball(y, predicted, levels),
        "wql": forecast_metrics.weighted_quantile_loss(y, predicted, levels),
    }
    if {0.1, 0.9} <= set(levels):
        low, high = predicted[:, levels.index(0.1)], predicted[:, levels.index(0.9)]
        figures["picp_80"] = forecast_metrics.interval_coverage(y, low, high)
        figures["width_80"] = forecast_metrics.interval_width(y, low, high)
    return figures
