"""Vertical Pod Autoscaler objects that recommend within our bounds and change nothing."""

from __future__ import annotations

from math import isnan
from typing import Any

from optimizer.delivery.patches.kubernetes import metadata
from optimizer.delivery.patches.names import container_name
from optimizer.delivery.patches.plan import ServiceChange
from optimizer.delivery.patches.quantities import quantity
from optimizer.delivery.patches.settings import PatchSettings


def vertical_pod_autoscaler(
    service: ServiceChange, settings: PatchSettings
) -> dict[str, Any] | None:
    """Return the VerticalPodAutoscaler of a service, or None if no bound is known.

    Parameters
    ----------
    service : ServiceChange
        What changes; the resources with both bounds are controlled, the others are not.
    settings : PatchSettings
        Kind, names and units.

    Returns
    -------
    dict, optional
        Update mode Off: the autoscaler shows its own recommendation beside ours. Its range is
        P5 to P95 of the coming peak, widened to hold the target, so that it never contradicts
        the patch of the same service.

    References
    ----------
    kubernetes/autoscaler, ``vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1/types.go``.
    """
    known = [c for c in service.changes if not (isnan(c.lower) or isnan(c.upper))]
    if not known:
        return None
    # A model's quantiles may cross: the least and the most of the three are the range.
    ranges = {c.resource: (c.lower, c.target, c.upper) for c in known}
    least = {name: quantity(name, min(values), settings) for name, values in ranges.items()}
    most = {name: quantity(name, max(values), settings) for name, values in ranges.items()}
    policy = {
        "containerName": settings.container or container_name(service.name),
        "minAllowed": least,
        "maxAllowed": most,
        "controlledResources": [change.resource for change in known],
        "controlledValues": "RequestsOnly",
    }
    return {
        "apiVersion": settings.vpa_api_version,
        "kind": "VerticalPodAutoscaler",
        "metadata": metadata(service, settings),
        "spec": {
            "targetRef": {
                "apiVersion": settings.workload_api_version,
                "kind": settings.kind,
                "name": service.name,
            },
            "updatePolicy": {"updateMode": "Off"},
            "resourcePolicy": {"containerPolicies": [policy]},
        },
    }
