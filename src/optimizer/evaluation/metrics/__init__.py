"""Figures of events and of forecasts."""
