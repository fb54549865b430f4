"""What the rules share: a knob with its frontier, and no request without enough history."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from optimizer.core.durations import count_steps, parse_duration
from optimizer.core.panel import FloatArray
from optimizer.decisions.policies.protocol import Policy
from optimizer.demand.history import observed_before
from optimizer.demand.intervals import IntVector
from optimizer.demand.usage import Usage
from optimizer.models.exceedance.forecast import Surface


class BasePolicy(ABC):
    """A policy of one formula over past usage, the same for every service.

    ``knob``: name of the argument that trades cost against risk. ``least_history``: a service with
    fewer observed steps before a cutoff gets no request there; none needed if absent.
    """

    learns: ClassVar[bool] = False
    """Whether it fits a model."""

    def __init__(
        self, knob: str, value: float, frontier: Sequence[float], least_history: str | None
    ) -> None:
        self._knob, self._setting = knob, value
        self._knobs = tuple(sorted({*frontier, value}))
        self._least = least_history and parse_duration(least_history, "policy.least_history")

    @property
    def knob(self) -> str:
        """Name of the argument that trades cost against risk."""
        return self._knob

    @property
    def setting(self) -> float:
        """The configured value of the knob."""
        return self._setting

    @property
    def knobs(self) -> tuple[float, ...]:
        """Values of the knob that span its frontier, ascending; the configured one among them."""
        return self._knobs

    @property
    def sweeps(self) -> Mapping[str, Policy]:
        """The policy's own sweep alone: the knob is one number."""
        return {"": self}

    def with_surface(self, surface: Surface) -> Policy:
        """Return the policy itself: a rule asks no surface."""
        return self

    def request(self, usage: Usage, cutoffs: IntVector, knobs: Sequence[float]) -> FloatArray:
        """Return requests in the resource's unit, shape ``(n_knobs, n_cutoffs, n_services)``.

        NaN where the history before a cutoff does not suffice.
        """
        found = self._requests(usage, cutoffs, knobs)
        shape = (len(knobs), len(cutoffs), usage.n_services)
        requests = np.broadcast_to(found, shape).astype(np.float32)
        if self._least:
            least = count_steps(self._least, usage.step)
            requests[:, observed_before(usage.values, cutoffs) < least] = np.nan
        return requests

    @abstractmethod
    def _requests(
        self, usage: Usage, cutoffs: IntVector, knobs: Sequence[float]
    ) -> NDArray[np.floating]:
        """Return requests that broadcast to ``(n_knobs, n_cutoffs, n_services)``."""


def scaled(levels: FloatArray, margins: Sequence[float]) -> FloatArray:
    """Return levels raised by each margin, shape ``(n_margins, *levels.shape)``."""
    factors = 1.0 + np.asarray(margins, dtype=np.float64)
    return (factors.reshape(-1, *[1] * levels.ndim) * levels).astype(np.float32)
