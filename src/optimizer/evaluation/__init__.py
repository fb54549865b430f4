"""Calibration, metrics and plots."""
