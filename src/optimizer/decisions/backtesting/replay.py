"""The replay: what every policy would have requested over the past, under the same rules.

Every few hours each policy is asked for requests, from what was known then. A request holds
until the next cutoff. What it cost and what it missed is counted in
:mod:`optimizer.decisions.backtesting.accounting`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from optimizer.core.artifacts import ArtifactRef
from optimizer.core.durations import parse_duration
from optimizer.core.panel import FloatArray, Panel
from optimizer.core.validation import require_between
from optimizer.decisions.policies.protocol import Policy
from optimizer.demand.cutoffs import TimeGrid, aligned_cutoffs
from optimizer.demand.from_panel import usage_of
from optimizer.demand.history import FLOOR, HEADROOM, request_caps
from optimizer.demand.usage import Usage
from optimizer.features.storage import load_panel
from optimizer.models.exceedance.rolling import ROLLING, RollingSurface


@dataclass(frozen=True)
class Replay:
    """When policies are asked, and the limits that all their requests are held to.

    Parameters
    ----------
    every : str
        Distance of the cutoffs, rounded to whole steps.
    period : str
        How much of the newest past to replay, at most.
    least_history : str
        How much has to lie before the first cutoff.
    floor : float
        Least request in cores or GiB, > 0.
    headroom : float
        Highest request as a multiple of the capacity, >= 1; usage seen before a cutoff raises it.
    refit : str
        How long a surface serves before it is fitted again.
    """

    every: str = "6h"
    period: str = "28d"
    least_history: str = "7d"
    floor: float = FLOOR
    headroom: float = HEADROOM
    refit: str = "7d"

    def __post_init__(self) -> None:
        """Check the settings."""
        for name in ("every", "period", "least_history", "refit"):
            parse_duration(getattr(self, name), f"replay.{name}")
        require_between("replay.floor", self.floor, 1e-6, fix=FLOOR)
        require_between("replay.headroom", self.headroom, 1.0, fix=HEADROOM)

    def cutoffs(self, clock: TimeGrid) -> NDArray[np.int64]:
        """Return the cutoffs of the replay: :func:`optimizer.demand.cutoffs.aligned_cutoffs`."""
        return aligned_cutoffs(
            clock, self.every, least_history=self.least_history, period=self.period
        )

    def usage(self, panel: Panel, resource: str) -> Usage:
        """Return the usage to replay over; its capacities are those of the first cutoff.

        See :func:`optimizer.demand.from_panel.usage_of`.
        """
        return usage_of(panel, resource, before=int(self.cutoffs(panel)[0]))

    def surface(self, resource: str) -> RollingSurface:
        """Return the exceedance surface that policies ask in this replay.

        Parameters
        ----------
        resource : str
            ``cpu`` or ``memory``.
        """
        return replace(ROLLING[resource], refit=self.refit)

    def requests(
        self,
        policy: Policy,
        usage: Usage,
        knobs: Sequence[float] | None = None,
        *,
        capped: bool = True,
    ) -> FloatArray:
        """Return a policy's requests at all cutoffs: :func:`replay_policy` with these settings.

        Parameters
        ----------
        policy : Policy
            Is asked once.
        usage : Usage
            From :meth:`usage`.
        knobs : sequence of float, optional
            The policy's own by default.
        capped : bool
            False for the peak oracle alone: it knows of bursts that nobody has seen yet.
        """
        return replay_policy(
            policy,
            usage,
            self.cutoffs(usage),
            policy.knobs if knobs is None else knobs,
            floor=self.floor,
            headroom=self.headroom if capped else None,
        )


def replay_policy(
    policy: Policy,
    usage: Usage,
    cutoffs: NDArray[np.int64],
    knobs: Sequence[float],
    *,
    floor: float = FLOOR,
    headroom: float | None = HEADROOM,
) -> FloatArray:
    """Return what a policy requests, held to the rules that are common to all.

    Parameters
    ----------
    policy : Policy
        Is asked once, for all cutoffs and knobs.
    usage : Usage
        Of all services; the policy reads what lies before each cutoff.
    cutoffs : numpy.ndarray
        int64, ascending.
    knobs : sequence of float
        Values of the policy's knob.
    floor : float
        Least request in cores or GiB.
    headroom : float, optional
        No request is above ``max(headroom * capacity, highest usage before the cutoff)``. None:
        no such limit, for the peak oracle.

    Returns
    -------
    numpy.ndarray
        float32, shape ``(n_knobs, n_cutoffs, n_services)``, never NaN: where the policy does not
        know, the present capacity stays.

    Raises
    ------
    ValueError
        The policy's answer is not of that shape.
    """
    asked = policy.request(usage, cutoffs, knobs)
    shape = (len(knobs), len(cutoffs), usage.n_services)
    if asked.shape != shape:
        raise ValueError(f"{type(policy).__name__} answers in shape {asked.shape}, not {shape}")
    return bound_requests(asked, usage, cutoffs, floor=floor, headroom=headroom)


def bound_requests(
    asked: FloatArray,
    usage: Usage,
    cutoffs: NDArray[np.int64],
    *,
    floor: float = FLOOR,
    headroom: float | None = HEADROOM,
) -> FloatArray:
    """Return requests within the limits of :func:`replay_policy`, and no NaN.

    Parameters
    ----------
    asked : numpy.ndarray
        Shape ``(…, n_cutoffs, n_services)``; NaN keeps the present capacity.
    usage, cutoffs, floor, headroom
        As of :func:`replay_policy`.
    """
    wanted = np.where(np.isnan(asked), usage.capacity, asked)
    if headroom is not None:
        wanted = np.minimum(wanted, request_caps(usage, cutoffs, headroom))
    return np.maximum(wanted, np.float32(floor)).astype(np.float32)


@lru_cache(maxsize=1)
def open_usage(replay: Replay, validated: ArtifactRef, resource: str) -> Usage:
    """Return the usage to replay over; the tasks of a process share one.

    Parameters
    ----------
    replay : Replay
        Its first cutoff decides the capacities.
    validated : ArtifactRef
        Validated telemetry.
    resource : str
        See :func:`optimizer.demand.from_panel.usage_of`.
    """
    return replay.usage(load_panel(validated), resource)
