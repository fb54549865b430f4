"""What is simulated when recommendations are applied round after round, and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from optimizer.core.durations import parse_duration
from optimizer.core.errors import ConfigError
from optimizer.core.panel import Panel
from optimizer.core.validation import require_choice
from optimizer.decisions.policies.protocol import Policy
from optimizer.decisions.simulation.closed_loop import (
    CURRENT_REQUEST,
    SimulationResult,
    require_lost,
    require_possible,
    simulate_rounds,
)
from optimizer.decisions.simulation.serving import HorizontalAutoscaler, Serving
from optimizer.demand.bounds import RequestBounds
from optimizer.demand.censoring import Censoring
from optimizer.demand.from_panel import usage_of
from optimizer.demand.usage import CPU, MEMORY, Usage

BESIDE = ("historical_cost", "vpa", "krr")
"""Rules that the chosen policy is simulated beside."""
BY = 10
"""Round by which requests have to have settled."""
SHOWN = (1, 5, BY)
"""Rounds whose total request is told, beside the last one."""


@dataclass(frozen=True)
class SimulationSettings:
    """Settings of :func:`~optimizer.decisions.simulation.closed_loop.simulate_rounds`.

    Parameters
    ----------
    policies : sequence of str, optional
        Names in ``conf/policy/<resource>``; if absent the chosen one and rules beside it.
    resource : str
        ``"cpu"`` or ``"memory"``.
    rounds : int
        How many, at least 2.
    interval, window : str
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
    bounds : RequestBounds
        Least and largest request.
    """

    policies: Sequence[str] | None = None
    resource: str = CPU
    rounds: int = 12
    interval: str = "6h"
    window: str = "14d"
    repeat: bool = True
    capacity: str = CURRENT_REQUEST
    step: float = 1.0
    carried: float = 0.0
    autoscaler: HorizontalAutoscaler = field(default_factory=HorizontalAutoscaler)
    censoring: Censoring = field(default_factory=Censoring)
    bounds: RequestBounds = field(default_factory=RequestBounds)

    def __post_init__(self) -> None:
        """Check the settings."""
        require_choice("simulate.resource", self.resource, (CPU, MEMORY))
        require_possible(self.rounds, self.capacity, self.step)
        require_lost(self.resource, self.carried)
        hold = parse_duration(self.interval, "interval")
        window = parse_duration(self.window, "simulate.window")
        if window < hold:
            raise ConfigError(
                "simulate.window",
                seen=repr(self.window),
                allowed=f"at least interval, {self.interval}",
                fix="set simulate.window=14d",
            )
        Serving(self.autoscaler, self.carried)

    def usage(self, panel: Panel) -> Usage:
        """Return the true demand, and what is requested before the first round."""
        if self.repeat:  # the first round follows all that is known
            return usage_of(panel, self.resource)
        length = self.rounds * (parse_duration(self.interval, "interval") // panel.step)
        return usage_of(panel, self.resource, before=max(1, panel.n_steps - length))

    def simulate(self, demand: Usage, policy: Policy, *, treated: bool) -> SimulationResult:
        """Apply a policy's requests round after round.

        ``treated``: whether steps at the limit are treated before the policy sees them.
        """
        return simulate_rounds(
            demand,
            policy,
            rounds=self.rounds,
            every=self.interval,
            window=self.window,
            repeat=self.repeat,
            serving=Serving(self.autoscaler, self.carried),
            censoring=self.censoring if treated else None,
            capacity=self.capacity,
            step=self.step,
            bounds=self.bounds,
        )


def shown_rounds(rounds: int) -> tuple[int, ...]:
    """Return the rounds whose total request is told, ascending; the last one among them."""
    return tuple(sorted({*(number for number in SHOWN if number < rounds), rounds}))


def summarise(found: SimulationResult) -> dict[str, Any]:
    """Return the figures of a simulation that are told first.

    ``request_<round>`` of :func:`shown_rounds` and ``change_since_first`` of the last one as a
    share; ``judged_round``, the tenth or the last before it, and the ``change`` in it;
    ``violation_rate``, ``unmet_share`` and ``replicas`` of the last round; ``settled_from``, None
    if the last change is not small; ``settles``, whether that is the judged round or before;
    ``clipped``, the services clipped in the last round.
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


def tabulate_rounds(found: dict[str, dict[bool, SimulationResult]]) -> pd.DataFrame:
    """Return all rounds of all simulations, one row each."""
    parts = [
        one.rounds.assign(policy=policy, treated=treated)
        for policy, both in found.items()
        for treated, one in both.items()
    ]
    table = pd.concat(parts, ignore_index=True)
    first = ["policy", "treated"]
    return table[[*first, *(name for name in table if name not in first)]]
