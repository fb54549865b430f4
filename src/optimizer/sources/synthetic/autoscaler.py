"""A simulated target-tracking autoscaler: generated scale events are its consequence."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Demand = NDArray[np.float64]
_log = logging.getLogger(__name__)
PATIENCE = np.array([5.0, 6.0, 8.0, 10.0, 12.0, 16.0, 24.0, 48.0, 96.0, 168.0, 336.0])
"""Hours tried, beside the usual ones, where rarer scale-ups are wanted."""


@dataclass(frozen=True)
class Autoscaler:
    """Target tracking in whole replicas, as cloud autoscaling groups and Kubernetes' HPA do.

    Within a step the replicas are fixed. When the load seen in the step pushes utilisation
    over ``upper``, the scaler adds replicas for the NEXT step so that the same load would give
    ``target``: a scale-up. When it stayed under ``lower`` for ``patience``, replicas are
    removed, sized by the highest load of that time (a stabilisation window).

    Parameters
    ----------
    upper, lower, target : float
        Fractions of capacity; ``lower < target < upper``.
    cooldown : float
        Hours after a change in which nothing is done.
    patience : float
        Hours that utilisation must stay under ``lower``.
    least : int
        Fewest replicas.

    References
    ----------
    .. [1] Kubernetes, Horizontal Pod Autoscaling: desired = ceil(current * metric / target),
       with a stabilisation window for scaling down.
    """

    upper: float = 0.8
    lower: float = 0.4
    target: float = 0.6
    cooldown: float = 1.0
    patience: float = 4.0
    least: int = 2

    def run(
        self,
        load: Demand,
        unit: Demand,
        step_hours: float,
        target: Demand | None = None,
        patience: Demand | None = None,
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Simulate every service step by step.

        Parameters
        ----------
        load : numpy.ndarray
            Cores demanded as the scaler sees them, shape ``(n_services, n_steps)``. The step t
            decision reads columns up to t only.
        unit : numpy.ndarray
            Cores of one replica, shape ``(n_services,)``.
        step_hours : float
            Length of a step in hours.
        target, patience : numpy.ndarray, optional
            One per service in place of the common ones, shape ``(n_services,)``.

        Returns
        -------
        replicas : numpy.ndarray
            int32, shape ``(n_services, n_steps)``: in force during the step.
        scaled_up : numpy.ndarray
            bool, same shape: a scale-up was ordered in the step.
        """
        steps = np.ascontiguousarray((load / unit[:, None]).T)
        goal = np.full(len(unit), self.target) if target is None else target
        hours = np.full(len(unit), self.patience) if patience is None else patience
        cooldown = max(1, round(self.cooldown / step_hours))
        quiet = np.maximum(1, np.rint(hours / step_hours)).astype(np.int64)
        replicas = np.empty(steps.shape, dtype=np.int32)
        scaled_up = np.zeros(steps.shape, dtype=bool)
        running = np.maximum(np.ceil(steps[0] / goal), self.least)
        free_at = np.zeros(len(unit), dtype=np.int64)
        low_since = np.zeros(len(unit), dtype=np.int64)
        highest = np.zeros(len(unit))
        for t, now in enumerate(steps):
            replicas[t] = running
            used = now / running
            free = free_at <= t
            low = used < self.lower
            low_since[~low] = t + 1
            highest = np.where(low, np.maximum(highest, now), 0.0)
            up = free & (used > self.upper)
            wanted = np.maximum(np.ceil(np.where(up, now, highest) / goal), self.least)
            down = free & low & (t + 1 - low_since >= quiet) & (wanted < running)
            running = np.where(up, np.maximum(wanted, running + 1), running)
            running = np.where(down, wanted, running)
            changed = up | down
            free_at[changed] = t + 1 + cooldown
            low_since[changed] = t + 1
            highest[changed] = 0.0
            scaled_up[t] = up
        return replicas.T, scaled_up.T

    def tuned(self, load: Demand, unit: Demand, step_hours: float, rate: float) -> Autoscaler:
        """Return the scaler that comes nearest to ``rate`` scale-ups per service-hour.

        The tighter the target and the shorter the patience, the sooner the next scale-up. All
        candidates are compared in one run, by the logarithm of their rates; what no candidate
        reaches is logged.

        Parameters
        ----------
        load, unit, step_hours
            See :meth:`run`.
        rate : float
            Scale-ups per service and hour.
        """
        tight = np.arange(self.lower + 0.05, self.upper - 0.025, 0.025)
        targets = np.append(tight, np.full(len(PATIENCE), tight[0]))
        patience = np.append(np.full(len(tight), self.patience), PATIENCE)
        n = len(unit)
        _, scaled_up = self.run(
            np.tile(load, (len(targets), 1)),
            np.tile(unit, len(targets)),
            step_hours,
            np.repeat(targets, n),
            np.repeat(patience, n),
        )
        rates = scaled_up.reshape(len(targets), -1).mean(axis=1) / step_hours
        best = int(np.argmin(np.abs(np.log(np.maximum(rates, 1e-9) / rate))))
        if not 0.7 < rates[best] / rate < 1.4:
            _log.warning(
                "scale-ups per service-hour: %.4f wanted, %.4f is as near as this fleet comes",
                rate,
                rates[best],
            )
        return replace(self, target=float(targets[best]), patience=float(patience[best]))
