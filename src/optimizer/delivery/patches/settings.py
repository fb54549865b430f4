"""What every patch is written for: the kind of workload, its names and its units."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil
from typing import Final

from optimizer.core.errors import ConfigError
from optimizer.core.validation import require_choice
from optimizer.delivery.patches.names import LABEL

KINDS: Final = ("Deployment", "StatefulSet")
PER_CORE: Final = {"m": 1000.0, "": 1.0}
PER_GIB: Final = {"Mi": 1024.0, "Gi": 1.0}
API_VERSION = re.compile(r"[a-z0-9][-a-z0-9.]*/v[0-9][a-z0-9]*")
# Recommendations are computed in float32: 1.2 cores come as 1.2000000477 and are still 1200m.
TOLERANCE: Final = 1e-6


@dataclass(frozen=True)
class PatchSettings:
    """The settings that formats share; those of one format are its own class's.

    Raises ConfigError: a value is not one of the above.

    Parameters
    ----------
    namespace : str
        Namespace of every object, an RFC 1123 label.
    kind : str
        ``"Deployment"`` or ``"StatefulSet"``.
    container : str, optional
        The container that is resized; None: the one named as the service.
    cpu_unit : str
        ``"m"`` (millicores) or ``""`` (whole cores, for exclusive cores).
    memory_unit : str
        ``"Mi"`` or ``"Gi"``.
    workload_api_version : str
        ``apiVersion`` of the workload.
    """

    namespace: str = "default"
    kind: str = "Deployment"
    container: str | None = None
    cpu_unit: str = "m"
    memory_unit: str = "Mi"
    workload_api_version: str = "apps/v1"

    def __post_init__(self) -> None:
        require_choice("patches.kind", self.kind, KINDS)
        require_choice("patches.cpu_unit", self.cpu_unit, PER_CORE)
        require_choice("patches.memory_unit", self.memory_unit, PER_GIB)
        _require_label("patches.namespace", self.namespace, "default")
        if self.container is not None:
            _require_label("patches.container", self.container, "app")
        require_api_version("patches.workload_api_version", self.workload_api_version)

    def quantity(self, resource: str, value: float, ratio: float = 1.0) -> str:
        """Return cores or GiB as a quantity, for example ``"1500m"`` or ``"512Mi"``.

        ``resource``: ``"cpu"`` (value in cores) or ``"memory"`` (value in GiB). ``value``: at least
        0; rounded up to whole units, so that no request is below its recommendation. ``ratio``:
        limit ÷ request, at least 1: with 1 the limit is the request to the letter.

        References
        ----------
        Kubernetes API reference, "Quantity".
        """
        suffix, per_unit = {
            "cpu": (self.cpu_unit, PER_CORE[self.cpu_unit]),
            "memory": (self.memory_unit, PER_GIB[self.memory_unit]),
        }[resource]
        whole = ceil(value * per_unit * (1.0 - TOLERANCE))
        return f"{ceil(whole * ratio * (1.0 - TOLERANCE))}{suffix}"


def require_api_version(key: str, value: str) -> None:
    """Raise a ConfigError unless the value is an ``apiVersion`` with a group."""
    if not API_VERSION.fullmatch(value):
        raise ConfigError(
            key,
            seen=repr(value),
            allowed="group/version, for example apps/v1",
            fix="leave the key out for the default",
        )


def _require_label(key: str, value: str, fix: str) -> None:
    if not LABEL.fullmatch(value):
        raise ConfigError(
            key,
            seen=repr(value),
            allowed="1 to 63 of a-z, 0-9 and '-', letters or digits at both ends (RFC 1123)",
            fix=f"set {key}={fix}",
        )
