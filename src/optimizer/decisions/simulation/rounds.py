"""One round of the feedback: what is known, what is asked for, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray
from optimizer.decisions.backtesting.replay import request_bounded
from optimizer.decisions.policies.protocol import Policy
from optimizer.decisions.simulation.serving import Counts, Floats, Serving, ServingResult
from optimizer.demand.bounds import RequestBounds
from optimizer.demand.censoring import Censoring, clipped_services, uncensor
from optimizer.demand.usage import Usage

OVER = 1.0 + 1e-6
"""Demand above capacity by less than this factor is no violation: one of them is float32."""


@dataclass(frozen=True)
class ObservedHistory:
    """What has been recorded so far, of whole services: shape ``(n_services, n_steps)`` each.

    ``observed``: float32, usage; NaN in gaps. ``limits``: float64, limit of all replicas in force;
    infinite before the first round. ``replicas``: int64, in force.
    """

    observed: FloatArray
    limits: Floats
    replicas: Counts

    @classmethod
    def free(cls, values: FloatArray, replicas: int) -> ObservedHistory:
        """Return a past without limits."""
        return cls(values, np.full(values.shape, np.inf), np.full(values.shape, replicas))

    def join(self, served: ServingResult) -> ObservedHistory:
        """Return the past with a round added."""
        return ObservedHistory(
            np.concatenate([self.observed, served.observed], axis=1),
            np.concatenate([self.limits, served.capacity], axis=1),
            np.concatenate([self.replicas, served.replicas], axis=1),
        )

    def newest(self, steps: int) -> ObservedHistory:
        """Return its last steps."""
        part = slice(-steps, None)
        return ObservedHistory(self.observed[:, part], self.limits[:, part], self.replicas[:, part])


@dataclass(frozen=True)
class RoundSchedule:
    """When policies are asked and what they are given, in steps.

    ``length``: how much of the past a policy is given. ``start``: first step of the first round.
    ``repeat``: whether every round has the same demand.
    """

    hold: int
    length: int
    start: int
    repeat: bool

    def before(self, demand: Usage) -> FloatArray:
        """Return the usage observed before the first round."""
        if self.repeat:
            return demand.values[:, self.start :]
        return demand.values[:, : self.start]

    def demand(self, demand: Usage, number: int) -> Usage:
        """Return the true demand of a round, counted from 0."""
        first = self.start if self.repeat else self.start + number * self.hold
        part = slice(first, None if self.repeat else first + self.hold)
        return replace(demand, values=demand.values[:, part], timestamps=demand.timestamps[part])

    def view(
        self,
        demand: Usage,
        past: ObservedHistory,
        number: int,
        per_replica: bool,
        capacity: FloatArray,
        censoring: Censoring | None,
    ) -> Usage:
        """Return what a policy is given for a round: observed usage, treated for censoring.

        ``demand``: gives the clock and the names, no demand. ``past``: all that has been recorded.
        ``number``: number of the round, from 0. ``per_replica``: whether usage is given per
        replica. ``censoring``: how censored steps are treated.
        """
        known = self._known(past, number)
        parts = known.replicas if per_replica else 1
        values = np.asarray(known.observed / parts, dtype=np.float32)
        end = demand.n_steps if self.repeat else self.start + number * self.hold
        seen = replace(
            demand,
            values=values,
            capacity=np.asarray(capacity, dtype=np.float32),
            # the same moment of every round where demand repeats
            timestamps=np.resize(demand.timestamps[:end][-self.length :], values.shape[1]),
        )
        if censoring:
            seen = uncensor(seen, known.limits / parts, censoring)
        if self.repeat:
            once = values.shape[1] == self.length
            values = np.tile(seen.values, 2) if once else seen.values[:, -2 * self.length :]
            seen = replace(seen, values=values)
        back = np.arange(1 - seen.n_steps, 1) * demand.step.to_timedelta64()
        return replace(seen, timestamps=demand.timestamps[end - 1] + back)

    def _known(self, past: ObservedHistory, number: int) -> ObservedHistory:
        """Return the record to learn from: where demand repeats, all rounds under limits."""
        if self.repeat:
            return past.newest(self.length * max(1, number))
        return past.newest(self.length)

    def cutoffs(self, view: Usage) -> NDArray[np.int64]:
        """Return the cutoffs of a round, as steps of its view."""
        if self.repeat:
            return np.arange(self.length, 2 * self.length, self.hold, dtype=np.int64)
        return np.array([view.n_steps], dtype=np.int64)


def ask(
    policy: Policy, view: Usage, cutoffs: NDArray[np.int64], hold: int, bounds: RequestBounds
) -> FloatArray:
    """Return a policy's requests, by the rules of every replay.

    float32, shape ``(n_cutoffs, n_services)``, > 0.

    - ``view``: observed usage; a cutoff reads what lies before it.
    - ``cutoffs``: int64, ascending.
    - ``hold``: steps that a request holds: one cutoff more is asked for before the first, since the
      distance of the cutoffs tells a model how long that is.
    """
    lead = cutoffs[0] - hold
    asked = np.append(lead, cutoffs) if lead > 0 else cutoffs
    return request_bounded(policy, view, asked, [policy.setting], bounds)[0, -len(cutoffs) :]


def limits_of(requests: FloatArray, hold: int, n_steps: int, serving: Serving) -> Floats:
    """Return one replica's limit at every step, float64, shape ``(n_services, n_steps)``."""
    steps = np.repeat(requests, hold, axis=0)[:n_steps].T.astype(np.float64)
    return steps if serving.per_replica else steps / serving.autoscaler.least


def tabulate(
    demands: Sequence[Usage], served: Sequence[ServingResult], censoring: Censoring
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the figures of every round, and the services clipped in the last one.

    ``round`` from 1; ``request``, the fleet's total, all replicas, mean over the steps; ``change``
    of it against the round before as a share; ``moved``, the services' changes without their signs,
    added up, as a share (what cancels out in ``change``); ``violation_rate``, the share of steps
    whose true demand was above the capacity in force; ``unmet_share``, the share of demand above
    it, backlog not counted; ``clipped_services``, how many; ``replicas``, mean per service;
    ``backlog``, work that waits at the end, in unit-hours. Names, the worst first. ``demands``:
    true demand of each round. ``censoring``: what counts as clipped.
    """
    rows: list[dict[str, float]] = []
    clipped: tuple[str, ...] = ()
    for demand, done in zip(demands, served, strict=True):
        seen = replace(demand, values=done.observed)
        clipped = clipped_services(seen, done.capacity, near=censoring.near)
        over = np.maximum(demand.values - done.capacity, 0.0)
        hours = demand.step / pd.Timedelta("1h")
        rows.append(
            {
                "violation_rate": np.sum(demand.values > done.capacity * OVER)
                / max(int(np.sum(~np.isnan(demand.values))), 1),
                "unmet_share": np.nansum(over) / max(float(np.nansum(demand.values)), 1e-12),
                "clipped_services": len(clipped),
                "replicas": done.replicas.mean(),
                "backlog": done.state.backlog.sum() * hours,
            }
        )
    each = np.stack([done.capacity.mean(axis=1) for done in served])
    total = each.sum(axis=1)
    moved = np.abs(np.diff(each, axis=0)).sum(axis=1) / total[:-1]
    sizes = {
        "round": np.arange(1, len(served) + 1),
        "request": total,
        "change": np.append(np.nan, total[1:] / total[:-1] - 1.0),
        "moved": np.append(np.nan, moved),
    }
    return pd.concat([pd.DataFrame(sizes), pd.DataFrame(rows)], axis=1), clipped
