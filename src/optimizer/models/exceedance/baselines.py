"""What anyone can count, for a surface to beat: shares of past steps or peaks above a level."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import count_steps
from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_choice, require_count
from optimizer.models.exceedance.features import HALFLIVES, REFERENCES
from optimizer.models.exceedance.fitted import IntervalDataset
from optimizer.models.exceedance.past import DecayedHistory, trailing

FloatVector = NDArray[np.float64]
LEAST = 1e-4
"""No forecast counts as surer than this: the log loss of a certainty that fails is endless."""
FLOORS = (LEAST, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
"""Margins that a baseline chooses from."""


class _Counted(ABC):
    """A share that was counted, kept away from certainty by a margin.

    The margin costs least log loss on the training intervals: a baseline that says never as soon
    as it has not seen a thing would be beaten too easily.
    """

    floor: float = LEAST

    def fit(self, cases: IntervalDataset) -> _Counted:
        """Choose the margin on intervals that have ended."""
        y, share = cases.rows.outcome[cases.scored], self._count(cases)[cases.scored]
        known = ~np.isnan(share)
        y, share = y[known], share[known]
        losses = [np.mean(log_losses(y, np.clip(share, f, 1.0 - f))) for f in FLOORS if len(y)]
        self.floor = FLOORS[int(np.argmin(losses))] if losses else LEAST
        return self

    def exceedance(self, cases: IntervalDataset) -> FloatArray:
        """Return the counted share of each level within the margin."""
        return np.clip(self._count(cases), self.floor, 1.0 - self.floor)

    @abstractmethod
    def _count(self, cases: IntervalDataset) -> FloatArray:
        """Return the counted share of each level; no outcome is read."""


class DecayedShare(_Counted):
    """The share of a service's own past steps above the level, decayed by age.

    Parameters
    ----------
    halflife : str
        Age at which a step counts half: ``12h``, ``24h`` or ``72h``.
    """

    def __init__(self, halflife: str = "24h") -> None:
        require_choice("model.halflife", halflife, HALFLIVES)
        self._index = HALFLIVES.index(halflife)

    def _count(self, cases: IntervalDataset) -> FloatArray:
        return cases.rows.past[..., self._index]


class SamePartOfDay(_Counted):
    """The share of steps above the level in the same part of the last seven days.

    Where these were not observed, the share of the service's past with a half-life of 72 h.
    """

    def _count(self, cases: IntervalDataset) -> FloatArray:
        usage, day = cases.usage, count_steps(pd.Timedelta("1d"), cases.usage.step)
        within = np.arange(min(cases.interval, day))
        out = np.empty(cases.rows.levels.shape, dtype=np.float32)
        for i, cutoff in enumerate(cases.table.cutoffs.tolist()):
            steps = (cutoff - day * np.arange(7, 0, -1)[:, None] + within).ravel()
            past = DecayedHistory(usage.values[:, steps[steps >= 0]], [np.inf])
            out[i] = past.exceedance(cases.rows.levels[i])[..., 0]
        return np.asarray(np.where(np.isnan(out), cases.rows.past[..., -1], out), np.float32)


class FleetShare(_Counted):
    """How often services of the whole fleet exceeded a level so far from their usual usage.

    Parameters
    ----------
    reference : str
        A reference level of the surface that the level is divided by.
    bins : int
        Bins of equally many training rows, by the ratio.
    """

    def __init__(self, reference: str = "p99 7d", bins: int = 40) -> None:
        require_choice("model.reference", reference, REFERENCES)
        self._bins = require_count("model.bins", bins, 2, fix=40)
        self._reference = REFERENCES.index(reference)
        self._edges: FloatVector = np.empty(0)
        self._shares: FloatVector = np.zeros(1)

    def fit(self, cases: IntervalDataset) -> _Counted:
        """Count per bin, then choose the margin."""
        y, ratio = cases.rows.outcome[cases.scored], self._ratio(cases)[cases.scored]
        self._edges = np.unique(np.quantile(ratio, np.linspace(0, 1, self._bins + 1)[1:-1]))
        place = np.searchsorted(self._edges, ratio, side="right")
        number = np.bincount(place, minlength=len(self._edges) + 1)
        total = np.bincount(place, weights=y, minlength=len(number))
        self._shares = total / np.maximum(number, 1)
        return super().fit(cases)

    def _ratio(self, cases: IntervalDataset) -> FloatArray:
        reference = cases.table.references[:, :, self._reference, None]
        return np.divide(cases.rows.levels, np.maximum(reference, 1e-9), dtype=np.float32)

    def _count(self, cases: IntervalDataset) -> FloatArray:
        place = np.searchsorted(self._edges, self._ratio(cases), side="right")
        return np.asarray(self._shares[place], dtype=np.float32)


class PastPeaks(_Counted):
    """The share of a service's own past intervals whose peak was above the level.

    Parameters
    ----------
    days : int
        How far back it counts, at least 1.
    """

    def __init__(self, days: int = 7) -> None:
        self._days = require_count("model.days", days, 1, fix=7)

    def _count(self, cases: IntervalDataset) -> FloatArray:
        usage, held = cases.usage, cases.interval
        number = max(1, count_steps(pd.Timedelta(days=self._days), usage.step) // held)
        out = np.empty(cases.rows.levels.shape, dtype=np.float32)
        for i, cutoff in enumerate(cases.table.cutoffs.tolist()):
            past = trailing(usage.values, cutoff, number * held)
            peaks = np.fmax.reduce(past.reshape(len(past), number, held), axis=2)
            out[i] = DecayedHistory(peaks, [np.inf]).exceedance(cases.rows.levels[i])[..., 0]
        return out


def log_losses(y: NDArray[np.floating], share: NDArray[np.floating]) -> FloatVector:
    """Return -y·log p - (1 - y)·log(1 - p) per row, ``p`` within [1e-4, 1 - 1e-4]."""
    p = np.clip(np.asarray(share, dtype=np.float64), LEAST, 1.0 - LEAST)
    return -y * np.log(p) - (1.0 - y) * np.log1p(-p)


@runtime_checkable
class ShareBaseline(Protocol):
    """Says how often levels will be exceeded without being a surface."""

    def fit(self, cases: IntervalDataset) -> ShareBaseline:
        """Learn from intervals that have ended."""
        ...

    def exceedance(self, cases: IntervalDataset) -> FloatArray:
        """Return a share in (0, 1) per level, shape as the levels; outcomes are not read."""
        ...
