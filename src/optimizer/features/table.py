"""The feature table: the values of every present row, feature-major, as one memory map."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray, IntArray

ON_DEMAND_VIEW = "interaction_features"
"""The view of all features that are derived from stored ones at the time of reading."""


@dataclass(frozen=True)
class FeatureSpec:
    """What one feature is: the single source of its name, type, unit and lookback.

    - ``group``: name of the feature group that computes it.
    - ``lookback``: duration of history that the value at time t reads, ending at t; ``"0h"`` for
      the present step only.
    - ``source``: metrics it is computed from; empty for calendar features.
    - ``view``: feature view of the store that it belongs to.
    - ``scope``: entity the view is keyed by, ``"service"`` or ``"cluster"``.
    - ``inputs``: features of the same row that it is derived from on demand; empty if it is stored.
    - ``reach``: history that an exponential mean still shows in float32; empty where it is the
      lookback.
    - ``dtype``: always ``"float32"``.
    """

    name: str
    group: str
    unit: str
    lookback: str
    source: tuple[str, ...]
    view: str
    scope: str = "service"
    inputs: tuple[str, ...] = ()
    reach: str = ""
    dtype: str = "float32"

    def to_dict(self) -> dict[str, object]:
        """Return the spec as plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FeatureSpec:
        """Return the spec that :meth:`to_dict` gave, also after a round trip through JSON."""
        return cls(
            **{**values, "source": tuple(values["source"]), "inputs": tuple(values["inputs"])}
        )


@dataclass(frozen=True)
class FeatureTable:
    """Features of all present rows.

    ``values``: float32, shape ``(n_features, n_rows)``: feature-major, so that a column is
    contiguous. ``specs``: one per feature, in order. ``service``, ``step``: int32, shape
    ``(n_rows,)``: position of each row in the panel; sorted by service, then step.
    """

    values: FloatArray
    specs: tuple[FeatureSpec, ...]
    service: IntArray
    step: IntArray

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in column order."""
        return tuple(spec.name for spec in self.specs)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.service)

    def take(self, rows: NDArray[np.int64], names: tuple[str, ...] | None = None) -> FloatArray:
        """Return the rows as a matrix.

        float32, shape ``(n, n_features)``, Fortran order, a copy. ``rows``: int64, shape ``(n,)``.
        ``names``: only these features, in this order.
        """
        chosen = range(len(self.specs)) if names is None else [self.names.index(n) for n in names]
        out = np.empty((len(chosen), len(rows)), dtype=np.float32)
        for position, feature in enumerate(chosen):
            np.take(self.values[feature], rows, out=out[position], mode="clip")
        return out.T
