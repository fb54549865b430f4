"""Recommendations in money: what each saves, what all save, and what nodes can be given back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from optimizer.core.schema import CLUSTER, SERVICE
from optimizer.decisions.consolidation.packing import PackingRules
from optimizer.decisions.consolidation.savings import Requests, cheapest_instance, packed_saving
from optimizer.decisions.pricing.catalogue import (
    HOURS_PER_MONTH,
    Instance,
    PriceCatalogue,
    monthly_cost,
    price_per_hour,
)
from optimizer.decisions.pricing.savings import monthly_savings
from optimizer.decisions.recommendations.recommend import SHARE, RecommendationSettings
from optimizer.decisions.recommendations.snapshot import PolicyRequests
from optimizer.demand.usage import CPU, MEMORY

MONEY = ("monthly_saving", "monthly_saving_p10", "monthly_saving_p90")
PACKED = ("freed_monthly_cost", "packed_monthly_saving", "nodes_before", "nodes_after")
"""Figures of the fleet once its services are packed onto nodes."""


@dataclass(frozen=True)
class PricedRecommendations:
    """Recommendations with their savings, and the figures of the fleet.

    ``frame``: with ``monthly_saving``, ``monthly_saving_p10`` and ``monthly_saving_p90``.
    ``fleet``: money per month; empty without prices. ``nodes``: type of the nodes before and after;
    empty if none was packed.
    """

    frame: pd.DataFrame
    fleet: dict[str, float]
    nodes: tuple[str, ...] = ()


def price_recommendations(
    frame: pd.DataFrame,
    asked: Mapping[str, PolicyRequests],
    catalogue: PriceCatalogue | None,
    settings: RecommendationSettings,
    seed: int,
) -> PricedRecommendations:
    """Return recommendations with what a month of following them would save.

    A row that is kept or not judged saves nothing, one of unknown capacity an unknown sum. The
    saving of the others is what following the policy over the past weeks would have saved, at every
    cutoff, a month; its P10 and P90 come from resampling the days.

    - ``frame``: rows of every resource, in the order of ``asked`` and then of the services.
    - ``catalogue``: without one, savings are NaN: there is no default price.
    - ``seed``: seeds the bootstrap over days.
    """
    if catalogue is None:
        return PricedRecommendations(frame.assign(**dict.fromkeys(MONEY, np.nan)), {})
    current = frame["current"].to_numpy(np.float64)
    moved = frame["action"].isin(["scale_up", "scale_down"]).to_numpy()
    past = np.concatenate([one.past for one in asked.values()], axis=1)
    targets = np.where(moved, past, current)
    price = np.concatenate(
        [np.full(one.past.shape[1], price_per_hour(catalogue, name)) for name, one in asked.items()]
    )
    days = next(iter(asked.values())).days
    saved = monthly_savings(current, targets, price, days, seed)
    told = frame.assign(
        monthly_saving=saved.mean, monthly_saving_p10=saved.p10, monthly_saving_p90=saved.p90
    )
    if np.isnan(saved.total):  # no capacity is known
        return PricedRecommendations(told, {})
    fleet = {
        "current_monthly_cost": total_cost(told, "current", catalogue),
        "target_monthly_cost": total_cost(told, "current", catalogue) - saved.total,
        "monthly_saving": saved.total,
        "monthly_saving_p10": saved.total_p10,
        "monthly_saving_p90": saved.total_p90,
    }
    packed, nodes = pack_fleet(told, catalogue, settings)
    return PricedRecommendations(told, fleet | packed, nodes)


def total_cost(frame: pd.DataFrame, column: str, catalogue: PriceCatalogue) -> float:
    """Return what a column of requests costs a month, where the capacity is known."""
    known = frame[frame["unit"] != SHARE]
    parts = [
        float(np.nansum(monthly_cost(rows[column].to_numpy(), catalogue, str(name))))
        for name, rows in known.groupby("resource")
    ]
    return sum(parts)


def pack_fleet(
    frame: pd.DataFrame, catalogue: PriceCatalogue, settings: RecommendationSettings
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return what the targets free and what nodes save, over clusters: they share no nodes.

    With the type of the nodes before and after: the one of ``settings``, or on each side the one
    that it costs least on. Both are empty where a resource is missing, or the catalogue lists no
    instance.
    """
    wide = frame.pivot_table(
        index=[CLUSTER, SERVICE],
        columns="resource",
        values=["current", "target"],
        dropna=False,
        observed=True,
    )
    needed = {(side, name) for side in ("current", "target") for name in (CPU, MEMORY)}
    if not catalogue.instances or not needed <= set(wide.columns):
        return {}, ()
    wide = wide[wide[list(needed)].notna().all(axis=1)]
    if not len(wide):
        return {}, ()
    rules = PackingRules(reserve=settings.reserve)
    old, new = (_node(wide, side, catalogue, settings, rules) for side in ("current", "target"))
    sums = np.zeros(len(PACKED))
    for _, rows in wide.groupby(level=CLUSTER):
        now, then = _requests(rows, "current"), _requests(rows, "target")
        one = packed_saving(now, then, catalogue, old.name, rules)
        two = one if new == old else packed_saving(then, then, catalogue, new.name, rules)
        before, after = one.before.nodes, two.after.nodes
        saved = (before * old.hour - after * new.hour) * HOURS_PER_MONTH
        sums += [one.freed, saved, before, after]
    return dict(zip(PACKED, sums.tolist(), strict=True)), (old.name, new.name)


def _node(
    wide: pd.DataFrame,
    side: str,
    catalogue: PriceCatalogue,
    settings: RecommendationSettings,
    rules: PackingRules,
) -> Instance:
    """Return the type of the nodes of one side."""
    if settings.instance:
        return catalogue.instance(settings.instance)
    return cheapest_instance(_requests(wide, side), catalogue, rules)


def _requests(wide: pd.DataFrame, side: str) -> Requests:
    return Requests(wide[(side, CPU)].to_numpy(), wide[(side, MEMORY)].to_numpy())


def join_resources(frames: Sequence[pd.DataFrame], events: pd.Series[float] | None) -> pd.DataFrame:
    """Return all resources in one frame, with the risk of the service and of an event.

    ``risk`` is the highest over a service's resources. ``frames``: from
    :func:`~optimizer.decisions.recommendations.recommend.recommend_resource`. ``events``:
    Probability of a scale event by ``service_id``; NaN without a model.
    """
    joined = pd.concat(frames, ignore_index=True)
    risk = joined.groupby(SERVICE)["risk"].transform("max")
    known = events if events is not None else pd.Series(dtype=np.float64)
    chance = joined[SERVICE].map(known).astype(np.float64)
    return joined.assign(risk=risk, event_probability=chance)
