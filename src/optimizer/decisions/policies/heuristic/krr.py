"""Robusta's KRR: a percentile of CPU and a padded maximum of memory, over two weeks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.core.durations import count_steps, parse_duration
from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between, require_choice
from optimizer.decisions.policies.base import BasePolicy, scaled
from optimizer.demand.history import past_max
from optimizer.demand.intervals import IntVector
from optimizer.demand.usage import MEMORY, Usage
from optimizer.models.lookback import trailing_quantiles

FRONTIERS = {
    "percentile": (0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999, 1.0),
    "buffer": (-0.7, -0.5, -0.3, -0.2, -0.1, -0.05, -0.02, 0.0, 0.05, 0.15, 0.3, 0.5),
}


class Krr(BasePolicy):
    """Request a percentile of CPU, and the maximum of memory times 1 + buffer, of a window.

    Parameters
    ----------
    percentile : float
        Percentile of CPU usage, in (0, 1].
    buffer : float
        Share of the maximum of memory on top, above -1.
    window : str
        How far back to look; upstream 336 hours.
    sweep : str
        The knob: ``"percentile"`` for CPU, ``"buffer"`` for memory. Requests of the other
        resource do not depend on it.
    least_history : str
        Observed time without which there is no request; upstream 100 points.

    Notes
    -----
    Uses the steps in ``[cutoff - window, cutoff)``; percentiles are linear between order
    statistics, as Prometheus computes them. Upstream samples every 75 seconds instead of the
    clock's steps, and ends with a floor of 10 millicores and 100 MB: wrap the policy in
    :class:`WithinLimits` for one. Its experimental data of memory kills is left out.

    References
    ----------
    ``robusta_krr/strategies/simple.py`` of robusta-dev/krr, strategy ``simple``.
    """

    def __init__(
        self,
        percentile: float = 0.95,
        buffer: float = 0.15,
        window: str = "14d",
        sweep: str = "percentile",
        least_history: str = "1d",
    ) -> None:
        require_between("policy.percentile", percentile, 0.0, 1.0, fix=0.95, open_low=True)
        require_between("policy.buffer", buffer, -1.0, fix=0.15, open_low=True)
        require_choice("policy.sweep", sweep, FRONTIERS)
        self._values = {"percentile": percentile, "buffer": buffer}
        super().__init__(sweep, self._values[sweep], FRONTIERS[sweep], least_history)
        self._window = parse_duration(window, "policy.window")

    def _requests(self, usage: Usage, cutoffs: IntVector, knobs: Sequence[float]) -> FloatArray:
        window = count_steps(self._window, usage.step)
        values = {name: (value,) for name, value in self._values.items()} | {self.knob: knobs}
        if usage.resource == MEMORY:
            return scaled(past_max(usage.values, cutoffs, window), values["buffer"])
        return _percentiles(usage.values, cutoffs, window, values["percentile"])


def _percentiles(
    values: FloatArray, cutoffs: IntVector, window: int, levels: Sequence[float]
) -> FloatArray:
    """Return percentiles before each cutoff, shape ``(n_levels, n_cutoffs, n_services)``."""
    last = np.maximum(cutoffs - 1, 0).astype(np.int32)
    step, service = np.meshgrid(last, np.arange(len(values), dtype=np.int32), indexing="ij")
    found = trailing_quantiles(values, (service.ravel(), step.ravel()), window, levels)
    return found.T.reshape(len(levels), *step.shape)
