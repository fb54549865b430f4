"""Perfect foresight: the least that never falls short, which no policy can beat without risk."""

from __future__ import annotations

from collections.abc import Sequence

from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between
from optimizer.decisions.policies.base import BasePolicy, scaled
from optimizer.demand.intervals import IntVector, interval_peaks
from optimizer.demand.usage import Usage


class PeakOracle(BasePolicy):
    """Request the maximum of the coming interval: the only policy that looks ahead, for replays.

    Parameters
    ----------
    margin : float
        Share of the maximum on top, above -1; the knob.

    Notes
    -----
    Uses the steps from the cutoff to the next one, which nobody knows at the cutoff; of the last
    cutoff for as long as the one before, and of a single one to the end of the clock. NaN where
    nothing is observed in the interval.

    References
    ----------
    Bashir et al., Take it to the limit: peak prediction-driven resource overcommitment in
    datacenters, EuroSys 2021, section 3.
    """

    def __init__(self, margin: float = 0.0) -> None:
        require_between("policy.margin", margin, -1.0, fix=0.0, open_low=True)
        super().__init__("margin", margin, (), least_history=None)

    def _requests(self, usage: Usage, cutoffs: IntVector, knobs: Sequence[float]) -> FloatArray:
        return scaled(interval_peaks(usage, cutoffs), knobs)
