"""The maximum of the last weeks and some more: what an operator sets by hand."""

from __future__ import annotations

from collections.abc import Sequence

from optimizer.core.durations import count_steps, parse_duration
from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between
from optimizer.decisions.policies.base import BasePolicy, scaled
from optimizer.demand.history import past_max
from optimizer.demand.intervals import IntVector
from optimizer.demand.usage import Usage

FRONTIER = (-0.7, -0.5, -0.3, -0.2, -0.1, -0.05, -0.02, 0.0, 0.05, 0.15, 0.3, 0.5)


class MaxMargin(BasePolicy):
    """Request the maximum of a window times 1 + margin.

    Parameters
    ----------
    margin : float
        Share of the maximum on top, above -1; the knob.
    window : str
        How far back to look.
    least_history : str
        Observed time without which there is no request.

    Notes
    -----
    Uses the steps in ``[cutoff - window, cutoff)``.
    """

    def __init__(
        self, margin: float = 0.15, window: str = "14d", least_history: str = "1d"
    ) -> None:
        require_between("policy.margin", margin, -1.0, fix=0.15, open_low=True)
        super().__init__("margin", margin, FRONTIER, least_history)
        self._window = parse_duration(window, "policy.window")

    def _requests(self, usage: Usage, cutoffs: IntVector, knobs: Sequence[float]) -> FloatArray:
        window = count_steps(self._window, usage.step)
        return scaled(past_max(usage.values, cutoffs, window), knobs)
