"""The feature store: offline partitions, Feast's definitions, point-in-time training sets."""

from optimizer.features.store.repository import open_store
from optimizer.features.store.settings import StoreSettings
from optimizer.features.store.store import FeatureStore

__all__ = [
    "FeatureStore",
    "StoreSettings",
    "open_store",
]
