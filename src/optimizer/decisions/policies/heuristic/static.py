"""What is requested today: the zero line of every saving."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between
from optimizer.decisions.policies.base import BasePolicy
from optimizer.demand.intervals import IntVector
from optimizer.demand.usage import Usage

FRONTIER = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class Static(BasePolicy):
    """Request the present capacity times a factor, whatever was used.

    Parameters
    ----------
    factor : float
        Share of the capacity, above 0; the knob.

    Notes
    -----
    Uses the capacity only: no history is needed.
    """

    def __init__(self, factor: float = 1.0) -> None:
        require_between("policy.factor", factor, 0.0, fix=1.0, open_low=True)
        super().__init__("factor", factor, FRONTIER, least_history=None)

    def _requests(self, usage: Usage, cutoffs: IntVector, knobs: Sequence[float]) -> FloatArray:
        return np.asarray(knobs, dtype=np.float32)[:, None, None] * usage.capacity
