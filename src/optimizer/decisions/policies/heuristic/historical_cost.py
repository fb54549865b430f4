"""The cheapest level in hindsight: cost and risk weighed on past usage, without a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.core.durations import parse_duration
from optimizer.core.errors import ConfigError
from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between
from optimizer.decisions.policies.base import BasePolicy
from optimizer.demand.decay import Floats, Ranked, age_weights, ranked_blocks
from optimizer.demand.intervals import IntVector
from optimizer.demand.usage import Usage

FRONTIER = tuple(2.0**power for power in range(-1, 17))
"""On Bitbrains from 6 % of the steps in violation to 0.05 %."""
SHORTFALL = 15.0
"""What a shortfall of a whole capacity weighs against certain violation."""


class HistoricalCost(BasePolicy):
    """Request the level that would have cost least, overload included.

    Parameters
    ----------
    lambda_ : float
        What risk costs against capacity, above 0; the knob.
    w : float
        Share of the risk that counts violated steps, in [0, 1]; the rest counts unmet demand.
    half_lives : sequence of str
        Ages at which a step counts half; the estimates of all are averaged.
    least_history : str
        Observed time without which there is no request.

    Notes
    -----
    Minimises ``L/cap + λ·[w·P(u > L) + (1 - w)·15·E(u - L)⁺/cap]`` over the values L that
    were observed, which is exact: between two of them the objective is a line, and it falls at
    each. P and E are shares and means of the observed steps before the cutoff, decayed by age.
    Where several levels cost the same it takes the lowest.

    References
    ----------
    Rzadca et al., Autopilot: workload autoscaling at Google, EuroSys 2020, section 3.2.3, whose
    models choose a limit by its decayed cost of overruns and underruns; here in cores instead of
    counts, without a penalty of change.
    """

    def __init__(
        self,
        lambda_: float = 4.0,
        w: float = 0.5,
        half_lives: Sequence[str] = ("24h", "72h"),
        least_history: str = "1d",
    ) -> None:
        require_between("policy.lambda_", lambda_, 0.0, fix=4.0, open_low=True)
        self._w = require_between("policy.w", w, 0.0, 1.0, fix=0.5)
        if not half_lives:
            raise ConfigError(
                "policy.half_lives",
                seen="none",
                allowed="durations, at least one",
                fix="set policy.half_lives=[24h,72h]",
            )
        super().__init__("lambda_", lambda_, FRONTIER, least_history)
        self._half_lives = [parse_duration(text, "policy.half_lives") for text in half_lives]

    def _requests(self, usage: Usage, cutoffs: IntVector, knobs: Sequence[float]) -> FloatArray:
        known = usage.values[:, : cutoffs.max(initial=1)]
        half_lives = [half_life / usage.step for half_life in self._half_lives]
        found = np.empty((len(knobs), len(cutoffs), len(known)), dtype=np.float32)
        for part, ranked in ranked_blocks(known):
            for index, cutoff in enumerate(cutoffs):
                shares = _shares(ranked, cutoff, half_lives)
                risk = self._risk(ranked.values, shares, usage.capacity[part])
                level = np.where(shares > 0.0, ranked.values, np.inf).astype(np.float32)
                found[:, index, part] = _cheapest(level, risk, knobs)
        return found

    def _risk(self, level: Floats, shares: Floats, capacity: FloatArray) -> FloatArray:
        """Return the risk of each level times capacity, in the resource's unit, NaN without one."""
        reached, load = np.cumsum(shares, axis=1), np.cumsum(shares * level, axis=1)
        above = reached[:, -1:] - reached
        shortfall = np.maximum(load[:, -1:] - load - level * above, 0.0)
        violation = self._w * capacity.astype(np.float64)[:, None] * above
        return (violation + (1.0 - self._w) * SHORTFALL * shortfall).astype(np.float32)


def _shares(ranked: Ranked, cutoff: int, half_lives: Sequence[float]) -> Floats:
    """Return the decayed share of each value, the mean over the half-lives; they add up to 1."""
    shares = np.zeros(ranked.values.shape)
    for half_life in half_lives:
        weights = ranked.weigh(age_weights(ranked.values.shape[1], cutoff, half_life))
        total = weights.sum(axis=1, keepdims=True)
        shares += weights / np.where(total > 0.0, len(half_lives) * total, 1.0)
    return shares


def _cheapest(level: FloatArray, risk: FloatArray, prices: Sequence[float]) -> FloatArray:
    """Return the level of least cost at each price of risk, shape ``(n_prices, n_services)``."""
    rows = np.arange(len(level))
    found = np.empty((len(prices), len(level)), dtype=np.float32)
    for index, price in enumerate(prices):
        cost = level + np.float32(price) * risk
        place = cost.argmin(axis=1)
        found[index] = np.where(np.isfinite(cost[rows, place]), level[rows, place], np.nan)
    return found
