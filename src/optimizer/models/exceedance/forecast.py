"""What an exceedance surface answers: how likely usage exceeds each of many levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from optimizer.core.panel import FloatArray
from optimizer.demand.intervals import IntVector
from optimizer.demand.usage import Usage


@dataclass(frozen=True)
class Forecast:
    """The surface at candidate levels, for every cutoff and service.

    - ``cutoffs``: int64, ascending, shape ``(n_cutoffs,)``: those of the calibration period, then
      those that were asked for.
    - ``start``: number of cutoffs of the calibration period.
    - ``levels``: float32, ascending along the last axis, shape ``(n_cutoffs, n_services,
      n_levels)``, from the floor to the cap.
    - ``exceedance``: float32, same shape, non-increasing along the last axis; NaN where nothing is
      known.
    - ``n_in_sample_cutoffs``: number of oldest cutoffs whose outcomes the model has learned from:
      no calibration may.
    - ``peaks``: whether the exceedance is that of an interval's peak, not of its steps.
    """

    cutoffs: IntVector
    start: int
    interval: int
    levels: FloatArray
    exceedance: FloatArray
    n_in_sample_cutoffs: int = 0
    peaks: bool = False


class Surface(Protocol):
    """Forecasts how likely usage exceeds any level: refitted in a replay, or fitted once."""

    def forecast(self, usage: Usage, cutoffs: IntVector) -> Forecast:
        """Return the surface of the interval after each cutoff."""
        ...
