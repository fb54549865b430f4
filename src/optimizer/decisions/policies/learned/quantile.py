"""The level whose exceedance is the promised one, kept true by what has come true."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between
from optimizer.decisions.policies.exceedance_policy import ExceedancePolicy
from optimizer.demand.intervals import IntVector
from optimizer.demand.usage import Usage
from optimizer.models.conformal.conformal import ConformalCalibrator
from optimizer.models.conformal.selection import PROMISES


class Quantile(ExceedancePolicy):
    """Request the level that a promised share of steps will exceed, times a margin.

    The share is the calibrated one: how often past usage lay as deep in the tail of its forecast,
    for the service itself and, while it is new, for the fleet.

    Parameters
    ----------
    exceedance : float
        Promised share of steps above the request, in (0, 1).
    margin : float
        Factor on the level, at least 1: above 1 fewer steps exceed the request than promised.
    calibrator : ConformalCalibrator, optional
        How past outcomes are weighed.
    sweep : sequence of float
        Promises that span the frontier.

    Notes
    -----
    At a cutoff: features before it, a model of intervals that ended before the refit that serves
    it, and outcomes of intervals that ended by then.
    """

    def __init__(
        self,
        exceedance: float = 0.01,
        margin: float = 1.0,
        calibrator: ConformalCalibrator | None = None,
        sweep: Sequence[float] = PROMISES,
    ) -> None:
        require_between(
            "policy.exceedance", exceedance, 0.0, 1.0, fix=0.01, open_low=True, open_high=True
        )
        require_between("policy.margin", margin, 1.0, fix=1.0)
        super().__init__("exceedance", exceedance, sweep)
        self._margin = np.float32(margin)
        self._calibrator = calibrator or ConformalCalibrator()

    def _requests(self, usage: Usage, cutoffs: IntVector, knobs: Sequence[float]) -> FloatArray:
        """Return the requests for each promise, shape ``(n_knobs, n_cutoffs, n_services)``."""
        found = self._forecast(usage, cutoffs)
        return self._calibrator.predict(usage, found).levels_at(tuple(knobs)) * self._margin
