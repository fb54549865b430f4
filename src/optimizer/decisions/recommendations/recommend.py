"""From requests to recommendations: what to do with each service, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import count_steps, parse_duration
from optimizer.core.errors import ConfigError
from optimizer.core.panel import BoolArray, FloatArray
from optimizer.core.schema import CLUSTER, SERVICE
from optimizer.core.validation import require_between, require_count
from optimizer.decisions.recommendations.reasons import format_reasons
from optimizer.demand.censoring import clipped_share
from optimizer.demand.history import peak
from optimizer.demand.usage import CPU, MEMORY, Usage
from optimizer.models.conformal.predictive import PredictiveDistribution

UNITS = {CPU: "cores"}
SHARE = "share of capacity"
OVER = 1.02
"""Usage up to so many times the request may still be clipped by it: metrics are not exact."""
IDLE_PEAK = 5.0
"""An idle service's peak of a week is lower than so many times the mean that counts as idle."""
BANDS = (0.001, 0.005, 0.02, 0.1)


@dataclass(frozen=True)
class RecommendationSettings:
    """When a request differs enough, what counts as idle, and how risk is graded.

    Parameters
    ----------
    history : str
        Past that savings are estimated from.
    deadband : float
        Changes of less than this share of the present request are not worth it, in [0, 1).
    idle_below : float
        Mean usage of the last week, as a share of the present request, of an idle service.
    risk_bands : sequence of float
        Four ascending shares of steps in (0, 1): a target that more steps exceed has risk 1, 2, 3
        or 4, one below the first has a risk between 0 and 1.
    clipped_above : float
        Share of a week's steps at the limit from which usage says too little of demand.
    stale_after : str
        A service silent for as long gets no recommendation.
    scale_out : str, optional
        Pattern of the ids of services that run in replicas.
    replica_step : float
        Sizes of replicas are multiples of this, in cores, > 0.
    max_replicas : int
        Most replicas of a service.
    instance : str, optional
        Type of the nodes, of the price list; if absent the cheapest, before and after.
    reserve : float
        Share of a node that the system keeps, in [0, 1).
    """

    history: str = "28d"
    deadband: float = 0.1
    idle_below: float = 0.02
    risk_bands: Sequence[float] = BANDS
    clipped_above: float = 0.01
    stale_after: str = "1d"
    scale_out: str | None = None
    replica_step: float = 0.25
    max_replicas: int = 20
    instance: str | None = None
    reserve: float = 0.06

    def __post_init__(self) -> None:
        """Check the settings."""
        for name in ("history", "stale_after"):
            parse_duration(getattr(self, name), f"recommend.{name}")
        for name, fix in (("deadband", 0.1), ("idle_below", 0.02), ("reserve", 0.06)):
            require_between(
                f"recommend.{name}", getattr(self, name), 0.0, 1.0, fix=fix, open_high=True
            )
        require_between("recommend.clipped_above", self.clipped_above, 0.0, 1.0, fix=0.01)
        require_between("recommend.replica_step", self.replica_step, 0.0, fix=0.25, open_low=True)
        require_count("recommend.max_replicas", self.max_replicas, 1, fix=20)
        bands = np.asarray(self.risk_bands, dtype=np.float64)
        if len(bands) != 4 or not ((np.diff(bands, prepend=0.0) > 0).all() and bands[-1] < 1.0):
            raise ConfigError(
                "recommend.risk_bands",
                seen=list(self.risk_bands),
                allowed="four ascending numbers in (0, 1)",
                fix=f"set recommend.risk_bands={list(BANDS)}",
            )

    def cutoffs(self, usage: Usage, interval: int) -> NDArray[np.int64]:
        """Return now, and the moments before it at which the policy would have been asked."""
        steps = count_steps(parse_duration(self.history, "recommend.history"), usage.step)
        number = min(steps, usage.n_steps - 1) // interval
        return usage.n_steps - interval * np.arange(number, -1, -1, dtype=np.int64)

    def clipped(self, usage: Usage) -> BoolArray:
        """Return which services' usage of the last week is clipped at the present request.

        Usage that rose above the request is not clipped by it: the limit lies elsewhere, or the
        request was higher then.
        """
        newest = _part(usage, count_steps(pd.Timedelta(days=7), usage.step))
        share = clipped_share(newest, usage.capacity[:, None])
        clipped: BoolArray = share > self.clipped_above
        return clipped & (peak(newest.values) <= OVER * usage.capacity)

    def grade(self, exceedance: FloatArray) -> FloatArray:
        """Return the risk of exceedances: 0 at none, 1 to 4 at the bands, linear in between."""
        found = np.interp(exceedance, [0.0, *self.risk_bands], np.arange(5.0))
        return np.where(np.isnan(exceedance), np.nan, found)


@dataclass(frozen=True)
class RecommendationInputs:
    """What is known of one resource of all services.

    - ``clusters``: ``cluster_id`` of each service.
    - ``capacity_known``: bool, shape ``(n_services,)``; where not, usage and requests are shares of
      the capacity.
    - ``asked``: float32, shape ``(n_services,)``: what the policy requests until the next cutoff,
      before any limit; NaN where it does not know.
    - ``target``: float32, shape ``(n_services,)``: the same within floor and cap, never NaN.
    - ``outlook``: distribution of usage after one cutoff: now.
    - ``drivers``: what drove the forecast of each service.
    - ``standing``: float32, shape ``(n_services,)``: the highest of the policy's requests over the
      last week, for whoever sets it and leaves it.
    """

    usage: Usage
    clusters: tuple[str, ...]
    capacity_known: BoolArray
    asked: FloatArray
    target: FloatArray
    outlook: PredictiveDistribution
    drivers: tuple[tuple[str, ...], ...]
    least: str
    standing: FloatArray


def recommend_resource(
    case: RecommendationInputs, settings: RecommendationSettings
) -> pd.DataFrame:
    """Return the recommendations of one resource, one row per service; nothing in money yet.

    ``service_id``, ``cluster_id``, ``resource``, ``unit``, ``current`` (NaN where the capacity is
    unknown), ``target`` (until the next cutoff), ``standing_target`` (the highest one of the last
    week), ``lower_bound``, ``upper_bound``, ``action``, ``finding``, ``exceedance`` (calibrated
    probability that a step uses more than the target; of memory, that the peak does), ``risk`` (of
    the resource alone), ``confidence`` (share of the last 14 days that was observed), ``drivers``,
    ``reason_code`` and ``reason``. ``case``: what is known.

    Notes
    -----
    An idle service is told as such, and still asked for no less than its target. Where usage was
    clipped at the limit, the target is never below the present request.
    """
    usage, current = case.usage, case.usage.capacity
    week, fortnight = (count_steps(pd.Timedelta(days=n), usage.step) for n in (7, 14))
    stale = parse_duration(settings.stale_after, "recommend.stale_after")
    silent = _steps_since(usage) >= count_steps(stale, usage.step)
    clipped = settings.clipped(usage)
    newest = _part(usage, week).values
    little = settings.idle_below * current
    idle = (_mean(newest) < little) & (peak(newest) < IDLE_PEAK * little)
    target = np.where(clipped, np.fmax(case.target, current), case.target)
    change = target / current - 1.0
    codes = np.select(
        [
            silent,
            np.isnan(case.asked),
            ~case.capacity_known,
            clipped & (change <= settings.deadband),
            change > settings.deadband,
            idle & (change < -settings.deadband),
            change < -settings.deadband,
        ],
        ["silent", "history_too_short", "capacity_unknown", "clipped_at_limit", "too_small",
         "idle", "too_large"],
        "fits",
    )  # fmt: skip
    verdict = VERDICTS.loc[codes]
    kept = verdict["action"].isin(["none", "keep"]).to_numpy() & case.capacity_known
    target = np.where(kept, current, target).astype(np.float32)
    unknown = np.isin(codes, ["silent", "history_too_short"])
    risk = case.outlook.risk(target[None], peaks=usage.resource == MEMORY)
    exceedance, lower, upper = (
        np.where(unknown, np.float32(np.nan), values[0])
        for values in (risk, *case.outlook.bounds())
    )
    standing = np.where(kept, current, np.fmax(target, case.standing))
    return pd.DataFrame(
        {
            SERVICE: np.asarray(usage.services, dtype=object),
            CLUSTER: np.asarray(case.clusters, dtype=object),
            "resource": usage.resource,
            "unit": np.where(case.capacity_known, UNITS.get(usage.resource, "GiB"), SHARE),
            "current": np.where(case.capacity_known, current, np.nan),
            "target": target,
            "standing_target": standing.astype(np.float32),
            "lower_bound": lower,
            "upper_bound": upper,
            "action": verdict["action"].to_numpy(),
            "finding": verdict["finding"].to_numpy(),
            "exceedance": exceedance,
            "risk": settings.grade(exceedance),
            "confidence": np.sum(~np.isnan(_part(usage, fortnight).values), axis=1) / fortnight,
            "drivers": pd.Series(list(case.drivers), dtype=object),
            "reason_code": codes,
            "reason": format_reasons(
                codes, usage, current, target, exceedance, (settings.stale_after, case.least)
            ),
        }
    )


VERDICTS = pd.DataFrame.from_dict(
    {
        "silent": ("none", "unknown"),
        "history_too_short": ("none", "unknown"),
        "capacity_unknown": ("none", "unknown"),
        "clipped_at_limit": ("keep", "under_provisioned"),
        "too_small": ("scale_up", "under_provisioned"),
        "idle": ("scale_down", "idle"),
        "too_large": ("scale_down", "over_provisioned"),
        "fits": ("keep", "optimized"),
    },
    orient="index",
    columns=["action", "finding"],
)
"""What each reason amounts to."""


def _steps_since(usage: Usage) -> NDArray[np.int64]:
    """Return how many steps ago each service was last observed; all of them if never."""
    seen = ~np.isnan(usage.values[:, ::-1])
    return np.where(seen.any(axis=1), np.argmax(seen, axis=1), usage.n_steps)


def _part(usage: Usage, steps: int) -> Usage:
    """Return the newest steps of usage."""
    return replace(usage, values=usage.values[:, -steps:], timestamps=usage.timestamps[-steps:])


def _mean(values: FloatArray) -> FloatArray:
    seen = ~np.isnan(values)
    total = np.where(seen, values, 0.0).sum(axis=1, dtype=np.float64)
    out = np.full(len(values), np.nan)
    np.divide(total, seen.sum(axis=1), out=out, where=seen.any(axis=1))
    return out.astype(np.float32)
