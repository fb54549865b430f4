"""From a panel of utilisation to what every service used, in cores or GiB."""

from __future__ import annotations

import logging

import bottleneck as bn
import numpy as np

from optimizer.core.errors import ConfigError
from optimizer.core.panel import BoolArray, FloatArray, Panel
from optimizer.demand.usage import CPU, MEMORY, Usage

logger = logging.getLogger(__name__)

METRICS = {
    CPU: ("cpu_utilization", "cpu_capacity_cores"),
    MEMORY: ("memory_utilization", "memory_capacity_gib"),
}
"""Per resource the metric of its utilisation and that of its capacity."""


def usage_of(panel: Panel, resource: str, before: int | None = None) -> Usage:
    """Return what every service used of a resource and what it is given.

    On the panel's clock. Raises ConfigError: the resource is unknown, or the panel lacks its
    utilisation.

    - ``panel``: utilisation and, where it is known, capacity.
    - ``resource``: ``"cpu"`` or ``"memory"``.
    - ``before``: step from which on nothing may be known to ``capacity``: the first cutoff of a
      replay. By default the end of the panel, for a recommendation now.

    Notes
    -----
    A step's usage is its utilisation times the capacity of that very step: where a service was
    resized, its usage is still what it was. A gap of the capacity is bridged with the last one
    known; before the first one nothing is observed. A capacity of 0 is none.

    ``Usage.capacity`` is one number per service, the last one known before ``before``. A replay
    holds it fixed: a later resize is not foreseen, neither by what the service is said to request
    today nor by the limits of a request. A service that starts later has its first capacity,
    which comes with its first row, before any policy could know the service.

    A service of unknown capacity has capacity 1, so that its usage and its requests are shares
    of what it has. A warning says so, and :func:`has_capacity` says which.
    """
    utilization, _ = metrics_of(resource)
    share = panel.metric(utilization)
    known = has_capacity(panel, resource)
    if not known.all():
        logger.warning(
            "%s: %d of %d services have no known capacity; their usage is a share of it",
            resource,
            int(np.sum(~known)),
            len(known),
        )
    held = _held(panel, resource)
    held[~known] = 1.0
    return Usage(
        resource=resource,
        values=np.asarray(share * held, dtype=np.float32),
        capacity=_capacity(held, panel.n_steps if before is None else before),
        timestamps=panel.timestamps,
        step=panel.step,
        services=panel.services,
    )


def has_capacity(panel: Panel, resource: str) -> BoolArray:
    """Return which services have a capacity of the resource, bool, shape ``(n_services,)``.

    Raises ConfigError: the resource is unknown.
    """
    return ~np.isnan(_held(panel, resource)[:, -1])


def metrics_of(resource: str) -> tuple[str, str]:
    """Return the resource's metrics of utilisation and capacity.

    Raises ConfigError: the resource is unknown.
    """
    if resource not in METRICS:
        raise ConfigError(
            "resource", seen=repr(resource), allowed=", ".join(METRICS), fix="use one of these"
        )
    return METRICS[resource]


def _held(panel: Panel, resource: str) -> FloatArray:
    """Return the capacity of every step, gaps bridged forwards, NaN before the first."""
    _, name = metrics_of(resource)
    if not panel.has(name):
        return np.full((panel.n_services, panel.n_steps), np.nan, dtype=np.float32)
    told = panel.metric(name)
    held: FloatArray = bn.push(np.where(told > 0, told, np.float32(np.nan)), axis=1)
    return held


def _capacity(held: FloatArray, before: int) -> FloatArray:
    """Return the last capacity before a step, the first one of services that start later."""
    first = np.argmax(~np.isnan(held), axis=1)
    at = np.maximum(first, max(before, 1) - 1)
    return np.asarray(held[np.arange(len(held)), at], dtype=np.float32)
