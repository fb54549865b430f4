"""What the coming interval may bring: calibrated probabilities of steps and peaks above a level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray
from optimizer.models.conformal.tail_scores import interpolate

BOUNDS = (0.95, 0.05)
"""Probabilities that the peak exceeds lower_bound and upper_bound."""


@dataclass(frozen=True)
class PredictiveDistribution:
    """Calibrated probabilities at levels from 0 to far above the cap.

    - ``levels``: float32, ascending along the last axis, shape ``(n_cutoffs, n_services,
      n_levels)``, in the resource's unit; the first is 0.
    - ``exceedance``: float32, same shape, in [0, 1], non-increasing along the last axis: P(a step
      of the interval uses more than the level). NaN where nothing is known.
    - ``peak_exceedance``: float32, same shape: P(the interval's maximum is above the level).
    """

    levels: FloatArray
    exceedance: FloatArray
    peak_exceedance: FloatArray

    def part(self, which: slice | NDArray[np.bool_]) -> PredictiveDistribution:
        """Return the outlook of some of the cutoffs."""
        return PredictiveDistribution(
            self.levels[which], self.exceedance[which], self.peak_exceedance[which]
        )

    def risk(self, requests: FloatArray, *, peaks: bool = False) -> FloatArray:
        """Return P(a step uses more than the request), or P(the interval's peak does).

        float32, same shape, in [0, 1]; NaN where nothing is known. ``requests``: shape
        ``(n_cutoffs, n_services)``. ``peaks``: whether peaks count: that matters where one step
        above kills.
        """
        falling = self.peak_exceedance if peaks else self.exceedance
        return interpolate(requests[..., None], self.levels, falling)[..., 0]

    def levels_at(self, shares: tuple[float, ...], *, peaks: bool = False) -> FloatArray:
        """Return the levels that steps, or peaks, exceed with given probabilities.

        float32, shape ``(n_shares, n_cutoffs, n_services)``; NaN where nothing is known.
        ``shares``: in (0, 1). ``peaks``: whether peaks count: that matters where one step above
        kills.
        """
        return invert(self.levels, self.peak_exceedance if peaks else self.exceedance, shares)

    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """Return P5 and P95 of the interval's peak, shape ``(n_cutoffs, n_services)`` each."""
        lower, upper = invert(self.levels, self.peak_exceedance, BOUNDS)
        return lower, upper


def invert(levels: FloatArray, falling: FloatArray, shares: tuple[float, ...]) -> FloatArray:
    """Return the levels at which a falling probability passes each share.

    float32, shape ``(n_shares, …)``; NaN where a level or probability is. ``levels``, ``falling``:
    shape ``(…, n_levels)``; levels ascend, probabilities do not. ``shares``: in (0, 1).
    """
    wanted = np.broadcast_to(-np.asarray(shares, np.float32), (*levels.shape[:-1], len(shares)))
    return np.moveaxis(interpolate(wanted, -falling, levels), -1, 0)
