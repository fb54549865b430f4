"""What every service used of one resource, on a regular grid of steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray

CPU, MEMORY = "cpu", "memory"


@dataclass(frozen=True)
class Usage:
    """What every service used of one resource, on a regular clock.

    - ``resource``: ``"cpu"`` (cores) or ``"memory"`` (GiB).
    - ``values``: float32, shape ``(n_services, n_steps)``, in the resource's unit; NaN where
      unobserved.
    - ``capacity``: float32, shape ``(n_services,)``: what is requested today, in the same unit.
    - ``timestamps``: datetime64[us] UTC, shape ``(n_steps,)``: the END of each step.
    - ``services``: ``service_id`` of each row.
    """

    resource: str
    values: FloatArray
    capacity: FloatArray
    timestamps: NDArray[np.datetime64]
    step: pd.Timedelta
    services: tuple[str, ...]

    @property
    def n_services(self) -> int:
        """Number of services."""
        return len(self.services)

    @property
    def n_steps(self) -> int:
        """Number of steps."""
        return int(self.values.shape[1])
