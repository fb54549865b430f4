"""The mean and some standard deviations: the classic of statistical overcommitment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from optimizer.core.durations import count_steps, parse_duration
from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between
from optimizer.decisions.policies.base import BasePolicy
from optimizer.demand.decay import Floats
from optimizer.demand.usage import Usage

FRONTIER = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0, 25.0)


class NSigma(BasePolicy):
    """Request mean + n · standard deviation of a window.

    Parameters
    ----------
    n : float
        Standard deviations above the mean, at least 0; the knob.
    window : str
        How far back to look, ``"24h"`` to ``"7d"``.
    least_history : str
        Observed time without which there is no request.

    Notes
    -----
    Uses the steps in ``[cutoff - window, cutoff)``, at least two of them observed; the deviation
    is that of a sample (n - 1). Upstream predicts the peak of a machine from the sum of its tasks
    and caps it at their limits; here each service stands alone, and :class:`WithinLimits` caps.

    References
    ----------
    Bashir et al., Take it to the limit: peak prediction-driven resource overcommitment in
    datacenters, EuroSys 2021; ``simulator/n_sigma_predictor.py`` of
    googleinterns/cluster-resource-forecast.
    """

    def __init__(self, n: float = 3.0, window: str = "7d", least_history: str = "1d") -> None:
        require_between("policy.n", n, 0.0, fix=3.0)
        super().__init__("n", n, FRONTIER, least_history)
        self._window = parse_duration(window, "policy.window")

    def _requests(self, usage: Usage, cutoffs: NDArray[np.int64], knobs: Sequence[float]) -> Floats:
        mean, deviation = _moments(usage.values, cutoffs, count_steps(self._window, usage.step))
        return mean + np.asarray(knobs, dtype=np.float64)[:, None, None] * deviation


def _moments(values: FloatArray, cutoffs: NDArray[np.int64], window: int) -> tuple[Floats, Floats]:
    """Return mean and standard deviation before each cutoff, shape ``(n_cutoffs, n_services)``."""
    import bottleneck as bn

    moments = np.empty((2, len(cutoffs), len(values)))
    for index, cutoff in enumerate(cutoffs):
        past = values[:, max(0, cutoff - window) : cutoff].astype(np.float64)
        moments[0, index] = bn.nanmean(past, axis=1)
        moments[1, index] = bn.nanstd(past, axis=1, ddof=1)
    return moments[0], moments[1]
