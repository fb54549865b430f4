"""Terraform variables: the new and the previous requests of every service."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import isnan
from typing import Any

from optimizer.delivery.patches.plan import PatchPlan, ServiceChange
from optimizer.delivery.patches.settings import PatchSettings

FILE = "rightsizing.auto.tfvars.json"


@dataclass(frozen=True)
class Terraform:
    """One file with the variable ``rightsizing``, by the services' names.

    Notes
    -----
    Every service has all keys; null where a request stays as it is or is unknown. The module
    that reads the file declares ::

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

    def render(self, plan: PatchPlan, settings: PatchSettings) -> dict[str, str]:
        """Return the one file, also if nothing changes."""
        requests = {service.name: _requests(service, settings) for service in plan.services}
        text = json.dumps({"rightsizing": requests}, indent=2, ensure_ascii=False)
        return {FILE: f"{text}\n"}


def _requests(service: ServiceChange, settings: PatchSettings) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(
        ("cpu_request", "memory_request", "previous_cpu_request", "previous_memory_request")
    )
    for change in service.changes:
        kind = change.resource
        found[f"{kind}_request"] = settings.quantity(kind, change.target)
        if not isnan(change.current):
            found[f"previous_{kind}_request"] = settings.quantity(kind, change.current)
    return {"service_id": service.service_id, **found}
