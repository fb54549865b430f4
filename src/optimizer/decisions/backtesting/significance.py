"""Is a policy cheaper than the best rule, or was it luck: a paired bootstrap over services.

Services are drawn with replacement; both sides are computed from the same draws. In every resample
the best rule is picked anew, the reference's unmet demand is read anew, and cost is read at the
same limits, so that the interval covers what all of these choices owe to the services at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.decisions.backtesting.frontier import FloatVector, Frontier, FrontierPoint
from optimizer.evaluation.bootstrap import interval, resample_services


@dataclass(frozen=True)
class CostComparison:
    """A policy against the best of several rules at equal limits.

    - ``unmet_capped``: unmet demand was capped at the reference's.
    - ``cost``, ``rule_cost``: multiples of the peak oracle's cost; NaN where the limits are not
      met.
    - ``rule``: the best rule; empty where none meets the limits.
    - ``difference``, ``change``: ``cost - rule_cost`` and ``cost / rule_cost - 1``, each with the
      ends of its interval; negative is cheaper.
    - ``undefined``: share of resamples in which the policy or all rules failed the limits; the
      intervals leave them out.
    - ``reason``: why the policy has no cost; empty where it has.
    """

    limit: float
    unmet_capped: bool
    cost: float
    rule_cost: float
    rule: str
    difference: tuple[float, float, float]
    change: tuple[float, float, float]
    undefined: float
    reason: str


def draw_services(frontier: Frontier, n_resamples: int = 400, seed: int = 7) -> NDArray[np.int32]:
    """Return how often each resample draws each service, shape ``(n_resamples, n_services)``.

    Services without an observed step are never drawn.
    """
    steps = frontier.sums["steps"][0]
    return resample_services(np.flatnonzero(steps > 0), len(steps), n_resamples, seed)


def compare_cost(
    policy: Frontier,
    rules: Mapping[str, Frontier],
    limit: float,
    counts: NDArray[np.int32],
    reference: Frontier | None = None,
    confidence: float = 0.95,
) -> CostComparison:
    """Return how much dearer a policy is than the best rule, with its interval.

    ``rules``: frontiers of the rules, per service, by name; without any, there is nothing to
    compare with. ``counts``: from :func:`draw_services`. ``reference``: per service: caps the unmet
    demand of all sides.
    """
    whole = np.ones((1, counts.shape[1]), dtype=np.int32)
    weights = np.vstack([whole, counts])
    cap = None if reference is None else reference.weighted(weights)
    met: FrontierPoint = policy.weighted(weights).meet(limit, cap)
    names = tuple(rules)
    costs = np.full((len(names) + 1, len(weights)), np.nan)  # the last row: no rule at all
    for place, name in enumerate(names):
        costs[place] = rules[name].weighted(weights).meet(limit, cap).cost
    best: FloatVector = np.fmin.reduce(costs, axis=0)
    difference, change = met.cost - best, met.cost / best - 1.0
    known = not np.isnan(best[0])
    return CostComparison(
        limit=limit,
        unmet_capped=reference is not None,
        cost=float(met.cost[0]),
        rule_cost=float(best[0]),
        rule=names[int(np.nanargmin(costs[:, 0]))] if known else "",
        difference=(float(difference[0]), *interval(difference[1:], confidence)),
        change=(float(change[0]), *interval(change[1:], confidence)),
        undefined=float(np.mean(np.isnan(difference[1:]))) if len(counts) else 0.0,
        reason=met.reasons[0],
    )
