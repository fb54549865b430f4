"""The intervals between cutoffs, in which a request holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray
from optimizer.demand.usage import Usage

IntVector = NDArray[np.int64]
FloatMatrix = NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """Usage from the first cutoff on; an interval runs from its cutoff to the next one.

    ``used``: float32, shape ``(n_services, n_window_steps)``: NaN where unobserved. ``starts``,
    ``lengths``: int64, shape ``(n_cutoffs,)``: first step of each interval, counted from the first
    cutoff, and its number of steps. ``step``: length of a step.
    """

    used: FloatArray
    starts: IntVector
    lengths: IntVector
    step: pd.Timedelta

    @classmethod
    def of(cls, usage: Usage, cutoffs: IntVector) -> Window:
        """Return the window of ascending cutoffs that lie before the end of the usage.

        It ends with the usage, also where the last interval would go on.
        """
        alone = usage.n_steps - int(cutoffs[-1])
        stops = np.minimum(interval_stops(cutoffs, alone), usage.n_steps)
        return cls(
            used=usage.values[:, cutoffs[0] : stops[-1]],
            starts=cutoffs - cutoffs[0],
            lengths=stops - cutoffs,
            step=usage.step,
        )

    def held(self, request: FloatArray) -> FloatArray:
        """Return a request ``(n_cutoffs, n_services)`` at every step of the window."""
        return np.repeat(request.T, self.lengths, axis=1)

    def total(self, values: NDArray[np.generic]) -> FloatMatrix:
        """Return sums over each interval, shape ``(n_cutoffs, n_services)``.

        ``values``: values of any kind, shape ``(n_services, n_window_steps)``, without NaN.
        """
        return np.add.reduceat(values, self.starts, axis=1, dtype=np.float64).T

    def observed(self) -> FloatMatrix:
        """Return the observed steps of each interval, shape ``(n_cutoffs, n_services)``."""
        return self.total(~np.isnan(self.used))

    def peaks(self) -> FloatArray:
        """Return the maximum of each interval, ``(n_cutoffs, n_services)``; NaN if unobserved."""
        return np.asarray(np.fmax.reduceat(self.used, self.starts, axis=1).T, dtype=np.float32)


def interval_stops(cutoffs: IntVector, alone: int) -> IntVector:
    """Return the step after each interval's last one.

    The last interval is as long as the one before, a lone one has ``alone`` steps.
    """
    lengths = np.diff(cutoffs)
    stops: IntVector = cutoffs + np.append(lengths, lengths[-1:] if len(lengths) else alone)
    return stops


def interval_peaks(usage: Usage, cutoffs: IntVector) -> FloatArray:
    """Return the maximum usage of each coming interval: what the peak oracle requests.

    float32, shape ``(n_cutoffs, n_services)``; NaN where no step was observed. ``cutoffs``: int64,
    ascending, before the end of the usage.
    """
    return Window.of(usage, cutoffs).peaks()
