"""What a policy costs where its frontier meets a limit, so that policies are compared fairly.

A policy that is tuned on the violation rate alone can give up on bursts: few steps are violated,
and a large share of the demand with them. So cost is read twice: (a) where the violation rate
meets its limit, and (b) where, in addition, the unmet demand is no more than that of a reference
policy at the same violation rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.decisions.backtesting.accounting import ReplaySums
from optimizer.decisions.backtesting.metrics import ratio
from optimizer.demand.intervals import FloatMatrix
from optimizer.demand.usage import CPU, MEMORY

FloatVector = NDArray[np.float64]
LIMITS = {CPU: (0.001, 0.005, 0.01, 0.02), MEMORY: (0.05, 0.1, 0.25, 0.5)}
"""Rates at which policies are compared: violated steps; of memory, kills per service-week."""
RATES = {CPU: ("violated_steps", "steps"), MEMORY: ("kills", "weeks")}
"""The sums whose quotient is the rate."""
ROUNDING = 1e-9
"""A limit may be exceeded by this share of it: a policy meets its own unmet demand."""
REASONS = (
    "",
    "every setting violates more than the limit",
    "every setting within the violation rate leaves more demand unmet than the reference",
    "the reference policy does not meet the limit",
    "no step was observed",
)
"""Why there is no cost, by code."""
MET, RATE, UNMET, REFERENCE, EMPTY = range(5)


@dataclass(frozen=True)
class FrontierPoint:
    """Where a frontier meets a limit, per row (the fleet, a group or a resample).

    - ``cost``, ``rate``, ``unmet``: float64, shape ``(n_rows,)``: at the cheapest point within the
      limits; NaN if none is. Cost is a multiple of the peak oracle's, the rate that of violated
      steps (of memory: kills per service-week), unmet a share of all demand.
    - ``tight``: bool: a limit holds the cost up. Otherwise the cheapest setting tried keeps within
      the limits with room to spare, and one further out might be cheaper.
    - ``code``: int, index into ``REASONS``.
    """

    cost: FloatVector
    rate: FloatVector
    unmet: FloatVector
    tight: NDArray[np.bool_]
    code: NDArray[np.int64]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why a row has no cost; empty where it has one."""
        return tuple(REASONS[code] for code in self.code)


@dataclass(frozen=True)
class Frontier:
    """Knob settings of one policy, in one or several sweeps.

    ``sums``: sums of all settings; the neighbours of a sweep lie side by side. ``sweep``: which
    sweep each setting belongs to.
    """

    sums: ReplaySums
    sweep: tuple[int, ...]

    @classmethod
    def of(cls, *sweeps: ReplaySums) -> Frontier:
        """Return the frontier of sweeps: one per value of the knob that is not swept.

        ``*sweeps``: sums of the same services and cutoffs, each with its knob ascending.
        """
        sums = ReplaySums(sweeps[0].resource, np.concatenate([s.values for s in sweeps], axis=1))
        label = [index for index, s in enumerate(sweeps) for _ in range(s.values.shape[1])]
        return cls(sums, tuple(label))

    def weighted(self, weights: NDArray[np.number]) -> Frontier:
        """Return the frontier of weighted rows, shape ``(n_out, n_rows)``: groups or resamples."""
        return Frontier(self.sums.weighted(weights), self.sweep)

    def of_services(self, chosen: NDArray[np.bool_]) -> Frontier:
        """Return the frontier of some of the rows, shape ``(n_rows,)``."""
        return Frontier(ReplaySums(self.sums.resource, self.sums.values[:, :, chosen]), self.sweep)

    def pooled(self) -> Frontier:
        """Return the frontier of the whole fleet, as a single row."""
        return Frontier(self.sums.pooled(), self.sweep)

    def meet(self, limit: float, reference: Frontier | None = None) -> FrontierPoint:
        """Return the cheapest point of each row within the limits.

        ``limit``: highest rate of violated steps; of memory, of kills per service-week.
        ``reference``: a frontier of these rows. Unmet demand is capped at that of its own cheapest
        point within ``limit``.

        Notes
        -----
        Between two neighbours of a sweep lie their mixtures, a share t of the time one setting
        and 1 - t the other. Their sums are those of the two, mixed. On a segment every limit
        bounds t and the cost is linear in t, so that the cheapest mixture is an end of the range
        of t that is left.
        """
        cap = None if reference is None else reference.meet(limit).unmet
        return _cheapest(self, limit, cap)


def frontier_table(
    frontier: Frontier, reference: Frontier, limits: tuple[float, ...] | None = None
) -> pd.DataFrame:
    """Return the fleet's cost at each limit, without and with unmet demand capped.

    Columns ``limit``, ``unmet_capped`` (bool), ``cost``, ``rate``, ``unmet_share``, ``tight`` and
    ``reason``; see :class:`FrontierPoint`. ``limits``: highest rates; those of the resource in
    ``LIMITS`` if absent.
    """
    mine, theirs = frontier.pooled(), reference.pooled()
    rows = []
    for limit in limits or LIMITS[frontier.sums.resource]:
        for capped in (False, True):
            met = mine.meet(limit, theirs if capped else None)
            rows.append(
                {
                    "limit": limit,
                    "unmet_capped": capped,
                    "cost": met.cost[0],
                    "rate": met.rate[0],
                    "unmet_share": met.unmet[0],
                    "tight": bool(met.tight[0]),
                    "reason": met.reasons[0],
                }
            )
    return pd.DataFrame(rows)


def _cheapest(frontier: Frontier, limit: float, cap: FloatVector | None) -> FrontierPoint:
    sums, (left, right) = frontier.sums, _segments(frontier.sweep)
    over, under = RATES[sums.resource]
    rate = ratio(sums[over], sums[under])
    cost = ratio(sums["requested"], sums["peak"])
    unmet = np.where(sums["demand"] > 0, ratio(sums["unmet"], sums["demand"]), 0.0)
    most = np.full(rate.shape[1], np.inf) if cap is None else cap
    within = _range(rate[left], rate[right], np.full_like(most, limit))
    both = _range(unmet[left], unmet[right], most)
    low, high = np.maximum(within[0], both[0]), np.minimum(within[1], both[1])
    place = np.concatenate([low, high])
    ends = np.tile(left, 2), np.tile(right, 2)
    at = np.where(np.tile(low <= high, (2, 1)), _mix(cost, ends, place), np.inf)
    best = np.argmin(at, axis=0), np.arange(at.shape[1])
    found = np.isfinite(at[best])
    price, hit, short = (
        np.where(found, _mix(v, ends, place)[best], np.nan) for v in (cost, rate, unmet)
    )
    code = np.select(
        [found, sums["steps"][0] == 0, np.isnan(most), (within[0] <= within[1]).any(axis=0)],
        [MET, EMPTY, REFERENCE, UNMET],
        RATE,
    )
    near = 1.0 - 1e-6
    return FrontierPoint(price, hit, short, (hit >= limit * near) | (short >= most * near), code)


def _segments(sweep: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the settings at the ends of each segment, and each setting by itself."""
    label = np.asarray(sweep)
    alone = np.arange(len(label))
    joined = np.flatnonzero(np.diff(label) == 0)
    return np.concatenate([alone, joined]), np.concatenate([alone, joined + 1])


def _mix(
    values: FloatMatrix, ends: tuple[NDArray[np.int64], NDArray[np.int64]], place: FloatMatrix
) -> FloatMatrix:
    """Return the value at each place, 0 at the left end of a segment and 1 at the right."""
    with np.errstate(invalid="ignore"):
        mixed: FloatMatrix = values[ends[0]] * (1.0 - place) + values[ends[1]] * place
    return mixed


def _range(left: FloatMatrix, right: FloatMatrix, most: FloatVector) -> tuple[FloatMatrix, ...]:
    """Return the range of places in [0, 1] where a value is within its limit; empty: low > high."""
    most = most * (1.0 + ROUNDING)
    slope = right - left
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        cross = (most - left) / slope
    low = np.where(slope < 0, np.maximum(cross, 0.0), 0.0)
    high = np.where(slope > 0, np.minimum(cross, 1.0), 1.0)
    never = np.isnan(left + right + most) | ((slope == 0) & (left > most))
    low = np.where(never, 2.0, low)
    return low, high
