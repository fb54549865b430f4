"""What is simulated when recommendations are applied round after round, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from optimizer.core.durations import parse_duration
from optimizer.core.errors import ConfigError
from optimizer.core.panel import Panel
from optimizer.decisions.policies.protocol import Policy
from optimizer.decisions.simulation.closed_loop import (
    TODAY,
    FeedbackResult,
    require_lost,
    require_possible,
    simulate_feedback,
)
from optimizer.decisions.simulation.serving import HorizontalAutoscaler, Serving
from optimizer.demand.censoring import Censoring
from optimizer.demand.from_panel import usage_of
from optimizer.demand.usage import Usage
from optimizer.models.exceedance.rolling import ROLLING
from optimizer.models.exceedance.surface import ExceedanceSurface

POLICIES = ("cost_optimal", "historical_cost", "vpa", "krr")
BY = 10
"""Round by which requests have to have settled."""
SHOWN = (1, 5, BY)
"""Rounds whose total request is told, beside the last one."""


@dataclass(frozen=True)
class Feedback:
    """Settings of the simulation; see :func:`~optimizer.decisions.simulation.closed_loop.simulate_feedback`.

    Parameters
    ----------
    policies : sequence of str
        Names in ``conf/policy``.
    rounds : int
        How many, at least 2.
    every, window : str
        How long a request holds, and how much of the past a policy is given.
    repeat : bool
        Whether every round replays the newest window of demand.
    capacity : str
        ``"today"`` or ``"limit"``: what a policy is told of the present request.
    step : float
        How far a round moves to its new requests, in (0, 1].
    carried : float
        Share of throttled work that the next step has to do as well; 0 for memory.
    autoscaler : HorizontalAutoscaler
        Adds and removes replicas while requests hold.
    censoring : Censoring
        How steps at the limit are treated where they are.
    refit : str, optional
        How long a model serves in policies that learn; None: as long as in a replay.
    surface : dict
        Arguments of :class:`~optimizer.models.exceedance.surface.ExceedanceSurface` that differ from
        those of a replay.
    """

    policies: Sequence[str] = POLICIES
    rounds: int = 12
    every: str = "6h"
    window: str = "14d"
    repeat: bool = True
    capacity: str = TODAY
    step: float = 1.0
    carried: float = 0.0
    autoscaler: HorizontalAutoscaler = field(default_factory=HorizontalAutoscaler)
    censoring: Censoring = field(default_factory=Censoring)
    refit: str | None = None
    surface: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the settings."""
        require_possible(self.rounds, self.capacity, self.step)
        hold, window = (
            parse_duration(getattr(self, name), f"feedback.{name}") for name in ("every", "window")
        )
        if window < hold:
            raise ConfigError(
                "feedback.window",
                seen=repr(self.window),
                allowed=f"at least feedback.every, {self.every}",
                fix="set feedback.window=14d",
            )
        Serving(self.autoscaler, self.carried)
        if self.refit is not None:
            parse_duration(self.refit, "feedback.refit")
        try:
            ExceedanceSurface(**self.surface)
        except ConfigError as error:
            key, fix = (f"feedback.{text}" for text in (error.offender, error.fix.split()[-1]))
            raise ConfigError(
                key, seen=error.seen, allowed=error.allowed, fix=f"set {fix}"
            ) from None

    def serving(self, resource: str) -> Serving:
        """Return how limits act on a resource.

        Raises
        ------
        ConfigError
            Memory is to be carried over: a kill leaves no work behind.
        """
        require_lost(resource, self.carried)
        return Serving(self.autoscaler, self.carried)

    def usage(self, panel: Panel, resource: str) -> Usage:
        """Return the true demand, and what is requested before the first round.

        Parameters
        ----------
        panel : Panel
            Validated telemetry.
        resource : str
            See :func:`~optimizer.demand.from_panel.usage_of`.
        """
        if self.repeat:  # the first round follows all that is known
            return usage_of(panel, resource)
        length = self.rounds * (parse_duration(self.every, "feedback.every") // panel.step)
        return usage_of(panel, resource, before=max(1, panel.n_steps - length))

    def fit(self, policy: Policy, resource: str) -> Policy:
        """Return the policy with the surface of this simulation, if there is one."""
        if self.refit is None and not self.surface:
            return policy
        own = ROLLING[resource]
        surface = {**own.surface, **self.surface}
        return policy.using(replace(own, refit=self.refit or own.refit, surface=surface))

    def simulate(self, demand: Usage, policy: Policy, *, treated: bool) -> FeedbackResult:
        """Apply a policy's requests round after round.

        Parameters
        ----------
        demand : Usage
            From :meth:`usage`.
        policy : Policy
            Asked at its own setting.
        treated : bool
            Whether steps at the limit are treated before the policy sees them.
        """
        return simulate_feedback(
            demand,
            self.fit(policy, demand.resource),
            rounds=self.rounds,
            every=self.every,
            window=self.window,
            repeat=self.repeat,
            serving=self.serving(demand.resource),
            censoring=self.censoring if treated else None,
            capacity=self.capacity,
            step=self.step,
        )


def shown_rounds(rounds: int) -> tuple[int, ...]:
    """Return the rounds whose total request is told, ascending; the last one among them."""
    return tuple(sorted({*(number for number in SHOWN if number < rounds), rounds}))


def summarise(found: FeedbackResult) -> dict[str, Any]:
    """Return the figures of a simulation that are told first.

    Parameters
    ----------
    found : FeedbackResult
        All rounds.

    Returns
    -------
    dict
        ``request_<round>`` of :func:`shown_rounds` and ``change_since_first`` of the last one as a
        share; ``judged_round``, the tenth or the last before it, and the ``change`` in it;
        ``violation_rate``, ``unmet_share`` and ``replicas`` of the last round; ``settled_from``,
        None if the last change is not small; ``settles``, whether that is the judged round or
        before; ``clipped``, the services clipped in the last round.
    """
    last = len(found.rounds)
    judged, settled = min(BY, last), found.settled()
    end = found.rounds.iloc[-1]
    total, change = (found.rounds[name].to_numpy() for name in ("request", "change"))
    return {
        **{f"request_{number}": float(total[number - 1]) for number in shown_rounds(last)},
        "change_since_first": float(total[-1] / total[0] - 1.0),
        "judged_round": judged,
        "change": float(change[judged - 1]),
        **{key: float(end[key]) for key in ("violation_rate", "unmet_share", "replicas")},
        "settled_from": settled,
        "settles": settled is not None and settled <= judged,
        "clipped": list(found.clipped),
    }


def tabulate_rounds(found: dict[str, dict[bool, FeedbackResult]]) -> pd.DataFrame:
    """Return all rounds of all simulations, one row each.

    Parameters
    ----------
    found : dict
        Results by policy and whether clipped usage was treated.
    """
    parts = [
        one.rounds.assign(policy=policy, treated=treated)
        for policy, both in found.items()
        for treated, one in both.items()
    ]
    table = pd.concat(parts, ignore_index=True)
    first = ["policy", "treated"]
    return table[[*first, *(name for name in table if name not in first)]]
