"""Telemetry sources: each yields the canonical long frame."""
