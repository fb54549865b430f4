"""Where telemetry comes from: one class per origin, all giving the canonical long frame."""

from optimizer.sources.base import TelemetrySource
from optimizer.sources.table import TableTelemetry

__all__ = [
    "TableTelemetry",
    "TelemetrySource",
]
