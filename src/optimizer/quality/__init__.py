"""What is wrong with telemetry: rows in quarantine, expectations, the report."""

from optimizer.quality.guard import TelemetryGuard
from optimizer.quality.inspection import inspect_telemetry

__all__ = [
    "TelemetryGuard",
    "inspect_telemetry",
]
