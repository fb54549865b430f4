"""Strategies for rare events; they see the training fold and nothing else."""

from optimizer.models.imbalance.base import ImbalanceStrategy

__all__ = ["ImbalanceStrategy"]
