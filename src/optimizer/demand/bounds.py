"""The limits that every request is held to: a floor, and a ceiling above the capacity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between
from optimizer.demand.history import past_peaks
from optimizer.demand.usage import Usage


@dataclass(frozen=True)
class RequestBounds:
    """The least and the largest request, the same for every policy and for what surfaces are asked.

    Raises ConfigError: a value is out of its range.

    Parameters
    ----------
    floor : float
        Least request in cores or GiB, > 0.
    headroom : float
        Largest request as a multiple of the capacity, >= 1; higher usage seen before a cutoff
        raises it.
    """

    floor: float = 0.01
    headroom: float = 1.05

    def __post_init__(self) -> None:
        """Check the settings."""
        require_between("bounds.floor", self.floor, 1e-6, fix=0.01)
        require_between("bounds.headroom", self.headroom, 1.0, fix=1.05)

    def caps(self, usage: Usage, cutoffs: NDArray[np.int64]) -> FloatArray:
        """Return the largest request: ``headroom * capacity``, or the highest past usage if more.

        float32, shape ``(n_cutoffs, n_services)``; NaN where neither is known. ``usage``: only what
        lies before a cutoff is read. ``cutoffs``: int64, ascending, shape ``(n_cutoffs,)``.
        """
        return past_caps(usage, cutoffs, self.headroom)

    def range(self, usage: Usage, cutoffs: NDArray[np.int64]) -> tuple[float, FloatArray]:
        """Return the floor, and the caps of :meth:`caps`, none of them below it."""
        return self.floor, np.maximum(self.caps(usage, cutoffs), np.float32(self.floor))

    def hold(
        self, requests: FloatArray, usage: Usage, cutoffs: NDArray[np.int64], *, capped: bool = True
    ) -> FloatArray:
        """Return requests within the bounds, never NaN.

        ``requests``: shape ``(…, n_cutoffs, n_services)``; NaN keeps the present capacity.
        ``capped``: False for the peak oracle alone: it knows of bursts that nobody has seen yet.
        """
        wanted = np.where(np.isnan(requests), usage.capacity, requests)
        if capped:
            wanted = np.minimum(wanted, self.caps(usage, cutoffs))
        return np.maximum(wanted, np.float32(self.floor)).astype(np.float32)


def past_caps(usage: Usage, cutoffs: NDArray[np.int64], headroom: float) -> FloatArray:
    """Return ``headroom`` times the capacity, or the highest usage before a cutoff if more."""
    caps: FloatArray = np.fmax(past_peaks(usage, cutoffs), np.float32(headroom) * usage.capacity)
    return caps
