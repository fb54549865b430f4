"""The cheapest requests that keep a budget of violated steps, told in the user's words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.core.durations import parse_duration
from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between
from optimizer.decisions.policies.exceedance_policy import ExceedancePolicy
from optimizer.decisions.policies.learned.cost_optimal import SWEEP, choose_levels
from optimizer.demand.intervals import IntVector
from optimizer.demand.usage import Usage
from optimizer.models.conformal.selection import PROMISES, keep_promises

PRICES = np.geomspace(SWEEP[-1], SWEEP[0], 81)
"""Values of λ to choose from, the safest first."""


class BudgetOptimal(ExceedancePolicy):
    """Request as ``CostOptimal`` does, with a λ that is chosen anew at every cutoff.

    It is the least one whose realised share of violated steps kept the budget over the outcomes
    that are known (see :func:`~optimizer.models.conformal.selection.keep_promises`).

    Parameters
    ----------
    budget : float
        Share of steps whose usage may exceed the request, in (0, 1), such as 0.005.
    w : float
        See :class:`~optimizer.decisions.policies.learned.cost_optimal.CostOptimal`.
    memory : str
        How long outcomes count.
    sweep : sequence of float
        Budgets that span the frontier.

    Notes
    -----
    At a cutoff: features before it, a model of intervals that ended before the refit that serves
    it, and outcomes of intervals that ended by then. Without any outcome it takes the safest.
    """

    def __init__(
        self,
        budget: float = 0.01,
        w: float = 0.2,
        memory: str = "7d",
        sweep: Sequence[float] = PROMISES,
    ) -> None:
        require_between("policy.budget", budget, 0.0, 1.0, fix=0.01, open_low=True, open_high=True)
        self._w = require_between("policy.w", w, 0.0, 1.0, fix=0.2)
        super().__init__("budget", budget, sweep)
        self._memory = parse_duration(memory, "policy.memory")

    def _requests(self, usage: Usage, cutoffs: IntVector, knobs: Sequence[float]) -> FloatArray:
        """Return the requests for each budget, shape ``(n_knobs, n_cutoffs, n_services)``."""
        found = self._forecast(usage, cutoffs)
        tried = choose_levels(found.levels, found.exceedance, PRICES.tolist(), self._w)
        return keep_promises(usage, found, tried, knobs, self._memory)
