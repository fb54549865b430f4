"""The intervals between cutoffs, in which a request holds, cut out of the past."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.features.panel import FloatArray
from optimizer.rightsizing.base import Usage

IntVector = NDArray[np.int64]
FloatMatrix = NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """Usage from the first cutoff on; an interval runs from its cutoff to the next one.

    Parameters
    ----------
    used : numpy.ndarray
        float32, shape ``(n_services, n_window_steps)``: NaN where unobserved.
    starts, lengths : numpy.ndarray
        int64, shape ``(n_cutoffs,)``: first step of each interval, counted from the first
        cutoff, and its number of steps.
    step : pandas.Timedelta
        Length of a step.
    """

    used: FloatArray
    starts: IntVector
    lengths: IntVector
    step: pd.Timedelta

    @classmethod
    def of(cls, usage: Usage, cutoffs: IntVector) -> Window:
        """Return the window of ascending cutoffs that lie before the end of the usage."""
        stops = interval_stops(cutoffs, usage.n_steps)
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

        Parameters
        ----------
        values : numpy.ndarray
            Of any kind, shape ``(n_services, n_window_steps)``, without NaN.
        """
        return np.add.reduceat(values, self.starts, axis=1, dtype=np.float64).T

    def observed(self) -> FloatMatrix:
        """Return the observed steps of each interval, shape ``(n_cutoffs, n_services)``."""
        return self.total(~np.isnan(self.used))

    def peaks(self) -> FloatArray:
        """Return the maximum of each interval, ``(n_cutoffs, n_services)``; NaN if unobserved."""
        return np.asarray(np.fmax.reduceat(self.used, self.starts, axis=1).T, dtype=np.float32)


def interval_stops(cutoffs: IntVector, n_steps: int) -> IntVector:
    """Return the step after each interval's last one.

    The last interval is as long as the one before; it ends with the clock, as does a lone one.
    """
    last = 2 * cutoffs[-1] - cutoffs[-2] if len(cutoffs) > 1 else n_steps
    return np.append(cutoffs[1:], min(int(last), n_steps)).astype(np.int64)


def interval_peaks(usage: Usage, cutoffs: IntVector) -> FloatArray:
    """Return the maximum usage of each coming interval: what the peak oracle requests.

    Parameters
    ----------
    usage : Usage
        Of all services.
    cutoffs : numpy.ndarray
        int64, ascending, before the end of the usage.

    Returns
    -------
    numpy.ndarray
        float32, shape ``(n_cutoffs, n_services)``; NaN where no step was observed.
    """
    return Window.of(usage, cutoffs).peaks()


def past_peaks(usage: Usage, cutoffs: IntVector) -> FloatArray:
    """Return the maximum usage before each cutoff.

    Returns
    -------
    numpy.ndarray
        float32, shape ``(n_cutoffs, n_services)``; NaN where nothing was observed before.
    """
    starts = np.append(0, cutoffs[:-1])
    pieces = np.fmax.reduceat(usage.values[:, : cutoffs[-1]], starts, axis=1)
    found = np.asarray(np.fmax.accumulate(pieces, axis=1).T, dtype=np.float32)
    found[cutoffs == 0] = np.nan  # an empty piece gives the value at its start, not nothing
    return found
