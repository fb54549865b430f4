"""The recommender of Kubernetes' Vertical Pod Autoscaler: a decayed histogram and a margin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from optimizer.durations import count_steps, parse_duration
from optimizer.features.panel import FloatArray
from optimizer.models.past import DAY
from optimizer.ranges import require_between
from optimizer.rightsizing.base import MEMORY, Usage
from optimizer.rightsizing.decay import Floats, decayed_quantiles
from optimizer.rightsizing.history import observed_before
from optimizer.rightsizing.rules import Rule
from optimizer.rightsizing.vpa_buckets import bucket_ends
from optimizer.rightsizing.vpa_memory import peak_quantiles

FRONTIER = (0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999, 1.0)
LOWER, UPPER = 0.50, 0.95
"""Percentiles of the bounds."""


class Vpa(Rule):
    """Request a percentile of the decayed histogram of usage times 1 + margin.

    Parameters
    ----------
    percentile : float
        Of the target, in (0, 1]; the knob.
    margin : float
        Share of the percentile on top, at least 0.
    half_life : str
        Age at which a sample counts half.
    least_history : str
        Observed time without which there is no request; upstream recommends at once.

    Notes
    -----
    Uses all observed steps before the cutoff. A CPU sample counts by its age alone: upstream's
    weight by request is the same for all samples in practice (kubernetes/autoscaler issue 7818).
    A memory sample is the peak of 24 hours, counted from a service's first sample; where usage
    reached the capacity the peak is raised as after an out-of-memory kill. A percentile is the
    end of its bucket. Left out: the floors of 25 millicores and 250 MiB per pod (wrap the policy
    in :class:`WithinLimits` for one), and rounding.

    References
    ----------
    ``vertical-pod-autoscaler/pkg/recommender`` of kubernetes/autoscaler: ``logic/recommender.go``,
    ``logic/estimator.go``, ``util/decaying_histogram.go``, ``model/aggregations_config.go``,
    ``model/container.go``.
    """

    def __init__(
        self,
        percentile: float = 0.90,
        margin: float = 0.15,
        half_life: str = "24h",
        least_history: str = "1d",
    ) -> None:
        require_between("policy.percentile", percentile, 0.0, 1.0, fix=0.9, open_low=True)
        require_between("policy.margin", margin, 0.0, fix=0.15)
        super().__init__("percentile", percentile, FRONTIER, least_history)
        self._margin = margin
        self._half_life = parse_duration(half_life, "policy.half_life")

    def bounds(self, usage: Usage, cutoffs: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        """Return the lower and the upper bound: a request between them is left as it is.

        Both are float32, shape ``(n_cutoffs, n_services)``: percentiles 50 and 95 with the
        margin, times ``(1 + 0.001 / c) ** -2`` and ``1 + 1 / c``, c being the days of history:
        the smaller of the span from first to last sample and the time observed. Upstream counts
        one sample a minute; here a step counts as its length. NaN without enough history.
        """
        lower, upper = self.request(usage, cutoffs, (LOWER, UPPER))
        days = _confidence(usage, cutoffs)
        with np.errstate(divide="ignore"):
            narrow, wide = (1.0 + 0.001 / days) ** -2.0, 1.0 + 1.0 / days
        return (lower * narrow).astype(np.float32), (upper * wide).astype(np.float32)

    def _requests(
        self, usage: Usage, cutoffs: NDArray[np.int64], knobs: Sequence[float]
    ) -> FloatArray:
        half_life = self._half_life / usage.step
        if usage.resource == MEMORY:
            found = peak_quantiles(usage, cutoffs, half_life, knobs)
        else:
            ends = bucket_ends(usage.values, usage.resource)
            found = decayed_quantiles(ends, cutoffs, half_life, knobs)
        return found * np.float32(1.0 + self._margin)


def _confidence(usage: Usage, cutoffs: NDArray[np.int64]) -> Floats:
    """Return the days of history at each cutoff, shape ``(n_cutoffs, n_services)``."""
    seen = ~np.isnan(usage.values)
    steps = np.arange(usage.n_steps)
    latest = np.maximum.accumulate(np.where(seen, steps, -1), axis=1)
    last = latest[:, np.maximum(cutoffs - 1, 0)].T
    span = last - seen.argmax(axis=1)
    counted = observed_before(usage.values, cutoffs)
    days: Floats = np.maximum(np.minimum(span, counted), 0) / count_steps(DAY, usage.step)
    return days
