"""The recommender of Kubernetes' Vertical Pod Autoscaler: a decayed histogram and a margin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.core.durations import parse_duration
from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between
from optimizer.decisions.policies.base import BasePolicy
from optimizer.decisions.policies.heuristic.vpa_buckets import bucket_ends
from optimizer.decisions.policies.heuristic.vpa_memory import peak_quantiles
from optimizer.demand.decay import decayed_quantiles
from optimizer.demand.intervals import IntVector
from optimizer.demand.usage import MEMORY, Usage

FRONTIER = (0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999, 1.0)


class Vpa(BasePolicy):
    """Request a percentile of the decayed histogram of usage times 1 + margin.

    Parameters
    ----------
    percentile : float
        Percentile of the target, in (0, 1]; the knob.
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
    end of its bucket. Left out: the bounds within which upstream leaves a pod as it is, the floors
    of 25 millicores and 250 MiB per pod (wrap the policy in :class:`WithinLimits` for one), and
    rounding.

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
        self._margin = require_between("policy.margin", margin, 0.0, fix=0.15)
        super().__init__("percentile", percentile, FRONTIER, least_history)
        self._half_life = parse_duration(half_life, "policy.half_life")

    def _requests(self, usage: Usage, cutoffs: IntVector, knobs: Sequence[float]) -> FloatArray:
        half_life = self._half_life / usage.step
        if usage.resource == MEMORY:
            found = peak_quantiles(usage, cutoffs, half_life, knobs)
        else:
            ends = bucket_ends(usage.values, usage.resource)
            found = decayed_quantiles(ends, cutoffs, half_life, knobs)
        return found * np.float32(1.0 + self._margin)
