"""Patches from recommendations, for people to review and apply: this package applies nothing."""
