"""A generated fleet, whose truth is known."""

from optimizer.sources.synthetic.source import SyntheticTelemetry

__all__ = [
    "SyntheticTelemetry",
]
