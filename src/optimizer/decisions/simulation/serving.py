"""Demand against limits, step by step: throttled, killed or carried over, replicas scaled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import count_steps, parse_duration
from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between, require_choice, require_count

SERVICE, REPLICA = "service", "replica"
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class HorizontalAutoscaler:
    """Kubernetes' horizontal pod autoscaler on utilisation of the request.

    Parameters
    ----------
    target : float
        Utilisation to keep, in (0, 1].
    tolerance : float
        Utilisation within this share of the target changes nothing.
    cooldown : str
        Replicas are not removed sooner than this after a change; they are added at once.
    least, most : int
        Bounds of the replicas.
    sizes : str
        What a policy's request is for. ``"service"``: all of it, ``least`` replicas together; a
        replica gets its part, and what the autoscaler adds comes on top. ``"replica"``: one
        replica, from the usage per replica, as a vertical autoscaler beside it would ask.

    References
    ----------
    Kubernetes, Horizontal Pod Autoscaling, "Algorithm details"; tolerance 0.1 is its default.
    """

    target: float = 0.8
    tolerance: float = 0.1
    cooldown: str = "1h"
    least: int = 1
    most: int = 10
    sizes: str = SERVICE

    def __post_init__(self) -> None:
        """Check the settings."""
        require_between("simulate.autoscaler.target", self.target, 0.0, 1.0, fix=0.8, open_low=True)
        require_between("simulate.autoscaler.tolerance", self.tolerance, 0.0, fix=0.1)
        parse_duration(self.cooldown, "simulate.autoscaler.cooldown")
        require_count("simulate.autoscaler.least", self.least, 1, fix=1)
        require_count("simulate.autoscaler.most", self.most, self.least, fix=max(10, self.least))
        require_choice("simulate.autoscaler.sizes", self.sizes, (SERVICE, REPLICA))

    def desired(self, replicas: Counts, utilisation: Floats) -> Counts:
        """Return ceil(replicas * utilisation / target), within bounds; NaN changes nothing.

        ``replicas``: int64, running now. ``utilisation``: usage over the request of all replicas,
        same shape.
        """
        ratio = utilisation / self.target
        # 0.75 * 4 / 0.6 is 5.000000000000001 in floating point, and means 5
        wanted = np.ceil(replicas * ratio - 1e-9)
        steady = ~(np.abs(ratio - 1.0) > self.tolerance + 1e-9)
        kept = np.where(steady, replicas, wanted)
        return np.clip(kept, self.least, self.most).astype(np.int64)


FIXED = HorizontalAutoscaler(least=1, most=1)
"""One replica, always."""


@dataclass(frozen=True)
class ServingState:
    """What goes on from one stretch of steps to the next, per service.

    ``replicas``: int64, running. ``backlog``: work that waits, in the resource's unit times steps.
    ``quiet``: int64, steps since the replicas changed.
    """

    replicas: Counts
    backlog: Floats
    quiet: Counts


@dataclass(frozen=True)
class ServingResult:
    """What came of a stretch of demand; arrays of shape ``(n_services, n_steps)``.

    ``observed``: float32, usage as a metric shows it; NaN where demand is unknown. ``capacity``:
    float64, limit of all replicas in force. ``replicas``: int64, in force during the step.
    ``state``: after the last step.
    """

    observed: FloatArray
    capacity: Floats
    replicas: Counts
    state: ServingState


@dataclass(frozen=True)
class Serving:
    """How a limit acts.

    ``autoscaler``: decides after each step on the replicas of the next. ``carried``: share of the
    work a throttled step did not do that the next one has to do as well, in [0, 1]; the rest is
    lost (requests time out, a batch waits). CPU only: memory above the limit is a kill, after which
    the next step's demand stands by itself.
    """

    autoscaler: HorizontalAutoscaler = FIXED
    carried: float = 0.0

    def __post_init__(self) -> None:
        """Check the settings."""
        require_between("simulate.carried", self.carried, 0.0, 1.0, fix=0)

    @property
    def per_replica(self) -> bool:
        """Whether a request is for one replica, and made from the usage of one."""
        return self.autoscaler.sizes == REPLICA

    def share(self, capacity: FloatArray) -> FloatArray:
        """Return what requests are compared with: the capacity of a service, or of a replica."""
        return capacity / np.float32(self.autoscaler.least) if self.per_replica else capacity

    def begin(self, n_services: int) -> ServingState:
        """Return the state before the first step: least replicas, nothing waits."""
        least = np.full(n_services, self.autoscaler.least, dtype=np.int64)
        quiet = np.full(n_services, 2**40, dtype=np.int64)
        return ServingState(least, np.zeros(n_services), quiet)

    def serve(
        self, demand: FloatArray, limits: Floats, state: ServingState, step: pd.Timedelta
    ) -> ServingResult:
        """Return what is observed of demand under limits per replica.

        ``served = min(demand + backlog, limit * replicas)`` of each step, and ``backlog = carried *
        (demand + backlog - served)`` for the next. ``demand``: demand of a whole service, shape
        ``(n_services, n_steps)``; where NaN nothing is observed and backlog and replicas stay.
        ``limits``: limit of one replica, same shape, > 0. ``state``: before the first step.
        ``step``: length of a step.

        Notes
        -----
        Replicas of step t depend on steps before t.
        """
        hold = count_steps(
            parse_duration(self.autoscaler.cooldown, "simulate.autoscaler.cooldown"), step
        )
        observed = np.empty(demand.T.shape)
        capacity, replicas = np.empty_like(observed), np.empty(observed.shape, dtype=np.int64)
        running, backlog, quiet = state.replicas, state.backlog, state.quiet
        for t, (now, limit) in enumerate(zip(demand.T, limits.T, strict=True)):
            seen = ~np.isnan(now)
            replicas[t], capacity[t] = running, limit * running
            work = now + backlog
            observed[t] = np.minimum(work, capacity[t])
            backlog = np.where(seen, self.carried * (work - observed[t]), backlog)
            wanted = self.autoscaler.desired(running, observed[t] / capacity[t])
            wanted = np.where((wanted < running) & (quiet + 1 < hold), running, wanted)
            quiet = np.where(wanted != running, 0, quiet + 1)
            running = wanted
        done = ServingState(running, backlog, quiet)
        return ServingResult(observed.T.astype(np.float32), capacity.T, replicas.T, done)
