"""A patch format: one Helm values file for all services."""

import yaml

from optimizer.delivery.patches.base import MARK
from optimizer.delivery.patches.plan import PatchPlan
from optimizer.delivery.patches.settings import PatchSettings


class HelmValues:
    """Requests of every changed service below a key of the chart.

    Parameters
    ----------
    key : str
        Where the chart looks for them.
    """

    def __init__(self, key: str = "resources") -> None:
        self.key = key

    def render(self, plan: PatchPlan, settings: PatchSettings) -> dict[str, str]:
        """Return the text of each file by its place below the directory of patches."""
        requests = {
            service.name: {
                "requests": {
                    change.resource: settings.quantity(change.resource, change.target)
                    for change in service.changes
                }
            }
            for service in plan.services
        }
        return {"helm/values-rightsizing.yaml": f"{MARK}\n{yaml.safe_dump({self.key: requests})}"}
