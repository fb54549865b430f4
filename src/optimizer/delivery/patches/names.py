"""Names that Kubernetes takes, from service ids that may be anything."""

from __future__ import annotations

import re
from collections.abc import Iterable

from optimizer.core.errors import SchemaError

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
# Kubernetes allows 253; the file named after the service, and its draft, must fit 255 bytes.
LONGEST = 240
LONGEST_LABEL = 63


def workload_names(service_ids: Iterable[str]) -> dict[str, str]:
    """Return a valid and unique name for every service.

    Service id to name. ``service_ids``: may repeat. An id that is an RFC 1123 subdomain (what
    Kubernetes takes as the name of a workload) stays as it is; else it is lower-cased and what is
    not allowed becomes ``-``. Raises SchemaError: nothing is left of an id, or two ids become the
    same name.

    References
    ----------
    Kubernetes documentation, "Object Names and IDs".
    """
    names: dict[str, str] = {}
    owners: dict[str, str] = {}
    for service in sorted(set(service_ids)):
        name = _subdomain(service)
        if name in owners:
            raise SchemaError(
                "recommendations: service_id",
                seen=f"{owners[name]!r} and {service!r}, both {name!r} in Kubernetes",
                allowed="ids that stay different in lower case with '-' for other signs",
                fix="write the patches of the two services in separate runs, or rename one",
            )
        names[service], owners[name] = name, service
    return names


def container_name(workload: str) -> str:
    """Return the name of a workload as a container's: no dots, 63 signs at most."""
    return workload.replace(".", "-")[:LONGEST_LABEL].strip("-")


def _subdomain(service: str) -> str:
    if len(service) <= LONGEST and SUBDOMAIN.fullmatch(service):
        return service
    plain = re.sub(r"[^-a-z0-9.]+", "-", service.lower())
    parts = [part.strip("-") for part in plain[:LONGEST].split(".")]
    name = ".".join(part for part in parts if part)
    if not name:
        raise SchemaError(
            "recommendations: service_id",
            seen=repr(service),
            allowed="ids with at least one letter a-z or digit",
            fix="rename the service in the telemetry",
        )
    return name
