"""The newest rows of every service as the feature store knows them, for predictions now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from optimizer.core.panel import Panel
from optimizer.core.schema import SERVICE
from optimizer.features.storage import load_features
from optimizer.features.store.retrieval import retrieve_training_set
from optimizer.features.store.store import FeatureStore
from optimizer.training.predictor import TrainedModel, predict_newest


def predict_events(
    trained: TrainedModel, store: FeatureStore, panel: Panel, steps: int, directory: Path
) -> pd.Series[float]:
    """Return the probability of an event within the horizon, by ``service_id``."""
    start = max(0, panel.n_steps - steps)
    ref = retrieve_training_set(store, panel.between(start, panel.n_steps), directory)
    table = load_features(ref)
    placed = replace(table, step=np.asarray(table.step + start, dtype=np.int32))
    found = predict_newest(trained, panel, placed)
    return pd.Series(found["y_score"].to_numpy(np.float64), index=found[SERVICE].to_numpy())
