"""Policies that wrap a policy: a margin, limits, sizes that can be bought."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import copy

import numpy as np
from numpy.typing import NDArray

from optimizer.core.errors import ConfigError
from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between
from optimizer.decisions.policies.protocol import Policy
from optimizer.demand.bounds import past_caps
from optimizer.demand.intervals import IntVector
from optimizer.demand.usage import Usage
from optimizer.models.exceedance.forecast import Surface

SLACK = 1e-6
"""Share of a size that a request may exceed it by and still be that size: rounding errors."""


class Wrapper(ABC):
    """A policy that changes what another one requests; the knob stays the other's.

    ``policy``: the one to wrap, a wrapper or not.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    @property
    def learns(self) -> bool:
        """Whether the policy fits a model."""
        return self._policy.learns

    @property
    def knob(self) -> str:
        """Name of the wrapped policy's knob."""
        return self._policy.knob

    @property
    def setting(self) -> float:
        """The configured value of the policy's knob."""
        return self._policy.setting

    @property
    def knobs(self) -> tuple[float, ...]:
        """Values of the wrapped policy's knob, ascending."""
        return self._policy.knobs

    @property
    def sweeps(self) -> Mapping[str, Policy]:
        """The wrapped policy's sweeps, each wrapped the same."""
        return {name: self._around(one) for name, one in self._policy.sweeps.items()}

    def with_surface(self, surface: Surface) -> Wrapper:
        """Return the same wrapper around the policy asking this surface."""
        return self._around(self._policy.with_surface(surface))

    def _around(self, policy: Policy) -> Wrapper:
        other = copy(self)
        other._policy = policy
        return other

    def request(self, usage: Usage, cutoffs: IntVector, knobs: Sequence[float]) -> FloatArray:
        """Return the changed requests, shape ``(n_knobs, n_cutoffs, n_services)``."""
        wanted = self._policy.request(usage, cutoffs, knobs)
        return self._changed(wanted, usage, cutoffs).astype(np.float32)

    @abstractmethod
    def _changed(
        self, wanted: FloatArray, usage: Usage, cutoffs: IntVector
    ) -> NDArray[np.floating]:
        """Return what is requested instead; NaN stays NaN."""


class WithMargin(Wrapper):
    """Add a share to every request.

    Parameters
    ----------
    margin : float
        Share of the request on top, above -1.
    """

    def __init__(self, policy: Policy, margin: float = 0.15) -> None:
        require_between("policy.margin", margin, -1.0, fix=0.15, open_low=True)
        super().__init__(policy)
        self._factor = np.float32(1.0 + margin)

    def _changed(
        self, wanted: FloatArray, usage: Usage, cutoffs: IntVector
    ) -> NDArray[np.floating]:
        return wanted * self._factor


class WithinLimits(Wrapper):
    """Keep every request between a floor and a ceiling.

    Parameters
    ----------
    floor : float
        Least request, in the resource's unit; it wins over a lower ceiling.
    ceiling : float, optional
        Largest request, in the resource's unit.
    of_capacity : float, optional
        Largest request as a multiple of the present capacity, or the largest usage observed
        before the cutoff where that is more.

    Notes
    -----
    Uses the observed steps before the cutoff, for ``of_capacity`` only.
    """

    def __init__(
        self,
        policy: Policy,
        floor: float = 0.01,
        ceiling: float | None = None,
        of_capacity: float | None = 1.05,
    ) -> None:
        require_between("policy.floor", floor, 0.0, fix=0.01)
        if ceiling is not None:
            require_between("policy.ceiling", ceiling, floor, fix=max(1.0, floor))
        if of_capacity is not None:
            require_between("policy.of_capacity", of_capacity, 0.0, fix=1.05, open_low=True)
        super().__init__(policy)
        self._floor, self._ceiling, self._of_capacity = floor, ceiling, of_capacity

    def _changed(
        self, wanted: FloatArray, usage: Usage, cutoffs: IntVector
    ) -> NDArray[np.floating]:
        if self._ceiling is not None:
            wanted = np.minimum(wanted, np.float32(self._ceiling))
        if self._of_capacity is not None:
            most = past_caps(usage, cutoffs, self._of_capacity)
            wanted = np.minimum(wanted, np.where(np.isnan(most), np.float32(np.inf), most))
        return np.maximum(wanted, np.float32(self._floor))


class Rounded(Wrapper):
    """Raise every request to the next size that can be had.

    Raises ConfigError: neither or both of step and sizes, or sizes that do not ascend from above 0.

    Parameters
    ----------
    step : float, optional
        Sizes are the multiples of this, in the resource's unit.
    sizes : sequence of float, optional
        The sizes themselves; what exceeds the largest gets the largest.
    """

    def __init__(
        self, policy: Policy, step: float | None = None, sizes: Sequence[float] | None = None
    ) -> None:
        if (step is None) == (sizes is None):
            raise ConfigError(
                "policy.step",
                seen=f"step={step}, sizes={sizes}",
                allowed="exactly one of step and sizes",
                fix="set policy.step=0.25 or policy.sizes=[1,2,4]",
            )
        if step is not None:
            require_between("policy.step", step, 0.0, fix=0.25, open_low=True)
        super().__init__(policy)
        self._step = np.float64(step or 1.0)
        self._sizes = None if sizes is None else _ascending(sizes)

    def _changed(
        self, wanted: FloatArray, usage: Usage, cutoffs: IntVector
    ) -> NDArray[np.floating]:
        if self._sizes is not None:
            place = np.searchsorted(self._sizes, wanted.astype(np.float64) * (1.0 - SLACK))
            size = self._sizes[np.minimum(place, len(self._sizes) - 1)]
            return np.where(np.isnan(wanted), np.nan, size)
        return np.ceil(wanted / self._step * (1.0 - SLACK)) * self._step


def _ascending(sizes: Sequence[float]) -> NDArray[np.float64]:
    """Return sizes as an array, or raise if they do not ascend from above 0."""
    values = np.asarray(sizes, dtype=np.float64)
    if not len(values) or values[0] <= 0.0 or not (np.diff(values) > 0.0).all():
        raise ConfigError(
            "policy.sizes",
            seen=list(sizes),
            allowed="ascending numbers above 0",
            fix="set policy.sizes=[1,2,4]",
        )
    return values
