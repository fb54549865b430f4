"""The maximum at the same time of past days: a peak that comes every day is expected again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.core.durations import count_steps, parse_duration
from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between, require_count
from optimizer.decisions.policies.base import BasePolicy, scaled
from optimizer.demand.history import peak
from optimizer.demand.intervals import IntVector, interval_stops
from optimizer.demand.usage import Usage
from optimizer.models.lookback import DAY

FRONTIER = (-0.4, -0.2, -0.1, -0.05, 0.0, 0.15, 0.3, 0.5, 1.0, 2.0, 4.0, 8.0)


class SeasonalMax(BasePolicy):
    """Request the maximum of the coming interval's hours on past days times 1 + margin.

    Parameters
    ----------
    margin : float
        Share of the maximum on top, above -1; the knob.
    days : int
        How many past days to look at.
    interval : str
        How long the request of a single cutoff holds; of several, their distance counts.
    least_history : str
        Observed time without which there is no request.

    Notes
    -----
    For the interval ``[cutoff, end)`` it uses the steps in ``[cutoff - k·24h, end - k·24h)``
    before the cutoff, k = 1 to ``days``.
    """

    def __init__(
        self, margin: float = 0.15, days: int = 7, interval: str = "6h", least_history: str = "1d"
    ) -> None:
        require_between("policy.margin", margin, -1.0, fix=0.15, open_low=True)
        self._days = require_count("policy.days", days, 1, fix=7)
        super().__init__("margin", margin, FRONTIER, least_history)
        self._interval = parse_duration(interval, "interval")

    def _requests(self, usage: Usage, cutoffs: IntVector, knobs: Sequence[float]) -> FloatArray:
        day = count_steps(DAY, usage.step)
        ends = interval_stops(cutoffs, count_steps(self._interval, usage.step))
        highest = np.full((len(cutoffs), usage.n_services), np.nan, dtype=np.float32)
        for index, (cutoff, end) in enumerate(zip(cutoffs, ends, strict=True)):
            for back in range(day, (self._days + 1) * day, day):
                start, stop = max(0, cutoff - back), max(0, min(end - back, cutoff))
                same_hours = peak(usage.values[:, start:stop])
                highest[index] = np.fmax(highest[index], same_hours)
        return scaled(highest, knobs)
