"""A policy that changes less often than the one it wraps: every change disturbs a service."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optimizer.core.durations import count_steps, parse_duration
from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between
from optimizer.decisions.policies.protocol import Policy
from optimizer.decisions.policies.wrappers import Wrapper
from optimizer.demand.usage import Usage

NEVER = -(2**40)


class WithHysteresis(Wrapper):
    """Leave out changes that are too small or come too soon.

    Parameters
    ----------
    tolerance : float
        A change of less than this share of the request in force is not made, at least 0.
    cooldown : str
        A change sooner than this after a scale-down is not made.
    hold_raises : bool
        Whether the cooldown holds back raises too, or reductions only.

    Notes
    -----
    Goes through the cutoffs in order: before the first request the present capacity is in force,
    and a request in force stays where the wrapped policy has none. NaN until its first one.
    """

    def __init__(
        self,
        policy: Policy,
        tolerance: float = 0.1,
        cooldown: str = "24h",
        *,
        hold_raises: bool = False,
    ) -> None:
        require_between("policy.tolerance", tolerance, 0.0, fix=0.1)
        super().__init__(policy)
        self._tolerance = np.float32(tolerance)
        self._cooldown = parse_duration(cooldown, "policy.cooldown")
        self._hold_raises = hold_raises

    def _changed(self, wanted: FloatArray, usage: Usage, cutoffs: NDArray[np.int64]) -> FloatArray:
        cooldown = count_steps(self._cooldown, usage.step)
        made = np.empty_like(wanted)
        shape = (len(wanted), usage.n_services)
        force = np.broadcast_to(usage.capacity, shape).astype(np.float32)
        lowered, started = np.full(shape, NEVER), np.zeros(shape, dtype=bool)
        for index, cutoff in enumerate(cutoffs):
            want = wanted[:, index]
            down = want < force
            held = (cutoff - lowered < cooldown) & (down | self._hold_raises)
            change = self._matters(want, force) & ~held
            lowered[change & down] = cutoff
            force = np.where(change, want, force)
            started |= ~np.isnan(want)
            made[:, index] = np.where(started, force, np.nan)
        return made

    def _matters(self, want: FloatArray, force: FloatArray) -> NDArray[np.bool_]:
        """Tell which changes reach the tolerance; any does where no request is in force."""
        large = np.abs(want - force) >= self._tolerance * force
        matters: NDArray[np.bool_] = large | (np.isnan(force) & ~np.isnan(want))
        return matters
