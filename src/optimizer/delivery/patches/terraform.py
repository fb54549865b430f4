"""Terraform variables: the new and the previous requests of every service."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import Any

from optimizer.delivery.patches.plan import ServiceChange
from optimizer.delivery.patches.quantities import quantity
from optimizer.delivery.patches.settings import PatchSettings

FILE = "rightsizing.auto.tfvars.json"


def terraform_variables(
    services: Sequence[ServiceChange], settings: PatchSettings
) -> dict[str, dict[str, dict[str, str | None]]]:
    """Return the variable ``rightsizing``, by the services' names.

    Parameters
    ----------
    services : sequence of ServiceChange
        What changes.
    settings : PatchSettings
        The units.

    Returns
    -------
    dict
        Every service has all keys; None (null) where a request stays as it is or is unknown.

    Notes
    -----
    The module that reads it declares ::

        variable "rightsizing" {
          type = map(object({
            service_id              = string
            cpu_request             = string
            memory_request          = string
            previous_cpu_request    = string
            previous_memory_request = string
          }))
          default = {}
        }

    References
    ----------
    Terraform documentation, "Variable Definitions (.tfvars) Files": ``*.auto.tfvars.json``.
    """
    return {"rightsizing": {service.name: _requests(service, settings) for service in services}}


def _requests(service: ServiceChange, settings: PatchSettings) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(
        ("cpu_request", "memory_request", "previous_cpu_request", "previous_memory_request")
    )
    for change in service.changes:
        kind = change.resource
        found[f"{kind}_request"] = quantity(kind, change.target, settings)
        if not isnan(change.current):
            found[f"previous_{kind}_request"] = quantity(kind, change.current, settings)
    return {"service_id": service.service_id, **found}
