"""Strategies for rare positives."""
