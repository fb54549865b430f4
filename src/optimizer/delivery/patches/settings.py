"""What the patches are written for: the kind of workload, its names, units and limits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from optimizer.core.errors import ConfigError
from optimizer.core.validation import require_between, require_choice
from optimizer.delivery.patches.names import LABEL

KINDS: Final = ("Deployment", "StatefulSet")
PER_CORE: Final = {"m": 1000.0, "": 1.0}
PER_GIB: Final = {"Mi": 1024.0, "Gi": 1.0}
API_VERSION = re.compile(r"[a-z0-9][-a-z0-9.]*/v[0-9][a-z0-9]*")


@dataclass(frozen=True)
class PatchSettings:
    """How recommendations become Kubernetes objects.

    Parameters
    ----------
    namespace : str
        Of every object, an RFC 1123 label.
    kind : str
        ``"Deployment"`` or ``"StatefulSet"``.
    container : str, optional
        The container that is resized; None: the one named as the service.
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
    cpu_unit : str
        ``"m"`` (millicores) or ``""`` (whole cores, for exclusive cores).
    memory_unit : str
        ``"Mi"`` or ``"Gi"``.
    workload_api_version, vpa_api_version, keda_api_version : str
        ``apiVersion`` of the workload, the VerticalPodAutoscaler and the ScaledObject.

    Raises
    ------
    ConfigError
        A value is not one of the above.
    """

    namespace: str = "default"
    kind: str = "Deployment"
    container: str | None = None
    memory_limit_ratio: float = 1.0
    cpu_limit_ratio: float | None = None
    remove_cpu_limit: bool = False
    cpu_unit: str = "m"
    memory_unit: str = "Mi"
    workload_api_version: str = "apps/v1"
    vpa_api_version: str = "autoscaling.k8s.io/v1"
    keda_api_version: str = "keda.sh/v1alpha1"

    def __post_init__(self) -> None:
        require_choice("patches.kind", self.kind, KINDS)
        require_choice("patches.cpu_unit", self.cpu_unit, PER_CORE)
        require_choice("patches.memory_unit", self.memory_unit, PER_GIB)
        require_between("patches.memory_limit_ratio", self.memory_limit_ratio, 1.0, fix=1.0)
        if self.cpu_limit_ratio is not None:
            require_between("patches.cpu_limit_ratio", self.cpu_limit_ratio, 1.0, fix=2.0)
            if self.remove_cpu_limit:
                raise ConfigError(
                    "patches.remove_cpu_limit",
                    seen=f"true and patches.cpu_limit_ratio={self.cpu_limit_ratio:g}",
                    allowed="a CPU limit or none",
                    fix="set patches.cpu_limit_ratio=null",
                )
        _require_label("patches.namespace", self.namespace, "default")
        if self.container is not None:
            _require_label("patches.container", self.container, "app")
        for key in ("workload_api_version", "vpa_api_version", "keda_api_version"):
            _require_api_version(f"patches.{key}", getattr(self, key))

    @property
    def units(self) -> dict[str, tuple[str, float]]:
        """Suffix and number per core or GiB, by resource."""
        return {
            "cpu": (self.cpu_unit, PER_CORE[self.cpu_unit]),
            "memory": (self.memory_unit, PER_GIB[self.memory_unit]),
        }


def _require_label(key: str, value: str, fix: str) -> None:
    if not LABEL.fullmatch(value):
        raise ConfigError(
            key,
            seen=repr(value),
            allowed="1 to 63 of a-z, 0-9 and '-', letters or digits at both ends (RFC 1123)",
            fix=f"set {key}={fix}",
        )


def _require_api_version(key: str, value: str) -> None:
    if not API_VERSION.fullmatch(value):
        raise ConfigError(
            key,
            seen=repr(value),
            allowed="group/version, for example apps/v1",
            fix="leave the key out for the default",
        )
