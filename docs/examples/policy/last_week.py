"""A policy: what the same interval needed a week ago, and a margin."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from optimizer.core.durations import count_steps, parse_duration
from optimizer.core.panel import FloatArray
from optimizer.decisions.policies.base import BasePolicy
from optimizer.demand.intervals import interval_stops
from optimizer.demand.usage import Usage


class LastWeek(BasePolicy):
    """Request the maximum of the same interval one week earlier, times 1 + margin.

    Parameters
    ----------
    margin : float
        Share on top; the knob of its frontier.
    interval : str
        How long a request holds where that is not seen from the cutoffs.
    """

    def __init__(self, margin: float = 0.2, interval: str = "6h") -> None:
        super().__init__("margin", margin, (0.0, 0.1, 0.2, 0.4, 0.8), "7d")
        self._interval = parse_duration(interval, "interval")

    def _requests(
        self, usage: Usage, cutoffs: NDArray[np.int64], knobs: Sequence[float]
    ) -> FloatArray:
        """Return requests; a cutoff reads what lies a week before its interval."""
        week = count_steps(parse_duration("7d", "week"), usage.step)
        stops = interval_stops(cutoffs, count_steps(self._interval, usage.step))
        peaks = np.full((len(cutoffs), usage.n_services), np.nan, dtype=np.float32)
        for row, (start, stop) in enumerate(zip(cutoffs - week, stops - week, strict=True)):
            if start >= 0:
                peaks[row] = np.fmax.reduce(usage.values[:, start:stop], axis=1)
        return np.stack([peaks * np.float32(1.0 + knob) for knob in knobs])
