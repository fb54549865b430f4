"""All policies beside each other on one replay: figures at their settings, cost at equal risk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray
from optimizer.core.schema import SERVICE
from optimizer.decisions.backtesting.accounting import ReplaySums, replay_sums
from optimizer.decisions.backtesting.frontier import LIMITS, Frontier, frontier_table
from optimizer.decisions.backtesting.metrics import replay_metrics
from optimizer.decisions.backtesting.replay import Replay
from optimizer.decisions.backtesting.significance import compare_cost, draw_services
from optimizer.decisions.policies.protocol import Policy
from optimizer.demand.usage import Usage
from optimizer.evaluation.coverage import by_group

ORACLE, STATIC, REFERENCE = "peak_oracle", "static", "vpa"
"""Perfect foresight; today's requests; the rule whose unmet demand is the cap."""


@dataclass(frozen=True)
class PolicyReplay:
    """What came of replaying one policy.

    - ``name``, ``knob``: the policy's choice and the name of its knob.
    - ``knobs``: settings: one number, or several such as ``"w=0.2, lambda_=5"``; ascending in each
      sweep.
    - ``requests``: float32, shape ``(n_knobs, n_cutoffs, n_services)``, in the resource's unit.
    - ``frontier``: sums of every setting and service, in as many sweeps as the knob has.
    """

    name: str
    knob: str
    knobs: tuple[str, ...]
    configured: int
    learns: bool
    requests: FloatArray
    frontier: Frontier

    @property
    def sums(self) -> ReplaySums:
        """Sums of every setting and service."""
        return self.frontier.sums


def replay_named(name: str, policy: Policy, replay: Replay, usage: Usage) -> PolicyReplay:
    """Replay a policy at all settings of its knob, in all of its sweeps."""
    requests, sums, told = [], [], []
    cutoffs = replay.cutoffs(usage)
    for apart, one in policy.sweeps.items():
        requests.append(replay.requests(one, usage, capped=name != ORACLE))
        sums.append(replay_sums(requests[-1], usage, cutoffs, replay.bounds.floor))
        told += [f"{apart}, {one.knob}={k:g}" if apart else f"{k:g}" for k in one.knobs]
    return PolicyReplay(
        name=name,
        knob=policy.knob,
        knobs=tuple(told),
        configured=policy.knobs.index(policy.setting),
        learns=policy.learns,
        requests=np.concatenate(requests),
        frontier=Frontier.of(*sums),
    )


def tabulate_figures(
    found: Mapping[str, PolicyReplay], chosen: NDArray[np.bool_] | None = None
) -> pd.DataFrame:
    """Return the pooled figures of every policy at its configured setting, one row each.

    ``chosen``: bool, shape ``(n_services,)``: these services only.
    """
    rows = []
    for name, one in found.items():
        weights = np.ones_like(one.sums["steps"][0]) if chosen is None else chosen
        figures = replay_metrics(one.sums.weighted(np.atleast_2d(weights)))
        own = {key: float(value[one.configured, 0]) for key, value in figures.items()}
        rows.append({"policy": name, "knob": one.knobs[one.configured], **own})
    return pd.DataFrame(rows)


def tabulate_services(found: Mapping[str, PolicyReplay], usage: Usage) -> pd.DataFrame:
    """Return every policy's figures per service at its configured setting."""
    parts = []
    for name, one in found.items():
        figures = replay_metrics(one.sums)
        own = {key: value[one.configured] for key, value in figures.items()}
        parts.append(pd.DataFrame({"policy": name, SERVICE: usage.services, **own}))
    return pd.concat(parts, ignore_index=True)


def tabulate_frontier(
    found: Mapping[str, PolicyReplay], limits: tuple[float, ...] | None = None
) -> pd.DataFrame:
    """Return every policy's cost at equal violation rates, without and with unmet demand capped.

    The cap is the unmet demand of the VPA's rule at the same violation rate.
    """
    reference = found[REFERENCE].frontier
    parts = [
        frontier_table(one.frontier, reference, limits).assign(policy=name)
        for name, one in found.items()
        if name not in (ORACLE, STATIC)
    ]
    table = pd.concat(parts, ignore_index=True)
    return table[["policy", *(name for name in table if name != "policy")]]


def compare_groups(found: Mapping[str, PolicyReplay], groups: Sequence[str]) -> pd.DataFrame:
    """Return :func:`compare_rules` of the whole fleet and of each group of several services.

    ``group``, ``services`` (how many), then the columns of :func:`compare_rules`. ``groups``: group
    of each service.
    """
    tables = []
    for name, chosen in by_group(groups):
        if chosen.sum() > 1:
            table = compare_rules(found, chosen)
            table.insert(0, "group", name)
            table.insert(1, "services", chosen.sum())
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def compare_rules(
    found: Mapping[str, PolicyReplay],
    chosen: NDArray[np.bool_] | None = None,
    limits: tuple[float, ...] | None = None,
    resamples: int = 400,
) -> pd.DataFrame:
    """Return each policy against the best other rule at equal limits, paired over services.

    Rules are the policies that fit no model; the best one is picked in hindsight. ``chosen``:
    services to count, shape ``(n_services,)``; all if absent. ``limits``: rates to compare at;
    those of the resource if absent.
    """
    frontiers = {name: one.frontier for name, one in found.items() if name not in (ORACLE, STATIC)}
    if chosen is not None:
        frontiers = {name: one.of_services(chosen) for name, one in frontiers.items()}
    rows: list[dict[str, Any]] = []
    for name, mine in frontiers.items():
        others = {
            other: one
            for other, one in frontiers.items()
            if other != name and not found[other].learns
        }
        counts = draw_services(mine, resamples)
        for limit in limits or LIMITS[found[name].sums.resource]:
            for cap in (None, frontiers[REFERENCE]):
                told = compare_cost(mine, others, limit, counts, cap)
                change, lower, upper = told.change
                rows.append(
                    {
                        "policy": name,
                        "limit": limit,
                        "unmet_capped": told.unmet_capped,
                        "cost": told.cost,
                        "best_rule": told.rule,
                        "rule_cost": told.rule_cost,
                        "difference": told.difference[0],
                        "undefined_draws": told.undefined,
                        "change": change,
                        "lower": lower,
                        "upper": upper,
                        "reason": told.reason,
                    }
                )
    return pd.DataFrame(rows)


def mean_utilisation(usage: Usage) -> NDArray[np.float64]:
    """Return each service's mean usage as a share of its capacity, NaN if never observed."""
    seen = ~np.isnan(usage.values)
    total = np.where(seen, usage.values, 0.0).sum(axis=1, dtype=np.float64)
    means = np.full(usage.n_services, np.nan)
    np.divide(total, seen.sum(axis=1), out=means, where=seen.any(axis=1))
    return means / usage.capacity
