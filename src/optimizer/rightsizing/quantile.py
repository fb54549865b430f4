"""The level whose exceedance is the promised one, kept honest by what has come true."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.features.panel import FloatArray
from optimizer.ranges import require_between
from optimizer.rightsizing.surface_promise import PROMISES, Promise
from optimizer.rightsizing.surface_recalibration import levels_at
from optimizer.rightsizing.surface_rolling import Forecast, RollingSurface

ASKED = np.geomspace(1e-4, 0.5, 60)
"""Predicted exceedances among which the one that keeps the promise is looked for."""


class Quantile(Promise):
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
    memory, rolling, sweep
        As of :class:`~optimizer.rightsizing.surface_promise.Promise`.
    """

    def __init__(
        self,
        exceedance: float = 0.01,
        margin: float = 1.0,
        memory: str = "7d",
        rolling: RollingSurface | None = None,
        sweep: Sequence[float] = PROMISES,
    ) -> None:
        super().__init__("exceedance", exceedance, memory, rolling, sweep)
        require_between("policy.margin", margin, 1.0, fix=1.0)
        self._margin = margin

    def _tried(self, found: Forecast) -> FloatArray:
        levels, _ = levels_at(found.levels, found.exceedance, ASKED.tolist())
        return levels * np.float32(self._margin)
