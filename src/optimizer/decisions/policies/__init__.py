"""Policies: past usage in, requests out, never a look ahead."""

from optimizer.decisions.policies.protocol import Policy

__all__ = ["Policy"]
