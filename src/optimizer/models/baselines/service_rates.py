"""Each service's own past event rate: the reference that "which service" alone explains.

It lives in one place because the baseline model, the Brier skill and the reports must mean the
same thing by it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def service_rates(
    service: NDArray[np.integer], y: NDArray[np.floating], n_services: int, shrink: float = 20.0
) -> NDArray[np.float64]:
    """Return the event rate of every service, shrunk to the fleet's.

    float64, shape ``(n_services,)``, in [0, 1]: ``(positives + shrink * fleet) / (rows + shrink)``.
    A service without past rows has the fleet's rate; without any row at all every rate is 0.

    - ``service``: integer, shape ``(n,)``: service index of each past row, in ``[0, n_services)``.
    - ``y``: shape ``(n,)``: 0 or 1.
    - ``n_services``: services of the panel, those without a past row included.
    - ``shrink``: weight of the fleet's rate in rows, at least 0.

    Notes
    -----
    Reads nothing but the rows given: pass those of the training and validation folds, never
    of the test fold.
    """
    rows = np.bincount(service, minlength=n_services).astype(np.float64)
    positives = np.bincount(service, weights=y, minlength=n_services)
    fleet = positives.sum() / rows.sum() if rows.sum() else 0.0
    weight = rows + shrink
    rates = np.full(n_services, fleet)
    np.divide(positives + shrink * fleet, weight, out=rates, where=weight > 0)
    return rates
