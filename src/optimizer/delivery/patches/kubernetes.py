"""Strategic merge patches: new requests and limits for one container of a workload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from optimizer.core.errors import ConfigError
from optimizer.core.validation import require_between
from optimizer.delivery.patches.base import metadata, render_object
from optimizer.delivery.patches.names import container_name
from optimizer.delivery.patches.plan import PatchPlan, ServiceChange
from optimizer.delivery.patches.settings import PatchSettings

KEY = "patches.formats.kubernetes"


@dataclass(frozen=True)
class Kubernetes:
    """A patch per service, in ``kubernetes/``.

    Raises ConfigError: a ratio is below 1, or a CPU limit is to be both set and removed.

    Parameters
    ----------
    memory_limit_ratio : float
        Memory limit ÷ memory request, at least 1. 1 reserves all that may be used: a node that
        runs short of memory kills pods, so memory beyond the request is no promise.
    cpu_limit_ratio : float, optional
        CPU limit ÷ CPU request, at least 1. None: the patch says nothing about the CPU limit, since
        a CPU shortfall only slows down and a limit throttles. Kubernetes refuses a request above
        a limit that is there already.
    remove_cpu_limit : bool
        Delete the CPU limit. Needs Kubernetes 1.24 or later: before, a container without any
        limit got a CPU limit of 0 (kubernetes/kubernetes pull request 107705).
    """

    memory_limit_ratio: float = 1.0
    cpu_limit_ratio: float | None = None
    remove_cpu_limit: bool = False

    def __post_init__(self) -> None:
        require_between(f"{KEY}.memory_limit_ratio", self.memory_limit_ratio, 1.0, fix=1.0)
        if self.cpu_limit_ratio is not None:
            require_between(f"{KEY}.cpu_limit_ratio", self.cpu_limit_ratio, 1.0, fix=2.0)
            if self.remove_cpu_limit:
                raise ConfigError(
                    f"{KEY}.remove_cpu_limit",
                    seen=f"true and {KEY}.cpu_limit_ratio={self.cpu_limit_ratio:g}",
                    allowed="a CPU limit or none",
                    fix=f"set {KEY}.cpu_limit_ratio=null",
                )

    def render(self, plan: PatchPlan, settings: PatchSettings) -> dict[str, str]:
        """Return a file per service that changes."""
        texts: dict[str, str] = {}
        for service in plan.services:
            place = f"kubernetes/{service.name}.yaml"
            # Kubernetes 1.20 has no --patch-file.
            command = (
                f"kubectl -n {settings.namespace} patch {settings.kind.lower()} {service.name} "
                f'--type strategic -p "$(cat {place})"'
            )
            document = self.patch(service, settings)
            texts |= render_object(place, document, "kubernetes", command)
        return texts

    def patch(self, service: ServiceChange, settings: PatchSettings) -> dict[str, Any]:
        """Return the patch of one service.

        It names one container, so that the merge keeps the others, and only the resources that
        change. The annotations are the workload's, not the pods': they alone start no rollout.

        References
        ----------
        Kubernetes documentation, "Update API Objects in Place Using kubectl patch": lists of
        containers merge by ``name``.
        """
        requests = {
            change.resource: settings.quantity(change.resource, change.target)
            for change in service.changes
        }
        resources: dict[str, Any] = {"requests": requests}
        limits = self._limits(service, settings)
        if limits:
            resources["limits"] = limits
        container = {
            "name": settings.container or container_name(service.name),
            "resources": resources,
        }
        return {
            "apiVersion": settings.workload_api_version,
            "kind": settings.kind,
            "metadata": metadata(service, settings),
            "spec": {"template": {"spec": {"containers": [container]}}},
        }

    def _limits(self, service: ServiceChange, settings: PatchSettings) -> dict[str, str | None]:
        limits: dict[str, str | None] = {}
        ratios = {"memory": self.memory_limit_ratio, "cpu": self.cpu_limit_ratio}
        for change in service.changes:
            ratio = ratios[change.resource]
            if ratio is not None:
                limits[change.resource] = settings.quantity(change.resource, change.target, ratio)
            elif self.remove_cpu_limit:
                limits[change.resource] = None  # null deletes the key
        return limits
