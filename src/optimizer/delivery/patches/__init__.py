"""Recommendations as files that a person can review and apply, one module per format."""
