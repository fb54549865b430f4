"""Vertical Pod Autoscaler objects that recommend within our bounds and change nothing."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from typing import Any

from optimizer.delivery.patches.base import metadata, render_object, target_of
from optimizer.delivery.patches.names import container_name
from optimizer.delivery.patches.plan import PatchPlan, ServiceChange
from optimizer.delivery.patches.settings import PatchSettings, require_api_version


@dataclass(frozen=True)
class Vpa:
    """A VerticalPodAutoscaler per service with known bounds, in ``vpa/``.

    Raises ConfigError: the version is none.

    Parameters
    ----------
    api_version : str
        ``apiVersion`` of the objects.
    """

    api_version: str = "autoscaling.k8s.io/v1"

    def __post_init__(self) -> None:
        require_api_version("patches.formats.vpa.api_version", self.api_version)

    def render(self, plan: PatchPlan, settings: PatchSettings) -> dict[str, str]:
        """Return a file per service with known bounds."""
        texts: dict[str, str] = {}
        for service in plan.services:
            document = self.autoscaler(service, settings)
            if document is not None:
                texts |= render_object(f"vpa/{service.name}.yaml", document, "vpa")
        return texts

    def autoscaler(self, service: ServiceChange, settings: PatchSettings) -> dict[str, Any] | None:
        """Return the VerticalPodAutoscaler of a service, or None if no bound is known.

        Resources with both bounds are controlled, the others are not. Update mode Off: the
        autoscaler shows its own recommendation beside ours. Its range is P5 to P95 of the coming
        peak, widened to hold the target, so that it never contradicts the patch of the same
        service.

        References
        ----------
        kubernetes/autoscaler, ``vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1/types.go``.
        """
        known = [c for c in service.changes if not (isnan(c.lower) or isnan(c.upper))]
        if not known:
            return None
        # A model's quantiles may cross: the least and the most of the three are the range.
        ranges = {c.resource: (c.lower, c.target, c.upper) for c in known}
        least = {name: settings.quantity(name, min(values)) for name, values in ranges.items()}
        most = {name: settings.quantity(name, max(values)) for name, values in ranges.items()}
        policy = {
            "containerName": settings.container or container_name(service.name),
            "minAllowed": least,
            "maxAllowed": most,
            "controlledResources": list(ranges),
            "controlledValues": "RequestsOnly",
        }
        return {
            "apiVersion": self.api_version,
            "kind": "VerticalPodAutoscaler",
            "metadata": metadata(service, settings),
            "spec": {
                "targetRef": target_of(service.name, settings),
                "updatePolicy": {"updateMode": "Off"},
                "resourcePolicy": {"containerPolicies": [policy]},
            },
        }
