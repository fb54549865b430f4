"""The replay: what every policy would have requested over the past, under the same rules.

Every few hours each policy is asked for requests, from what was known then. A request holds
until the next cutoff. What it cost and what it missed is counted in
:mod:`optimizer.decisions.backtesting.accounting`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from optimizer.core.artifacts import ArtifactRef
from optimizer.core.durations import parse_duration
from optimizer.core.panel import FloatArray, Panel
from optimizer.decisions.policies.protocol import Policy
from optimizer.demand.bounds import RequestBounds
from optimizer.demand.cutoffs import TimeGrid, aligned_cutoffs
from optimizer.demand.from_panel import usage_of
from optimizer.demand.usage import Usage
from optimizer.features.storage import load_panel


@dataclass(frozen=True)
class Replay:
    """When policies are asked, and the limits that all their requests are held to.

    Parameters
    ----------
    interval : str
        Distance of the cutoffs, rounded to whole steps: how long a request holds.
    period : str
        How much of the newest past to replay, at most.
    least_history : str
        How much has to lie before the first cutoff.
    bounds : RequestBounds
        Least and largest request.
    """

    interval: str = "6h"
    period: str = "28d"
    least_history: str = "7d"
    bounds: RequestBounds = field(default_factory=RequestBounds)

    def __post_init__(self) -> None:
        """Check the settings."""
        parse_duration(self.interval, "interval")
        for name in ("period", "least_history"):
            parse_duration(getattr(self, name), f"replay.{name}")

    def cutoffs(self, grid: TimeGrid) -> NDArray[np.int64]:
        """Return the cutoffs of the replay: :func:`optimizer.demand.cutoffs.aligned_cutoffs`."""
        return aligned_cutoffs(
            grid, self.interval, least_history=self.least_history, period=self.period
        )

    def usage(self, panel: Panel, resource: str) -> Usage:
        """Return the usage to replay over; its capacities are those of the first cutoff.

        See :func:`optimizer.demand.from_panel.usage_of`.
        """
        return usage_of(panel, resource, before=int(self.cutoffs(panel)[0]))

    def requests(
        self,
        policy: Policy,
        usage: Usage,
        knobs: Sequence[float] | None = None,
        *,
        capped: bool = True,
    ) -> FloatArray:
        """Return a policy's requests at all cutoffs: :func:`request_bounded`.

        ``knobs``: the policy's own by default.
        """
        settings = policy.knobs if knobs is None else knobs
        cutoffs = self.cutoffs(usage)
        return request_bounded(policy, usage, cutoffs, settings, self.bounds, capped=capped)


def request_bounded(
    policy: Policy,
    usage: Usage,
    cutoffs: NDArray[np.int64],
    knobs: Sequence[float],
    bounds: RequestBounds,
    *,
    capped: bool = True,
) -> FloatArray:
    """Return what a policy requests, held to the rules that are common to all.

    float32, shape ``(n_knobs, n_cutoffs, n_services)``, never NaN: where the policy does not know,
    the present capacity stays. Raises ValueError: the policy's answer is not of that shape.

    - ``policy``: is asked once, for all cutoffs and knobs.
    - ``usage``: usage of all services; the policy reads what lies before each cutoff.
    - ``cutoffs``: int64, ascending.
    """
    requests = policy.request(usage, cutoffs, knobs)
    shape = (len(knobs), len(cutoffs), usage.n_services)
    if requests.shape != shape:
        raise ValueError(f"{type(policy).__name__} answers in shape {requests.shape}, not {shape}")
    return bounds.hold(requests, usage, cutoffs, capped=capped)


@lru_cache(maxsize=1)
def open_usage(replay: Replay, validated: ArtifactRef, resource: str) -> Usage:
    """Return the usage to replay over; the tasks of a process share one.

    ``replay``: its first cutoff decides the capacities. ``resource``: see
    :func:`optimizer.demand.from_panel.usage_of`.
    """
    return replay.usage(load_panel(validated), resource)
