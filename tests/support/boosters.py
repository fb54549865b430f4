"""What the tests of the three boosters share: small ones, data, and how a forecast is judged."""

from __future__ import annotations

import numpy as np
from factories import event_task, forecast_task, tiny_panel, tiny_table

from optimizer.core.panel import FloatArray
from optimizer.models.base import Runtime
from optimizer.models.boosting.base import Booster
from optimizer.models.boosting.catboost import CatBoost
from optimizer.models.boosting.lightgbm import LightGBM
from optimizer.models.boosting.xgboost import XGBoost

BOOSTERS = [LightGBM, XGBoost, CatBoost]
RUN = Runtime(seed=7, threads=1)
PANEL = tiny_panel(8, 400, seed=7)
TABLE = tiny_table(PANEL)
EVENT = event_task(PANEL)
FORECAST = forecast_task(PANEL)


def make(kind: type[Booster], rounds: int = 25) -> Booster:
    """Return a booster that can learn from a few hundred rows."""
    extra = {"min_child_samples": 20} if kind is LightGBM else {}
    return kind(rounds=rounds, learning_rate=0.1, **extra)  # type: ignore[call-arg]


def pinball(y: FloatArray, quantiles: FloatArray) -> FloatArray:
    """Return the mean pinball loss per horizon."""
    level = np.array(FORECAST.quantiles)
    error = y[:, :, None] - quantiles
    mean: FloatArray = np.nanmean(np.maximum(level * error, (level - 1) * error), axis=(0, 2))
    return mean
