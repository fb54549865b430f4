"""The moving-window recommenders of Google's Autopilot: statistics in which old usage fades."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.core.durations import count_steps, parse_duration
from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between, require_choice
from optimizer.decisions.policies.base import BasePolicy
from optimizer.demand.decay import decayed_means, decayed_quantiles
from optimizer.demand.history import past_max
from optimizer.demand.intervals import IntVector
from optimizer.demand.usage import MEMORY, Usage

STATISTICS = ("percentile", "average", "peak", "spikes")
FRONTIERS = {
    "percentile": (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 1.0),
    "margin": (-0.5, -0.3, -0.1, 0.0, 0.1, 0.15, 0.3, 0.5, 1.0, 2.0, 4.0),
}
SPIKE_SHARE = 0.5
"""Share of the peak that ``spikes`` covers at least."""
HELD = "1h"
"""The largest recommendation of this time is requested."""


class Autopilot(BasePolicy):
    """Request a statistic of decayed usage times 1 + margin, the largest of the last hour.

    Parameters
    ----------
    statistic : str
        ``"percentile"`` of load-adjusted usage (CPU of serving jobs; memory at low tolerance of
        kills), ``"average"`` (CPU of batch jobs), ``"peak"`` (memory at minimal tolerance) or
        ``"spikes"``, the larger of percentile and half the peak (memory at intermediate
        tolerance).
    percentile : float
        In (0, 1]; upstream 0.95 or 0.90 for CPU, 0.98 for memory, 0.60 for ``"spikes"``. The
        knob, where the statistic has one.
    margin : float
        Share on top, above -1; the knob of the other statistics.
    cpu_half_life, memory_half_life : str
        Age at which a sample counts half.
    window : str
        How far back the peak looks.
    least_history : str
        Observed time without which there is no request.

    Notes
    -----
    Uses all observed steps before the cutoff, the peak those of the window. Load-adjusted: a
    sample weighs its age and its usage, so the level is a share of the load that is served
    within the request. Upstream's samples are histograms of one-second usage in about 400
    buckets; here a sample is one step, and buckets are infinitely fine. It gives the margin as
    10 to 15 %, less for large limits, by no formula: one margin serves all. It takes the largest of
    the last hour's recommendations; here of the two at the hour's ends. The peak's window is
    not published.

    References
    ----------
    Rzadca et al., Autopilot: workload autoscaling at Google, EuroSys 2020, section 3.2.2.
    """

    def __init__(
        self,
        statistic: str = "percentile",
        percentile: float = 0.95,
        margin: float = 0.15,
        cpu_half_life: str = "12h",
        memory_half_life: str = "48h",
        window: str = "7d",
        least_history: str = "1d",
    ) -> None:
        self._statistic = require_choice("policy.statistic", statistic, STATISTICS)
        require_between("policy.percentile", percentile, 0.0, 1.0, fix=0.95, open_low=True)
        require_between("policy.margin", margin, -1.0, fix=0.15, open_low=True)
        knob = "percentile" if statistic in {"percentile", "spikes"} else "margin"
        self._values = {"percentile": percentile, "margin": margin}
        super().__init__(knob, self._values[knob], FRONTIERS[knob], least_history)
        self._cpu_half_life = parse_duration(cpu_half_life, "policy.cpu_half_life")
        self._memory_half_life = parse_duration(memory_half_life, "policy.memory_half_life")
        self._window = parse_duration(window, "policy.window")

    def _requests(self, usage: Usage, cutoffs: IntVector, knobs: Sequence[float]) -> FloatArray:
        held = count_steps(parse_duration(HELD, "policy"), usage.step)
        values = {name: (value,) for name, value in self._values.items()} | {self.knob: knobs}
        earlier = np.maximum(cutoffs - held, 0)
        found = self._statistics(usage, np.append(earlier, cutoffs), values["percentile"])
        largest = np.fmax(found[:, : len(cutoffs)], found[:, len(cutoffs) :])
        margins = np.asarray(values["margin"], dtype=np.float32)
        requests: FloatArray = largest * (np.float32(1.0) + margins)[:, None, None]
        return requests

    def _statistics(self, usage: Usage, cutoffs: IntVector, levels: Sequence[float]) -> FloatArray:
        """Return the statistic, shape ``(n_levels or 1, n_cutoffs, n_services)``."""
        memory = usage.resource == MEMORY
        half_life = (self._memory_half_life if memory else self._cpu_half_life) / usage.step
        if self._statistic == "average":
            return decayed_means(usage.values, cutoffs, half_life)[None]
        peak = past_max(usage.values, cutoffs, count_steps(self._window, usage.step))
        if self._statistic == "peak":
            return peak[None]
        found = decayed_quantiles(usage.values, cutoffs, half_life, levels, by_load=True)
        if self._statistic == "spikes":
            np.fmax(found, np.float32(SPIKE_SHARE) * peak, out=found)
        return found
