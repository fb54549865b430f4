"""All policies beside each other on one replay: figures at their settings, cost at equal risk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.columns import SERVICE
from optimizer.features.panel import FloatArray
from optimizer.rightsizing.base import Policy, Usage
from optimizer.rightsizing.frontier import LIMITS, Frontier, frontier_table
from optimizer.rightsizing.paired import compare_cost, draw_services
from optimizer.rightsizing.replay import Replay
from optimizer.rightsizing.replay_metrics import replay_metrics
from optimizer.rightsizing.replay_sums import ReplaySums, replay_sums

ORACLE, STATIC, REFERENCE = "peak_oracle", "static", "vpa"
"""Perfect foresight; today's requests; the rule whose unmet demand is the cap."""


@dataclass(frozen=True)
class PolicyReplay:
    """What came of replaying one policy.

    Parameters
    ----------
    name, knob : str
        The policy's choice and the name of its knob.
    knobs : tuple of float
        Settings, ascending.
    configured : int
        Position of the configured setting.
    learns : bool
        Whether the policy fits a model.
    requests : numpy.ndarray
        float32, shape ``(n_knobs, n_cutoffs, n_services)``, in the resource's unit.
    sums : ReplaySums
        Of every setting and service.
    """

    name: str
    knob: str
    knobs: tuple[float, ...]
    configured: int
    learns: bool
    requests: FloatArray
    sums: ReplaySums


def replay_named(name: str, policy: Policy, replay: Replay, usage: Usage) -> PolicyReplay:
    """Replay a policy at all settings of its knob."""
    knobs, own = tuple(policy.knobs), float(policy.setting)
    requests = replay.requests(policy, usage, knobs, capped=name != ORACLE)
    sums = replay_sums(requests, usage, replay.cutoffs(usage), replay.floor)
    nearest = int(np.argmin(np.abs(np.asarray(knobs) - own)))
    return PolicyReplay(name, policy.knob, knobs, nearest, policy.learns, requests, sums)


def tabulate_figures(
    found: Mapping[str, PolicyReplay], chosen: NDArray[np.bool_] | None = None
) -> pd.DataFrame:
    """Return the pooled figures of every policy at its configured setting, one row each.

    Parameters
    ----------
    found : mapping
        Replays by policy.
    chosen : numpy.ndarray, optional
        bool, shape ``(n_services,)``: these services only.
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
    found: Mapping[str, PolicyReplay], limits: tuple[float, ...] = LIMITS
) -> pd.DataFrame:
    """Return every policy's cost at equal violation rates, without and with unmet demand capped.

    The cap is the unmet demand of the VPA's rule at the same violation rate.
    """
    reference = Frontier.of(found[REFERENCE].sums)
    parts = [
        frontier_table(Frontier.of(one.sums), reference, limits).assign(policy=name)
        for name, one in found.items()
        if name not in (ORACLE, STATIC)
    ]
    table = pd.concat(parts, ignore_index=True)
    return table[["policy", *(name for name in table if name != "policy")]]


def compare_rules(
    found: Mapping[str, PolicyReplay], limits: tuple[float, ...] = LIMITS, resamples: int = 400
) -> pd.DataFrame:
    """Return each policy against the best other rule at equal limits, paired over services.

    Rules are the policies that fit no model; the best one is picked in hindsight.
    """
    frontiers = {
        name: Frontier.of(one.sums) for name, one in found.items() if name not in (ORACLE, STATIC)
    }
    rows: list[dict[str, Any]] = []
    for name, mine in frontiers.items():
        others = {
            other: one
            for other, one in frontiers.items()
            if other != name and not found[other].learns
        }
        if not others:
            continue
        counts = draw_services(mine, resamples)
        for limit in limits:
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


def frame_requests(
    found: Mapping[str, PolicyReplay], usage: Usage, cutoffs: NDArray[np.int64]
) -> pd.DataFrame:
    """Return every request of every policy and setting, one row each.

    Returns
    -------
    pandas.DataFrame
        ``policy``, ``knob``, ``service_id``, ``cutoff`` (the moment up to which usage was known),
        ``valid_until`` (the next cutoff), ``resource`` and ``target`` in cores or GiB.
    """
    known = usage.timestamps[cutoffs - 1]
    length = np.diff(known)[-1:] if len(known) > 1 else np.array([usage.step.to_timedelta64()])
    until = np.append(known[1:], known[-1:] + length)
    n_services = usage.n_services
    keys = {
        SERVICE: pd.Categorical(np.tile(np.asarray(usage.services, dtype=object), len(cutoffs))),
        "cutoff": pd.DatetimeIndex(np.repeat(known, n_services), tz="UTC"),
        "valid_until": pd.DatetimeIndex(np.repeat(until, n_services), tz="UTC"),
        "resource": usage.resource,
    }
    parts = [
        pd.DataFrame({"policy": name, "knob": knob, **keys, "target": targets.ravel()})
        for name, one in found.items()
        for knob, targets in zip(one.knobs, one.requests, strict=True)
    ]
    return pd.concat(parts, ignore_index=True).astype({"policy": "category"})


def mean_utilisation(usage: Usage) -> NDArray[np.float64]:
    """Return each service's mean usage as a share of its capacity, NaN if never observed."""
    seen = ~np.isnan(usage.values)
    total = np.where(seen, usage.values, 0.0).sum(axis=1, dtype=np.float64)
    means = np.full(usage.n_services, np.nan)
    np.divide(total, seen.sum(axis=1), out=means, where=seen.any(axis=1))
    return means / usage.capacity
