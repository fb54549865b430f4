"""The level whose exceedance is the promised one, kept honest by what has come true."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from optimizer.durations import parse_duration
from optimizer.features.panel import FloatArray
from optimizer.ranges import require_between
from optimizer.rightsizing.base import Usage
from optimizer.rightsizing.rules import Rule
from optimizer.rightsizing.surface_promise import keep_promises
from optimizer.rightsizing.surface_recalibration import levels_at
from optimizer.rightsizing.surface_rolling import RollingSurface

ASKED = np.geomspace(1e-4, 0.5, 60)
"""Predicted exceedances among which the one that keeps the promise is looked for."""
PROMISES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
"""Shares of steps that span the frontier."""


class Quantile(Rule):
    """Request the level that a promised share of steps will exceed, times a margin.

    At each cutoff the largest predicted share is taken whose realised one kept the promise (see
    :func:`~optimizer.rightsizing.surface_promise.keep_promises`). So a margin does not add to
    the promise: it changes how a request of the same risk comes about.

    Parameters
    ----------
    exceedance : float
        Promised share of steps above the request, in (0, 1).
    margin : float
        Factor on the level, at least 1.
    memory : str
        How long outcomes count.
    rolling : RollingSurface, optional
        The surface and its schedule; its calibration period gives the first outcomes.
    sweep : sequence of float
        Promises that span the frontier.

    Notes
    -----
    At a cutoff: features before it, a model of intervals that ended before the refit that serves
    it, and outcomes of intervals that ended by then. Without any outcome it requests the level
    of the smallest share.
    """

    learns: ClassVar[bool] = True

    def __init__(
        self,
        exceedance: float = 0.01,
        margin: float = 1.0,
        memory: str = "7d",
        rolling: RollingSurface | None = None,
        sweep: Sequence[float] = PROMISES,
    ) -> None:
        require_between(
            "policy.exceedance", exceedance, 0.0, 1.0, fix=0.01, open_low=True, open_high=True
        )
        require_between("policy.margin", margin, 1.0, fix=1.0)
        super().__init__("exceedance", exceedance, sweep, None)
        self.exceedance = exceedance
        self.margin = margin
        self.memory = parse_duration(memory, "policy.memory")
        self.rolling = rolling or RollingSurface()

    def _requests(
        self, usage: Usage, cutoffs: NDArray[np.int64], knobs: Sequence[float]
    ) -> FloatArray:
        """Return the requests for each promise, shape ``(n_knobs, n_cutoffs, n_services)``."""
        found = self.rolling.forecast(usage, cutoffs)
        levels, _ = levels_at(found.levels, found.exceedance, ASKED.tolist())
        tried = levels * np.float32(self.margin)
        return keep_promises(usage, found, tried, knobs, self.memory)
