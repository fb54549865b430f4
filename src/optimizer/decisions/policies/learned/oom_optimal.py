"""For memory: the request that minimises its own cost plus the probability of a kill."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between
from optimizer.decisions.policies.exceedance_policy import ExceedancePolicy
from optimizer.demand.intervals import IntVector
from optimizer.demand.usage import Usage

SWEEP = tuple(float(value) for value in np.geomspace(0.05, 5000.0, 36).round(4))
"""Values of λ from a request near the usual peak to one near its highest."""


class OomOptimal(ExceedancePolicy):
    """Request the level L that minimises L/cap + λ·P(the interval's peak > L).

    A process whose memory exceeds its limit is killed, by however little and for however short:
    neither the share of steps above nor the shortfall is the loss, but whether the peak is above.

    Parameters
    ----------
    lambda_ : float
        What a kill costs, in intervals of the whole capacity, > 0; a higher one never lowers a
        request. On Bitbrains 100 leaves a kill in four to five service-weeks.
    sweep : sequence of float
        Values of λ that span the frontier.

    Notes
    -----
    At a cutoff: features before it, a model of intervals that ended before the refit that serves
    it.
    """

    def __init__(self, lambda_: float = 100.0, sweep: Sequence[float] = SWEEP) -> None:
        require_between("policy.lambda_", lambda_, 0.0, fix=100.0, open_low=True)
        super().__init__("lambda_", lambda_, sweep)

    def _requests(self, usage: Usage, cutoffs: IntVector, knobs: Sequence[float]) -> FloatArray:
        """Return the requests for each λ, shape ``(n_knobs, n_cutoffs, n_services)``."""
        found = self._forecast(usage, cutoffs)
        part = slice(found.start, None)
        levels, risk = found.levels[part], found.exceedance[part]
        cost = levels / levels[..., -1:]
        unknown = np.isnan(risk[..., -1])
        known = np.where(unknown[..., None], np.float32(0.0), risk)
        out = np.empty((len(knobs), *unknown.shape), dtype=np.float32)
        for i, value in enumerate(knobs):
            best = np.argmin(cost + np.float32(value) * known, axis=-1)[..., None]
            chosen = np.take_along_axis(levels, best, axis=-1)[..., 0]
            out[i] = np.where(unknown, np.float32(np.nan), chosen)
        return out
