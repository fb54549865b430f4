"""Cloud workload optimizer: forecasts, rare-event warnings and right-sizing from telemetry."""

__version__ = "0.1.0"
