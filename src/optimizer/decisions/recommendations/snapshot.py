"""Ask a policy for requests now, and for those it would have made over the last weeks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import count_steps
from optimizer.core.panel import FloatArray, Panel
from optimizer.decisions.policies.protocol import Policy
from optimizer.decisions.recommendations.recommend import (
    RecommendationInputs,
    RecommendationSettings,
)
from optimizer.demand.bounds import RequestBounds
from optimizer.demand.censoring import uncensor
from optimizer.demand.from_panel import has_capacity, usage_of
from optimizer.demand.usage import Usage
from optimizer.evaluation.coverage import ALL, tabulate_bounds, tabulate_promises
from optimizer.models.conformal.conformal import ConformalCalibrator
from optimizer.models.exceedance.explanation import explain_targets
from optimizer.models.exceedance.fitted import TrainedSurface
from optimizer.models.exceedance.forecast import Forecast


@dataclass(frozen=True)
class PolicyRequests:
    """What a policy requests of one resource.

    - ``past``: float32, shape ``(n_cutoffs, n_services)``: what it requests at each cutoff of the
      last weeks and now, within floor and cap.
    - ``days``: int64, shape ``(n_cutoffs,)``: day of each cutoff since 1970, UTC.
    - ``due``: time of the last weeks that the surface has not learned from and that is over: its
      promises there have come due.
    - ``promises``, ``bounds``: what came of them, see :mod:`optimizer.evaluation.coverage`; the
      group is the resource. Without rows where none has come due.
    """

    case: RecommendationInputs
    past: FloatArray
    days: NDArray[np.int64]
    hold: pd.Timedelta
    due: pd.Timedelta
    promises: pd.DataFrame
    bounds: pd.DataFrame


@dataclass(frozen=True)
class CachedForecast:
    """A surface that has been asked already."""

    answer: Forecast

    def forecast(self, usage: Usage, cutoffs: NDArray[np.int64]) -> Forecast:
        """Return the answer: it is of this usage and these cutoffs."""
        assert len(cutoffs) == len(self.answer.cutoffs) - self.answer.start  # noqa: S101
        assert usage.n_services == self.answer.levels.shape[1]  # noqa: S101
        return self.answer


def evaluate_policy(
    policy: Policy,
    surface: TrainedSurface,
    panel: Panel,
    settings: RecommendationSettings,
    bounds: RequestBounds,
    calibrator: ConformalCalibrator,
) -> PolicyRequests:
    """Return what a policy requests now, with bounds, risk and what drove them.

    ``policy``: asks the surface if it asks any. ``settings``: how far back savings look, and what
    counts as clipped. ``bounds``: floor and cap of every request.

    Notes
    -----
    Where usage is clipped at the limit it is a lower bound of demand; such services are asked for
    with :func:`~optimizer.demand.censoring.uncensor` as well, and the higher request counts:
    a learned policy may ask for less where usage was higher. The cap of a request is that of
    uncensored usage, else no clipped service could ever grow by more than the headroom. Bounds
    and risk are of usage as observed.
    """
    usage = usage_of(panel, surface.resource)
    interval = surface.interval // usage.step
    cutoffs = settings.cutoffs(usage, interval)
    answer = surface.answer(usage, cutoffs)
    forecast = answer.forecast
    raw = _ask(policy, forecast, usage, cutoffs)
    clipped, freed = settings.clipped(usage), usage
    if clipped.any():
        freed = uncensor(usage, np.where(clipped, usage.capacity, np.inf)[:, None])
        more = _ask(policy, surface.forecast(freed, cutoffs), freed, cutoffs)
        raw = np.where(clipped, np.fmax(raw, more), more)
    past = bounds.hold(raw, freed, cutoffs)
    outlook = calibrator.predict(usage, forecast)
    table = answer.table.part(cutoffs[-1:])
    case = RecommendationInputs(
        usage=usage,
        clusters=newest_clusters(panel),
        capacity_known=has_capacity(panel, surface.resource),
        asked=raw[-1],
        target=past[-1],
        outlook=outlook.part(slice(-1, None)),
        drivers=explain_targets(surface.model, usage, table, past[-1]),
        least=calibrator.least_history,
        standing=past[-count_steps(pd.Timedelta(days=7), usage.step) // interval :].max(axis=0),
    )
    moments = usage.timestamps[cutoffs - 1].astype("datetime64[D]").astype(np.int64)
    due = (np.arange(len(cutoffs)) >= forecast.n_in_sample_cutoffs - forecast.start) & (
        cutoffs + interval <= usage.n_steps
    )
    held = outlook.part(due), usage, cutoffs[due], interval, [surface.resource] * usage.n_services
    promises, peak_bounds = (
        told[(told["group"] != ALL) & (told[counted] > 0)].reset_index(drop=True)
        for told, counted in (
            (tabulate_promises(*held), "steps"),
            (tabulate_bounds(*held), "intervals"),
        )
    )
    long = int(due.sum()) * surface.interval
    return PolicyRequests(case, past, moments, surface.interval, long, promises, peak_bounds)


def _ask(policy: Policy, told: Forecast, usage: Usage, cutoffs: NDArray[np.int64]) -> FloatArray:
    own = policy.with_surface(CachedForecast(told))
    asked: FloatArray = own.request(usage, cutoffs, (own.setting,))[0]
    return asked


def newest_clusters(panel: Panel) -> tuple[str, ...]:
    """Return each service's cluster at its newest row; empty text if it has none."""
    present = panel.present
    last = panel.n_steps - 1 - np.argmax(present[:, ::-1], axis=1)
    codes = panel.clusters[np.arange(panel.n_services), last]
    names = np.asarray([*panel.cluster_names, ""], dtype=object)
    found: list[str] = names[np.where(present.any(axis=1), codes, -1)].tolist()
    return tuple(found)
