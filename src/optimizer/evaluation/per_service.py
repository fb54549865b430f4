"""Metrics of each service on its own: a pooled figure may only tell which service is busy."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.schema import SERVICE
from optimizer.evaluation.metrics.events import Vector
from optimizer.targets.dataset import Dataset

FloatVector = NDArray[np.float64]


def service_average_precisions(
    service: NDArray[np.integer], y_true: Vector, y_score: Vector, n_services: int
) -> FloatVector:
    """Return the average precision inside each service, shape ``(n_services,)``.

    NaN for a service without positives or without negatives. The same definition as
    :func:`optimizer.evaluation.metrics.events.average_precision`, for all services in one sort.
    """
    out = np.full(n_services, np.nan)
    if len(y_true) == 0:
        return out
    score = np.asarray(y_score, dtype=np.float64)
    order = np.lexsort((-score, service))
    of, score = service[order], score[order]
    positive = (np.asarray(y_true)[order] > 0.5).astype(np.int64)
    rows = np.bincount(of, minlength=n_services)
    positives = np.bincount(of, weights=positive, minlength=n_services)
    first = np.cumsum(rows) - rows
    # rows of one service and one score are found together, at the last of them
    last = np.append(np.flatnonzero((np.diff(of) != 0) | (np.diff(score) != 0)), len(of) - 1)
    found = np.cumsum(positive)
    before = np.concatenate(([0], found))[first]
    gained = np.diff(found[last], prepend=0)
    precision = (found[last] - before[of[last]]) / (last + 1 - first[of[last]])
    total = np.bincount(of[last], weights=gained * precision, minlength=n_services)
    np.divide(total, positives, out=out, where=(positives > 0) & (positives < rows))
    return out


def events_by_service(
    samples: Dataset, y_score: Vector, reference_rates: FloatVector
) -> pd.DataFrame:
    """Return one row per service that has evaluated rows.

    ``service_id``, ``n_rows``, ``n_positives``, ``prevalence``, ``past_rate``,
    ``average_precision``, ``lift`` (over its own prevalence), ``brier_score`` and ``brier_skill``
    (against its own past rate); NaN where a service has no positive. ``y_score``: shape ``(n,)``:
    probabilities. ``reference_rates``: shape ``(n_services,)``: each service's own past rate.
    """
    service, n = samples.service, samples.panel.n_services
    rows = np.bincount(service, minlength=n)
    positives = np.bincount(service, weights=samples.y, minlength=n)
    precision = service_average_precisions(service, samples.y, y_score, n)
    brier = _service_means(service, np.square(y_score - samples.y), n)
    base = _service_means(service, np.square(reference_rates[service] - samples.y), n)
    frame = pd.DataFrame(
        {
            SERVICE: np.asarray(samples.panel.services),
            "n_rows": rows,
            "n_positives": positives.astype(np.int64),
            "prevalence": _ratio(positives, rows),
            "past_rate": reference_rates,
            "average_precision": precision,
            "lift": _ratio(precision * rows, positives),
            "brier_score": brier,
            "brier_skill": 1.0 - _ratio(brier, base),
        }
    )
    return frame[rows > 0].reset_index(drop=True)


def median_lift(frame: pd.DataFrame, min_positives: int) -> tuple[float, int]:
    """Return the median lift over services with enough positives, and how many these are."""
    lift = frame.loc[frame["n_positives"] >= min_positives, "lift"].dropna()
    return (float(lift.median()) if len(lift) else float("nan")), len(lift)


def _service_means(service: NDArray[np.integer], values: Vector, n_services: int) -> FloatVector:
    """Return the mean of each service's known values, NaN without any."""
    known = ~np.isnan(values)
    rows = np.bincount(service[known], minlength=n_services)
    total = np.bincount(service[known], weights=values[known], minlength=n_services)
    return _ratio(total, rows)


def _ratio(upper: NDArray[np.number], lower: NDArray[np.number]) -> FloatVector:
    """Return the quotient, NaN where the divisor is 0."""
    out = np.full(len(upper), np.nan)
    np.divide(upper, lower, out=out, where=lower > 0)
    return out
