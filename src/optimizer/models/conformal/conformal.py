"""Honest probabilities from past outcomes: the surface's own word, weighed by where usage landed.

The surface says how likely a step exceeds a level. How honest that is, the past tells: where on
the surface did usage land? Each outcome is its own rank, and the share of past ranks beyond a
level is the probability that this level is exceeded, of a step or of an interval's peak.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from optimizer.core.durations import count_steps, parse_duration
from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between
from optimizer.demand.history import observed_before
from optimizer.demand.usage import Usage
from optimizer.models.conformal.predictive import PredictiveDistribution, invert
from optimizer.models.conformal.tail_scores import (
    BINS,
    count_tail_scores,
    share_beyond,
    tail_scores_of,
)
from optimizer.models.exceedance.forecast import Forecast
from optimizer.models.exceedance.outcomes import count_hits

_LOW = np.geomspace(2e-4, 0.5, 36)
TOLD = (*_LOW.tolist(), *(1.0 - _LOW[-2::-3]).tolist())
"""Shares of steps, or of peaks, at which the fleet's truth is looked at, ascending."""
_Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class ConformalCalibrator:
    """How past outcomes are weighed: conformal prediction that forgets and pools, in two steps.

    First each service: its own ranks, decayed by age, are joined by the fleet's, which count as
    much as some intervals of its own; so a new service is told from the fleet, an old one from
    itself. Then the fleet: levels that a share of steps was to exceed were in truth exceeded by
    another share, for example since usage comes in few distinct values; that share is told.

    A fleet's outcomes move together, so few intervals say little however many services there are:
    the forecast's own word counts as much as some intervals in the first step, and what was told
    in the second. As far as the forecast's word goes, the steps of an interval are independent,
    which is too wide a peak where they are not.

    Parameters
    ----------
    halflife : str
        Age at which a service's own outcome weighs half.
    fleet_halflife : str
        Age at which the fleet's outcomes weigh half, in both steps.
    prior : float
        Intervals, > 0, that the fleet counts as much as against a service, and the word of the
        forecast against the fleet.
    least_history : str
        Observed time without which a service is promised nothing: what has just started is not
        yet what it will be, and neither it nor the fleet tells.

    References
    ----------
    Vovk et al., Algorithmic Learning in a Random World, 2005 (conformal predictive
    distributions); Barber et al., Conformal prediction beyond exchangeability, Annals of
    Statistics 2023 (weights that forget).
    """

    halflife: str = "28d"
    fleet_halflife: str = "14d"
    prior: float = 5.0
    least_history: str = "2d"

    def __post_init__(self) -> None:
        """Check the settings."""
        for name in ("halflife", "fleet_halflife", "least_history"):
            parse_duration(getattr(self, name), f"conformal.{name}")
        require_between("conformal.prior", self.prior, 0.0, fix=5, open_low=True)

    def predict(self, usage: Usage, found: Forecast) -> PredictiveDistribution:
        """Return the calibrated probabilities at the cutoffs that were asked for.

        ``usage``: a cutoff uses outcomes of intervals that ended by then. ``found``: forecast of
        the calibration period and of the cutoffs asked for.
        """
        found = replace(found, exceedance=self._known(usage, found))
        ranked = self._rank(usage, found)
        life = self._steps(usage, self.fleet_halflife)
        told = [
            correct(falling, empirical_shares(usage, found, levels, life, self.prior, peaks=peaks))
            for peaks, falling in ((False, ranked.exceedance), (True, ranked.peak_exceedance))
            for levels in [invert(ranked.levels, falling, TOLD)]
        ]
        asked = slice(found.start, None)
        return PredictiveDistribution(ranked.levels[asked], *(one[asked] for one in told))

    def _known(self, usage: Usage, found: Forecast) -> FloatArray:
        """Return the exceedance of the services that are old enough."""
        least = count_steps(parse_duration(self.least_history, "conformal"), usage.step)
        young = observed_before(usage.values, found.cutoffs) < least
        return np.where(young[..., None], np.float32(np.nan), found.exceedance)

    def _rank(self, usage: Usage, found: Forecast) -> PredictiveDistribution:
        """Return the first step, at all cutoffs of the forecast."""
        own = _Counts.none(usage.n_services)
        fleet = _Counts.none(1)
        lives = self._steps(usage, self.halflife), self._steps(usage, self.fleet_halflife)
        told: list[tuple[FloatArray, FloatArray, FloatArray]] = []
        waiting: deque[tuple[int, tuple[_Matrix, _Matrix]]] = deque()
        for i, cutoff in enumerate(found.cutoffs.tolist()):
            while waiting and found.cutoffs[waiting[0][0]] + found.interval <= cutoff:
                ended, outcome = waiting.popleft()
                passed = found.cutoffs[ended] - found.cutoffs[max(ended - 1, 0)]
                own = own.decayed(0.5 ** (passed / lives[0])).plus(*outcome)
                fleet = fleet.decayed(0.5 ** (passed / lives[1])).plus(*outcome)
            levels, depths = tail_scores_of(found.levels[i], found.exceedance[i])
            told.append((levels, *own.shares(fleet, depths, self.prior, found)))
            coming = usage.values[:, cutoff : cutoff + found.interval]
            if i >= found.n_in_sample_cutoffs:
                waiting.append((i, count_tail_scores(coming, levels, depths)))
        return PredictiveDistribution(*(np.stack(parts) for parts in zip(*told, strict=True)))

    def _steps(self, usage: Usage, halflife: str) -> float:
        return float(parse_duration(halflife, "conformal.halflife") / usage.step)


def correct(falling: FloatArray, truth: _Matrix) -> FloatArray:
    """Return probabilities with the shares ``TOLD`` replaced by what came true of them.

    ``falling``: shape ``(n_cutoffs, n_services, n_levels)``. ``truth``: shape ``(n_cutoffs,
    n_shares)``, from :func:`empirical_shares`.
    """
    told = [
        np.interp(one, [0.0, *TOLD, 1.0], [0.0, *true, 1.0])
        for one, true in zip(falling, truth, strict=True)
    ]
    return np.stack(told).astype(np.float32)


def empirical_shares(
    usage: Usage, found: Forecast, levels: FloatArray, halflife: float, prior: float, *, peaks: bool
) -> _Matrix:
    """Return the share of the fleet's steps, or peaks, that in truth exceeded given levels.

    float64, shape ``(n_cutoffs, n_shares)``, rising along the last axis; ``TOLD`` itself where no
    outcome is known yet.

    - ``usage``: a cutoff uses outcomes of intervals that ended by then.
    - ``found``: its cutoffs.
    - ``levels``: falling along the first axis, shape ``(n_shares, n_cutoffs, n_services)``: levels
      that the shares ``TOLD`` of the steps, or peaks, were to exceed.
    - ``halflife``: steps after which an outcome weighs half.
    - ``peaks``: whether intervals are counted whose peak is above the level, or steps.
    """
    hits, steps = count_hits(usage, found.cutoffs, found.interval, levels, peaks=peaks)
    age = np.maximum(found.cutoffs[:, None] - found.cutoffs[None, :], 0)
    weight = np.where(age >= found.interval, 0.5 ** (age / halflife), 0.0)
    weight[:, : found.n_in_sample_cutoffs] = 0.0
    fleet = steps.sum(axis=1)
    seen, intervals = weight @ fleet, weight @ (fleet > 0)
    promised = prior * seen / np.maximum(intervals, 1e-12)
    came = weight @ hits.sum(axis=2).T + promised[:, None] * np.array(TOLD)
    share = came / np.maximum(seen + promised, 1e-12)[:, None]
    told: _Matrix = np.where(seen[:, None] > 0, share, TOLD)
    return np.maximum.accumulate(told, axis=1)


@dataclass(frozen=True)
class _Counts:
    """Decayed counts: depths of steps and peaks, ``(n_rows, BINS)`` each, and intervals."""

    steps: _Matrix
    peaks: _Matrix
    intervals: float = 0.0

    @classmethod
    def none(cls, rows: int) -> _Counts:
        return cls(np.zeros((rows, BINS)), np.zeros((rows, BINS)))

    def decayed(self, factor: float) -> _Counts:
        return _Counts(self.steps * factor, self.peaks * factor, self.intervals * factor)

    def plus(self, steps: _Matrix, peaks: _Matrix) -> _Counts:
        seen = float(steps.any())
        if len(self.steps) == 1:
            steps, peaks = steps.sum(axis=0, keepdims=True), peaks.sum(axis=0, keepdims=True)
        return _Counts(self.steps + steps, self.peaks + peaks, self.intervals + seen)

    def shares(
        self, fleet: _Counts, depths: FloatArray, prior: float, found: Forecast
    ) -> tuple[FloatArray, FloatArray]:
        """Return the shares of steps and of peaks beyond each depth."""
        trust = fleet.intervals / (fleet.intervals + prior)
        parts = (
            (self.steps, fleet.steps, prior * found.interval),
            (self.peaks, fleet.peaks, prior),
        )
        shares = []
        for (own, common, weight), word in zip(parts, _words(depths, found), strict=True):
            pooled = trust * share_beyond(common, depths) + (1.0 - trust) * word
            number = own.sum(axis=1, keepdims=True)
            joined = number * share_beyond(own, depths) + weight * pooled
            shares.append((joined / (number + weight)).astype(np.float32))
        return shares[0], shares[1]


def _words(depths: FloatArray, found: Forecast) -> tuple[_Matrix, _Matrix]:
    """Return the forecast's own word on steps and on peaks, one from the other if independent."""
    told = np.minimum(10.0 ** -depths.astype(np.float64), 1.0)
    power = 1.0 / found.interval if found.peaks else float(found.interval)
    with np.errstate(divide="ignore"):  # what is sure stays sure
        other = -np.expm1(power * np.log1p(-told))
    return (other, told) if found.peaks else (told, other)
