"""The cheapest requests that keep a budget of violated steps, told in the user's words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.features.panel import FloatArray
from optimizer.ranges import require_between
from optimizer.rightsizing.cost_optimal import SWEEP, choose_levels
from optimizer.rightsizing.surface_promise import PROMISES, Promise
from optimizer.rightsizing.surface_rolling import Forecast, RollingSurface

PRICES = np.geomspace(SWEEP[-1], SWEEP[0], 81)
"""Values of λ to choose from, the safest first."""


class BudgetOptimal(Promise):
    """Request as ``CostOptimal`` does, with a λ that is chosen anew at every cutoff.

    It is the least one whose realised share of violated steps kept the budget over the outcomes
    that are known (see :func:`~optimizer.rightsizing.surface_promise.keep_promises`).

    Parameters
    ----------
    budget : float
        Share of steps whose usage may exceed the request, in (0, 1), such as 0.005.
    w : float
        As of :class:`~optimizer.rightsizing.cost_optimal.CostOptimal`.
    memory, rolling, sweep
        As of :class:`~optimizer.rightsizing.surface_promise.Promise`.
    """

    def __init__(
        self,
        budget: float = 0.01,
        w: float = 0.2,
        memory: str = "7d",
        rolling: RollingSurface | None = None,
        sweep: Sequence[float] = PROMISES,
    ) -> None:
        super().__init__("budget", budget, memory, rolling, sweep)
        require_between("policy.w", w, 0.0, 1.0, fix=0.2)
        self._w = w

    def _tried(self, found: Forecast) -> FloatArray:
        return choose_levels(found.levels, found.exceedance, PRICES.tolist(), self._w)
