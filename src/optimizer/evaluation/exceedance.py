"""The exceedance surface beside what anyone can count, on intervals that neither has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import format_duration
from optimizer.core.errors import TargetError
from optimizer.core.panel import FloatArray
from optimizer.core.schema import SERVICE, TIMESTAMP
from optimizer.demand.bounds import RequestBounds
from optimizer.demand.usage import Usage
from optimizer.evaluation import bootstrap
from optimizer.evaluation.settings import Evaluation
from optimizer.models.exceedance.baselines import FloatVector, ShareBaseline, log_losses
from optimizer.models.exceedance.fitted import (
    IntervalDataset,
    SurfacePrediction,
    TrainedSurface,
    moments,
    reference_cases,
)
from optimizer.models.exceedance.forecast import Forecast
from optimizer.models.exceedance.outcomes import count_hits
from optimizer.models.exceedance.recalibration import levels_at
from optimizer.models.exceedance.rolling import multiply

DRAWN = tuple(float(share) for share in np.geomspace(0.001, 0.5, 25))
"""Promised exceedances of the calibration plot."""


@dataclass(frozen=True)
class Scored:
    """Rows of some intervals: who they are of, what came, and what each model said.

    ``shares``: exceedance by model, shape as the levels: ``model``, ``raw`` and the baselines.
    """

    cases: IntervalDataset
    shares: dict[str, FloatArray]

    def known(self) -> NDArray[np.bool_]:
        """Return the rows that all models and the outcome know, shape as the levels."""
        finite = [np.isfinite(share) for share in self.shares.values()]
        return np.asarray(np.logical_and.reduce([self.cases.scored, *finite]))

    def losses(self, name: str) -> tuple[FloatVector, FloatVector]:
        """Return a model's log losses and squared errors on the known rows."""
        rows = self.known()
        y, share = self.cases.rows.outcome[rows].astype(np.float64), self.shares[name][rows]
        return log_losses(y, share), np.square(share - y)


def score_surface(
    trained: TrainedSurface,
    answer: SurfacePrediction,
    usage: Usage,
    cutoffs: NDArray[np.int64],
    bounds: RequestBounds | None = None,
) -> Scored:
    """Return what a trained surface says at the reference levels of some of its cutoffs.

    ``answer``: its answer at these cutoffs, and at others perhaps. ``cutoffs``: int64, ascending,
    shape ``(n_cutoffs,)``. ``bounds``: least and largest level to score; the surface's own if
    absent. Raises TargetError: nothing was observed that could be scored.
    """
    rows = np.searchsorted(answer.raw.cutoffs, cutoffs)
    table = answer.table.part(cutoffs)
    settings = trained.settings
    limits = settings.bounds if bounds is None else bounds
    cases = reference_cases(usage, table, answer.raw.interval, limits, settings.outcome)
    raw = trained.model.exceedance(usage, table, cases.rows.levels)
    raw[np.isnan(answer.raw.exceedance[rows, :, -1])] = np.nan  # too young to be forecast
    found = Scored(cases, {"model": multiply(raw, answer.factors[rows]), "raw": raw})
    if not found.known().any():
        raise TargetError(
            "surface",
            seen=f"{len(cutoffs)} intervals without an outcome to score",
            allowed="a service that was observed in half of an interval",
            fix="give more history, or telemetry with fewer gaps",
        )
    return found


def measure(
    scored: Scored, baselines: Mapping[str, ShareBaseline], settings: Evaluation
) -> tuple[dict[str, dict[str, float]], dict[str, float], str]:
    """Return figures by model, the difference to the best baseline, and its name.

    Figures (``log_loss``, ``brier``, their skill against the best baseline); and changes with
    bounds, negative where the model is better. ``settings``: the bootstrap over services; all
    models see the same draws.
    """
    shares = {name: one.exceedance(scored.cases) for name, one in baselines.items()}
    whole = Scored(scored.cases, scored.shares | shares)
    losses = {name: whole.losses(name) for name in whole.shares}
    service = np.nonzero(whole.known())[1]
    draws = settings.bootstrap_resamples, settings.bootstrap_seed
    counts = bootstrap.resample_services(service, scored.cases.usage.n_services, *draws)
    best = min(baselines, key=lambda name: float(np.mean(losses[name][0])))
    figures, difference = {}, {}
    for name, parts in losses.items():
        figures[name] = {"n_rows": float(len(service))}
        for metric, own, other in zip(("log_loss", "brier"), parts, losses[best], strict=True):
            means = bootstrap.weighted_means(service, own, counts)
            low, high = bootstrap.interval(means, settings.confidence)
            figures[name] |= {
                metric: float(np.mean(own)),
                f"{metric}_lower": low,
                f"{metric}_upper": high,
                f"{metric}_skill": 1.0 - float(np.mean(own) / np.mean(other)),
            }
            if name == "model":
                change = bootstrap.weighted_means(service, own - other, counts)
                low, high = bootstrap.interval(change, settings.confidence)
                difference[f"{metric}_change"] = float(np.mean(own - other))
                difference |= {f"{metric}_change_lower": low, f"{metric}_change_upper": high}
    return figures, difference, best


def realise(
    usage: Usage,
    found: Forecast,
    cutoffs: NDArray[np.int64],
    promises: Sequence[float],
    outcome: str = "steps",
) -> pd.DataFrame:
    """Return how often the least level of each promised exceedance was exceeded in truth.

    Per promise: ``promised``, ``forecast`` (mean exceedance forecast for the level, at most the
    promise where a level keeps it) and ``realised``, all over observed steps or intervals.

    - ``found``: the surface at these cutoffs, and at others perhaps.
    - ``cutoffs``: int64, ascending.
    - ``promises``: shares of steps; where the outcome is ``"peak"``, of intervals.
    - ``outcome``: what the surface has learned.
    """
    rows = np.searchsorted(found.cutoffs, cutoffs)
    levels, forecast = levels_at(found.levels[rows], found.exceedance[rows], promises)
    peaks = outcome == "peak"
    hits, steps = count_hits(usage, cutoffs, found.interval, levels, peaks=peaks)
    number = max(int(steps.sum()), 1)
    told = np.nansum(forecast * steps, axis=(1, 2)) / number
    return pd.DataFrame(
        {"promised": promises, "forecast": told, "realised": hits.sum(axis=(1, 2)) / number}
    )


def frame_scored(scored: Scored) -> pd.DataFrame:
    """Return the scored rows: keys, ``horizon``, ``level``, ``y_true`` and the exceedances."""
    cases, known = scored.cases, scored.known()
    cutoff, service, _ = np.nonzero(known)
    at = moments(cases.usage, cases.table.cutoffs)
    return pd.DataFrame(
        {
            SERVICE: np.asarray(cases.usage.services, dtype=object)[service],
            TIMESTAMP: pd.DatetimeIndex(at[cutoff], tz="UTC"),
            "horizon": format_duration(cases.interval * cases.usage.step),
            "level": cases.rows.levels[known],
            "y_true": cases.rows.outcome[known],
            "exceedance": scored.shares["model"][known],
            "exceedance_raw": scored.shares["raw"][known],
        }
    )
