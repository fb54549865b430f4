"""What a policy is asked and answers: past usage in, requests out, never a look ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from optimizer.core.panel import FloatArray
from optimizer.demand.intervals import IntVector
from optimizer.demand.usage import Usage
from optimizer.models.exceedance.forecast import Surface


@runtime_checkable
class Policy(Protocol):
    """Says what each service should request until the next cutoff.

    A policy reads ``usage.values[:, :cutoff]`` for a cutoff and nothing later (only
    ``peak_oracle`` does). It is asked for many cutoffs and many values of its own knob at once,
    so that it can share what they have in common.
    """

    @property
    def learns(self) -> bool:
        """Whether it fits a model: the best policy that does not is what it has to beat."""
        ...

    @property
    def knob(self) -> str:
        """Name of the argument that trades cost against risk."""
        ...

    @property
    def setting(self) -> float:
        """The configured value of the knob."""
        ...

    @property
    def knobs(self) -> tuple[float, ...]:
        """Values of the knob that span its frontier, ascending; the configured one among them."""
        ...

    @property
    def sweeps(self) -> Mapping[str, Policy]:
        """The policies whose sweeps make up the frontier, by what sets them apart; itself first.

        A knob of one number has one sweep, ``{"": policy}``. Where the knob is a pair, one of the
        two is swept, and each value of the other is a policy of its own, such as ``"w=1"``.
        """
        ...

    def with_surface(self, surface: Surface) -> Policy:
        """Return the same policy, asking this exceedance surface if it asks any."""
        ...

    def request(self, usage: Usage, cutoffs: IntVector, knobs: Sequence[float]) -> FloatArray:
        """Return requests in the resource's unit, shape ``(n_knobs, n_cutoffs, n_services)``.

        A cutoff is the index of the first step that is not known yet; the request holds from
        there to the next cutoff (the last one for as long as the one before). NaN where the
        history does not suffice: the caller then keeps the present capacity.
        """
        ...
