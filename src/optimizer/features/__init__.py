"""Features of a dense panel, each a function of the past alone, and the engine that fills them."""

from optimizer.features.base import FeatureGroup
from optimizer.features.engine import compute_features
from optimizer.features.table import FeatureTable

__all__ = ["FeatureGroup", "FeatureTable", "compute_features"]
