"""Promises corrected by past outcomes: conformal calibration that forgets and pools."""
