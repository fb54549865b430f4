"""Published traces in the layout that they are published in."""

from optimizer.sources.traces.azure_vm import AzureVmTelemetry
from optimizer.sources.traces.bitbrains import BitbrainsTelemetry
from optimizer.sources.traces.nab import NabTelemetry
from optimizer.sources.traces.planetlab import PlanetlabTelemetry

__all__ = [
    "AzureVmTelemetry",
    "BitbrainsTelemetry",
    "NabTelemetry",
    "PlanetlabTelemetry",
]
