"""What the policies that ask an exceedance surface share."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import ClassVar, Self

from optimizer.decisions.policies.base import BasePolicy
from optimizer.demand.intervals import IntVector
from optimizer.demand.usage import Usage
from optimizer.models.exceedance.forecast import Forecast, Surface
from optimizer.models.exceedance.rolling import RollingSurface


class ExceedancePolicy(BasePolicy):
    """A policy whose requests come from an exceedance surface: see :meth:`with_surface`.

    ``knob``: name of the argument that trades cost against risk.
    """

    learns: ClassVar[bool] = True

    def __init__(self, knob: str, value: float, frontier: Sequence[float]) -> None:
        super().__init__(knob, value, frontier, None)
        self._surface: Surface = RollingSurface()

    def _forecast(self, usage: Usage, cutoffs: IntVector) -> Forecast:
        """Return the surface of the interval after each cutoff."""
        return self._surface.forecast(usage, cutoffs)

    def with_surface(self, surface: Surface) -> Self:
        """Return the same policy, asking another surface."""
        other = copy(self)
        other._surface = surface
        return other
