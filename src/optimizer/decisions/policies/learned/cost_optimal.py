"""The request that minimises its own cost plus the predicted risk of being too small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy

import numpy as np

from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between
from optimizer.decisions.policies.exceedance_policy import ExceedancePolicy
from optimizer.decisions.policies.heuristic.historical_cost import SHORTFALL
from optimizer.decisions.policies.protocol import Policy
from optimizer.demand.intervals import IntVector
from optimizer.demand.usage import Usage
from optimizer.models.exceedance.surface import expected_shortfall

SWEEP = tuple(float(value) for value in np.geomspace(0.02, 2000.0, 36).round(4))
"""Values of λ from a request near the usual usage to one near its highest peak."""


WS = (0.2, 1.0)
"""Values of w: for whom unmet demand counts most, and for whom violated steps do."""


class CostOptimal(ExceedancePolicy):
    """Request the level L that minimises L/cap + λ·[w·P(u > L) + (1 - w)·15·E(u - L)⁺/cap].

    P and E come from an exceedance surface that learns from intervals that have ended, and is
    refitted on a schedule; all λ and all w share its predictions. Small w guards demand, w = 1
    the number of violated steps: the knob is the pair, and each w has a sweep of λ.

    Parameters
    ----------
    lambda_ : float
        Weight of the risk, λ, > 0; a higher one never lowers a request. On Bitbrains 5 leaves
        1 % of the steps in violation.
    w : float
        Share of the risk that counts violated steps, in [0, 1]; the rest counts unmet
        demand.
    sweep : sequence of float
        Values of λ that span the frontier.
    ws : sequence of float
        Values of w whose sweeps make up the frontier, beside the configured one.
    unmet_price : float, optional
        What an unmet core-hour costs, as a multiple of a requested one, > 0. It takes the place
        of λ and w: the request is then the L of least L + unmet_price·E(u - L)⁺.

    Notes
    -----
    At a cutoff: features of ``usage.values[:, :cutoff]``, and a model of intervals that ended
    before the refit that serves it.
    """

    def __init__(
        self,
        lambda_: float = 5.0,
        w: float = 0.2,
        sweep: Sequence[float] = SWEEP,
        ws: Sequence[float] = WS,
        unmet_price: float | None = None,
    ) -> None:
        require_between("policy.lambda_", lambda_, 0.0, fix=5.0, open_low=True)
        if unmet_price is not None:
            require_between("policy.unmet_price", unmet_price, 0.0, fix=50.0, open_low=True)
            lambda_, w = unmet_price / SHORTFALL, 0.0
        for value in (w, *ws):
            require_between("policy.w", value, 0.0, 1.0, fix=0.2)
        super().__init__("lambda_", lambda_, sweep)
        self._w = w
        self._ws = (w, *sorted({*ws} - {w}))

    @property
    def sweeps(self) -> Mapping[str, Policy]:
        """One sweep of λ per w."""
        return {f"w={w:g}": self._with(w) for w in self._ws}

    def _with(self, w: float) -> CostOptimal:
        other = copy(self)
        other._w = w
        return other

    def _requests(self, usage: Usage, cutoffs: IntVector, knobs: Sequence[float]) -> FloatArray:
        """Return the requests for each λ, shape ``(n_knobs, n_cutoffs, n_services)``."""
        found = self._forecast(usage, cutoffs)
        part = slice(found.start, None)
        return choose_levels(found.levels[part], found.exceedance[part], knobs, self._w)


def choose_levels(
    levels: FloatArray, exceedance: FloatArray, lambdas: Sequence[float], w: float
) -> FloatArray:
    """Return the level of least cost for each λ.

    float32, shape ``(n_lambdas, …)``, never falling in λ; the lowest of equally good levels, NaN
    where the exceedance is unknown.

    - ``levels``: candidates, ascending along the last axis up to the cap, shape ``(…, n_levels)``.
    - ``exceedance``: P(usage > level), same shape, non-increasing along the last axis.
    - ``w``: share of the risk that counts violated steps.
    """
    cap = levels[..., -1:]
    shortfall = expected_shortfall(levels, exceedance) / cap
    risk = np.float32(w) * exceedance + np.float32((1.0 - w) * SHORTFALL) * shortfall
    cost = levels / cap
    unknown = np.isnan(exceedance[..., -1])
    risk = np.where(unknown[..., None], 0.0, risk)
    out = np.empty((len(lambdas), *levels.shape[:-1]), dtype=np.float32)
    for i, value in enumerate(lambdas):
        best = np.argmin(cost + value * risk, axis=-1)[..., None]
        chosen = np.take_along_axis(levels, best, axis=-1)[..., 0]
        out[i] = np.where(unknown, np.nan, chosen)
    return out
