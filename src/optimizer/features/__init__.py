"""Feature groups on one dense panel."""
