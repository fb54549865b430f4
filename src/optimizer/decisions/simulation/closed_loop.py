"""Recommendations applied round after round: whether they settle, or spiral down.

A replay asks policies about usage that their requests never touched. Here a request is the limit
of the next round, and what was observed under it is what later requests are made from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from optimizer.core.durations import count_steps, format_duration, parse_duration
from optimizer.core.errors import ConfigError, InsufficientHistoryError
from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between, require_choice, require_count
from optimizer.decisions.policies.protocol import Policy
from optimizer.decisions.simulation.rounds import (
    ObservedHistory,
    RoundSchedule,
    ask,
    limits_of,
    tabulate,
)
from optimizer.decisions.simulation.serving import Serving, ServingResult
from optimizer.demand.bounds import RequestBounds
from optimizer.demand.censoring import Censoring
from optimizer.demand.usage import MEMORY, Usage

CURRENT_REQUEST, LIMIT = "today", "limit"


@dataclass(frozen=True)
class SimulationResult:
    """What every round asked for, and what it did to demand.

    - ``resource``: ``"cpu"`` or ``"memory"``.
    - ``rounds``: one row per round, see :func:`~optimizer.decisions.simulation.rounds.tabulate`.
    - ``requests``: float32, shape ``(n_rounds, n_cutoffs, n_services)``: as applied, of a service
      or of one replica; one cutoff per round unless demand repeats.
    - ``clipped``: services clipped in the last round, the worst first: see
      :func:`~optimizer.demand.censoring.tell_clipped`.
    """

    resource: str
    rounds: pd.DataFrame
    requests: FloatArray
    clipped: tuple[str, ...]

    def settled(self, tolerance: float = 0.01) -> int | None:
        """Return the round from which on no change of the fleet's total reaches the tolerance.

        From 2; None if the last change is not below. ``tolerance``: change between rounds, as a
        share; at least the last one has to be below.
        """
        large = ~(self.rounds["change"].abs().to_numpy()[1:] < tolerance)
        first = int(np.flatnonzero(large)[-1]) + 1 if large.any() else 0
        return None if first == len(large) else first + 2


def simulate_rounds(  # noqa: PLR0913 - the knobs of one experiment
    demand: Usage,
    policy: Policy,
    *,
    rounds: int = 12,
    every: str = "24h",
    window: str = "14d",
    repeat: bool = False,
    serving: Serving | None = None,
    censoring: Censoring | None = None,
    capacity: str = CURRENT_REQUEST,
    step: float = 1.0,
    bounds: RequestBounds | None = None,
) -> SimulationResult:
    """Apply a policy's requests as limits, round after round.

    Raises InsufficientHistoryError: ``demand`` is shorter than the window, or than the rounds and a
    step before them; ConfigError: a setting is out of range.

    - ``demand``: true demand of every service; its capacity is what is requested before the first
      round.
    - ``rounds``: how many, at least 2.
    - ``repeat``: False: a round is one interval, and rounds follow one another over the newest
      demand; the change between two of them holds the noise of demand. True: every round replays
      the newest ``window`` of demand (whole days; better whole weeks) under new limits, with a
      request every ``every``: nothing but the feedback differs between rounds, so that there is a
      fixed point to settle at.
    - ``serving``: throttling and the autoscaler; one replica and lost work if absent.
    - ``censoring``: how steps at the limit are treated before the policy sees them; None: not at
      all.
    - ``capacity``: what a policy is told of the present request, by which it scales costs and caps:
      ``"today"`` that of ``demand``, always; ``"limit"`` the one in force.
    - ``step``: how far a round moves from the requests of the round before to the new ones, in (0,
      1]. Below 1 it damps what a model's refits add to every round (Krasnoselskii and Mann's
      iteration); where it settles at stays the same.
    - ``bounds``: least and largest request; the defaults if absent.

    Notes
    -----
    Requests of a round depend on what was observed in earlier rounds, and on the limits of that
    time. Demand before the first round counts as observed without a limit.

    Where demand repeats, a round's requests are made all at once, each from the record up to the
    same moment of the round before. That moment's future lies in the round before that one, seen
    up to its limits: violations there are what the feedback leaves, not a forecast's. Evidence
    for ``censoring`` are all rounds under limits, never the free demand before them.
    """
    serving, limits = serving or Serving(), bounds or RequestBounds()
    require_possible(rounds, capacity, step)
    require_lost(demand.resource, serving.carried)
    schedule = _schedule(demand, rounds, every, window, repeat=repeat)
    told = serving.share(demand.capacity)
    past = ObservedHistory.free(schedule.before(demand), serving.autoscaler.least)
    state = serving.begin(demand.n_services)
    requests: list[FloatArray] = []
    served: list[ServingResult] = []
    for number in range(rounds):
        view = schedule.view(demand, past, number, serving.per_replica, told, censoring)
        wanted = ask(policy, view, schedule.cutoffs(view), schedule.hold, limits)
        before = requests[-1] if number else wanted
        requests.append(np.asarray(before + np.float32(step) * (wanted - before)))
        coming = schedule.demand(demand, number)
        held = limits_of(requests[-1], schedule.hold, coming.n_steps, serving)
        served.append(serving.serve(coming.values, held, state, demand.step))
        state = served[-1].state
        past = past.join(served[-1])
        if capacity == LIMIT:
            told = requests[-1][-1]
    demands = [schedule.demand(demand, number) for number in range(rounds)]
    table, clipped = tabulate(demands, served, censoring or Censoring())
    return SimulationResult(demand.resource, table, np.stack(requests), clipped)


def _schedule(
    demand: Usage, rounds: int, every: str, window: str, *, repeat: bool
) -> RoundSchedule:
    """Return the schedule in steps, or raise if demand is too short for it."""
    hold = count_steps(parse_duration(every, "interval"), demand.step)
    length = count_steps(parse_duration(window, "simulate.window"), demand.step)
    least = length if repeat else rounds * hold + 1
    if demand.n_steps < least:
        raise InsufficientHistoryError(
            "telemetry",
            seen=format_duration(demand.n_steps * demand.step),
            allowed=f"at least {format_duration(least * demand.step)}",
            fix="give more history, or set a shorter simulate.window, or fewer simulate.rounds",
        )
    return RoundSchedule(hold, length, demand.n_steps - least + (0 if repeat else 1), repeat)


def require_possible(rounds: int, capacity: str, step: float) -> None:
    """Raise a ConfigError unless the settings of :func:`simulate_rounds` are in range."""
    require_count("simulate.rounds", rounds, 2, fix=12)
    require_choice("simulate.capacity", capacity, (CURRENT_REQUEST, LIMIT))
    require_between("simulate.step", step, 0.0, 1.0, fix=1.0, open_low=True)


def require_lost(resource: str, carried: float) -> None:
    """Raise a ConfigError if memory is to be carried over: a killed step does not come back."""
    if resource == MEMORY and carried > 0.0:
        raise ConfigError(
            "simulate.carried",
            seen=carried,
            allowed="0 for memory: a kill leaves no work behind",
            fix="set simulate.carried=0",
        )
