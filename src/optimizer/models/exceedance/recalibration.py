"""The surface corrected by how each service has lately compared with its forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.core.durations import parse_duration
from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between
from optimizer.demand.usage import Usage
from optimizer.models.exceedance.outcomes import count_hits


@dataclass(frozen=True)
class Recalibration:
    """Multiply the odds of a service's exceedance by its realised one over the forecast one.

    Both are read at the levels whose forecast exceedance was ``shares``, summed over the
    intervals that ended by the cutoff, decayed by age, and shrunk to 1.

    Parameters
    ----------
    halflife : str
        Age at which an outcome weighs half.
    prior : float
        Intervals that came out just as forecast, added to both sums; more of them shrink more.
    shares : sequence of float
        Where the forecast is checked. Large shares come true often enough to tell much from few
        intervals, and a service that is busier than forecast is so at all levels.
    limit : float
        Largest factor; the smallest is its inverse.
    """

    halflife: str = "24h"
    prior: float = 0.1
    shares: Sequence[float] = (0.1, 0.3)
    limit: float = 20.0

    def __post_init__(self) -> None:
        """Check the settings."""
        parse_duration(self.halflife, "surface.recalibration.halflife")
        require_between("surface.recalibration.prior", self.prior, 0.0, fix=0.1, open_low=True)
        require_between("surface.recalibration.limit", self.limit, 1.0, fix=20)
        for share in self.shares:
            require_between("surface.recalibration.shares", share, 0.0, 1.0, fix=0.1, open_low=True)

    def factors(
        self,
        usage: Usage,
        cutoffs: NDArray[np.int64],
        interval: int,
        levels: FloatArray,
        exceedance: FloatArray,
    ) -> FloatArray:
        """Return what to multiply the odds of the exceedance with.

        float32, shape ``(n_cutoffs, n_services, 1)``. ``usage``: a cutoff uses outcomes of
        intervals that ended by then. ``cutoffs``: int64, ascending, shape ``(n_cutoffs,)``.
        ``levels``, ``exceedance``: as forecast, shape ``(n_cutoffs, n_services, n_levels)``.
        """
        checked, promised = levels_at(levels, exceedance, self.shares)
        hits, steps = count_hits(usage, cutoffs, interval, checked)
        share = np.asarray(self.shares)[:, None, None]
        # in multiples of the share; both are 0 where nothing was forecast or observed
        realised = np.mean(hits / np.maximum(steps, 1) / share, axis=0)
        forecast = np.mean(np.where(steps > 0, promised, 0.0) / share, axis=0)
        halflife = parse_duration(self.halflife, "surface.recalibration.halflife") / usage.step
        age = np.maximum(cutoffs[:, None] - cutoffs[None, :], 0)
        weight = np.where(age >= interval, 0.5 ** (age / halflife), 0.0)
        factor = (weight @ realised + self.prior) / (weight @ forecast + self.prior)
        clipped: FloatArray = np.clip(factor, 1.0 / self.limit, self.limit).astype(np.float32)
        return clipped[:, :, None]


def levels_at(
    levels: FloatArray, exceedance: FloatArray, shares: Sequence[float]
) -> tuple[FloatArray, FloatArray]:
    """Return the least level whose exceedance is no more than each share, and its exceedance.

    float32, shape ``(n_shares, …)`` each: the last level where even that is exceeded more often;
    NaN where the exceedance is unknown. ``levels``, ``exceedance``: ascending and non-increasing
    along the last axis, shape ``(…, n_levels)``. ``shares``: shares of steps above a level.
    """
    unknown = np.isnan(exceedance[..., -1])
    found = np.full((2, len(shares), *levels.shape[:-1]), np.nan, dtype=np.float32)
    for i, share in enumerate(shares):
        rank = np.minimum(np.sum(exceedance > share, axis=-1), levels.shape[-1] - 1)[..., None]
        for out, values in zip(found, (levels, exceedance), strict=True):
            out[i] = np.where(unknown, np.nan, np.take_along_axis(values, rank, axis=-1)[..., 0])
    return found[0], found[1]
