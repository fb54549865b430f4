"""Strategic merge patches: new requests and limits for one container of a workload."""

from __future__ import annotations

from math import isnan
from typing import Any, Final

from optimizer.delivery.patches.names import container_name
from optimizer.delivery.patches.plan import UNITS, Change, ServiceChange
from optimizer.delivery.patches.quantities import quantity
from optimizer.delivery.patches.settings import PatchSettings

TOOL: Final = "cloud-workload-optimizer"


def workload_patch(service: ServiceChange, settings: PatchSettings) -> dict[str, Any]:
    """Return the patch of one service.

    Parameters
    ----------
    service : ServiceChange
        What changes.
    settings : PatchSettings
        Kind, names, units and limits.

    Returns
    -------
    dict
        Names one container, so that the merge keeps the others, and only the resources that
        change. The annotations are the workload's, not the pods': they alone start no rollout.

    References
    ----------
    Kubernetes documentation, "Update API Objects in Place Using kubectl patch": lists of
    containers merge by ``name``.
    """
    container = settings.container or container_name(service.name)
    requests = {
        change.resource: quantity(change.resource, change.target, settings)
        for change in service.changes
    }
    resources: dict[str, Any] = {"requests": requests}
    limits = _limits(service, settings)
    if limits:
        resources["limits"] = limits
    return {
        "apiVersion": settings.workload_api_version,
        "kind": settings.kind,
        "metadata": metadata(service, settings),
        "spec": {
            "template": {"spec": {"containers": [{"name": container, "resources": resources}]}}
        },
    }


def metadata(service: ServiceChange, settings: PatchSettings) -> dict[str, Any]:
    """Return name, namespace and annotations of the object of a service."""
    notes = origin(service.service_id, service.name)
    notes[f"{TOOL}/cluster-id"] = service.cluster_id
    if not isnan(service.risk):
        notes[f"{TOOL}/risk"] = f"{service.risk:.2f} of 4"
    for change in service.changes:
        notes |= _notes(change)
    return {"name": service.name, "namespace": settings.namespace, "annotations": notes}


def origin(service_id: str, name: str) -> dict[str, str]:
    """Return annotations that say which tool wrote the object, and the id if the name differs."""
    notes = {f"{TOOL}/generated-by": TOOL}
    if service_id != name:
        notes[f"{TOOL}/service-id"] = service_id
    return notes


def _notes(change: Change) -> dict[str, str]:
    prefix, unit = f"{TOOL}/{change.resource}", UNITS[change.resource]
    notes = {f"{prefix}-target": f"{change.target:.4g} {unit}"}
    if not (isnan(change.lower) or isnan(change.upper)):
        notes[f"{prefix}-bounds"] = f"{change.lower:.4g} to {change.upper:.4g} {unit}"
    return notes | {f"{prefix}-reason": change.reason}


def _limits(service: ServiceChange, settings: PatchSettings) -> dict[str, str | None]:
    limits: dict[str, str | None] = {}
    for change in service.changes:
        if change.resource == "memory":
            ratio: float | None = settings.memory_limit_ratio
        else:
            ratio = settings.cpu_limit_ratio
        if ratio is not None:
            limits[change.resource] = quantity(change.resource, change.target, settings, ratio)
        elif settings.remove_cpu_limit:
            limits[change.resource] = None  # null deletes the key
    return limits
