"""The jobs of a grid: ranked on validation, compared in pairs on the test fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from optimizer.core.schema import SERVICE, TIMESTAMP
from optimizer.evaluation import bootstrap
from optimizer.evaluation.metrics.forecasts import pinball_rows
from optimizer.evaluation.settings import Evaluation
from optimizer.models.exceedance.baselines import log_losses

Row = tuple[str, ...]


def rank_jobs(records: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the positions of records of one metric, the best on validation first.

    The test fold has no say: whoever chose by it could not report it. A job without a figure, as
    on validation rows of one class, comes last.
    """
    sign = -1 if records[0]["higher_is_better"] else 1
    figures = [sign * record["model"]["validation"] for record in records]
    return sorted(range(len(records)), key=lambda i: (np.isnan(figures[i]), figures[i]))


def difference_interval(
    frame: pd.DataFrame, best: pd.DataFrame, settings: Evaluation
) -> tuple[float, float, float] | None:
    """Return a job's figure minus the best job's on the same test rows, with its interval.

    Difference, lower and upper bound; None if the two were tested on other rows or quantiles.
    ``frame``, ``best``: two ``predictions.parquet``.
    """
    keys = [SERVICE, TIMESTAMP, *(["horizon"] if "horizon" in frame else [])]
    if set(frame) != set(best) or len(frame) != len(best):
        return None
    if not frame[[*keys, "y_true"]].equals(best[[*keys, "y_true"]]):
        return None
    service, names = pd.factorize(frame[SERVICE])
    counts = bootstrap.resample_services(
        service, len(names), settings.bootstrap_resamples, settings.bootstrap_seed
    )
    whole = np.ones((1, len(names)), dtype=np.int32)
    mine, theirs = (_resample(one, service, np.vstack([whole, counts])) for one in (frame, best))
    change = mine - theirs
    return float(change[0]), *bootstrap.interval(change[1:], settings.confidence)


def _resample(
    frame: pd.DataFrame, service: Any, counts: Any
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the primary figure of each resample."""
    y = frame["y_true"].to_numpy(np.float64)
    if "y_score" in frame:
        scores = frame["y_score"].to_numpy(np.float64)
        return bootstrap.average_precisions(service, y, scores, counts)
    if "exceedance" in frame:
        shares = frame["exceedance"].to_numpy(np.float64)
        return bootstrap.weighted_means(service, log_losses(y, shares), counts)
    names = [str(name) for name in frame if str(name).startswith("q0")]
    levels = [float(name[1:]) for name in names]
    losses = pinball_rows(y, frame[names].to_numpy(np.float64), levels)
    horizons = frame["horizon"].to_numpy()
    parts = [
        bootstrap.weighted_means(service[horizons == one], losses[horizons == one], counts)
        for one in pd.unique(horizons)
    ]
    return np.asarray(np.mean(parts, axis=0))


def grid_rows(
    jobs: Sequence[tuple[str, Mapping[str, Any], tuple[float, float, float] | None]],
) -> tuple[Row, list[Row]]:
    """Return head and rows of the table.

    ``jobs``: in the order of the rows: what sets the job apart, its record, and its difference to
    the first one on the test fold.
    """
    metric = str(jobs[0][1]["metric"])
    head: Row = ("job", "validation", "test", "interval", "test, against the first", "took s")
    rows: list[Row] = []
    for name, record, change in jobs:
        model = record["model"]
        low, high = (model.get(f"{metric}_{end}") for end in ("lower", "upper"))
        bounds = "-" if low is None else f"[{low:.4f}, {high:.4f}]"
        told = "-" if change is None else "{:+.4f} [{:+.4f}, {:+.4f}]".format(*change)
        rows.append(
            (
                name or "as configured",
                f"{model['validation']:.4f}",
                f"{model[metric]:.4f}",
                bounds,
                told,
                f"{record['seconds']['total']:.1f}",
            )
        )
    return head, rows


def distinguishing_overrides(jobs: Sequence[Sequence[str]]) -> list[str]:
    """Return what each job's overrides have that not all others have."""
    shared = set(jobs[0]).intersection(*map(set, jobs[1:])) if jobs else set()
    return [" ".join(one for one in job if one not in shared) for job in jobs]
