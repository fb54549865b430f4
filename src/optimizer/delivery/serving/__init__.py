"""Features and predictions of now: the online store, its freshness, a stream of new rows."""

from optimizer.delivery.serving.online import OnlineReader
from optimizer.delivery.serving.streaming import FeatureStream

__all__ = ["FeatureStream", "OnlineReader"]
