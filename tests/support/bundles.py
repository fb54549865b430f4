"""What the tests of saved models share: small models of every yaml, and a way to disk and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from factories import Folds, tiny_panel, tiny_table

from optimizer.core.config import CONF_DIR
from optimizer.evaluation.calibration import Calibrator
from optimizer.evaluation.conformal import QuantileCalibrator
from optimizer.models.base import Runtime
from optimizer.models.imbalance.class_weight import ClassWeight
from optimizer.targets.task import EventTask, Task
from optimizer.training.predictor import TrainedModel
from optimizer.training.tracking.bundle import Trained, read_bundle, write_bundle

RUN = Runtime(seed=7, threads=1)
PANEL = tiny_panel(8, 400, seed=7)
TABLE = tiny_table(PANEL)
SMALL = {"rounds": 12, "min_child_samples": 20, "hidden_size": 6, "max_epochs": 2, "window": "12h"}
"""Arguments that keep a fit short, where a model has them."""
MODELS = sorted((CONF_DIR / "model").glob("*.yaml"))


def model_of(path: Path) -> Any:
    """Return the model of a yaml, small."""
    from hydra.utils import instantiate

    node = yaml.safe_load(path.read_text())
    own = SMALL if {"rounds", "hidden_size"} & set(node) else {}
    return instantiate(
        node | {key: value for key, value in own.items() if key in node}, _convert_="all"
    )


def train(model: Any, task: Task, folds: Folds, isotonic: int = 200) -> TrainedModel:
    """Return a fitted model with a calibrator; isotonic from so many positives on."""
    if isinstance(task, EventTask):
        model.fit_events(folds.train, folds.valid, task, ClassWeight(), RUN)
        raw = model.score_events(folds.valid)
        calibrator: Any = Calibrator(isotonic).fit(raw, folds.valid.y)
    else:
        model.fit_forecast(folds.train, folds.valid, task, RUN)
        raw = np.sort(model.predict_quantiles(folds.valid), axis=-1)
        calibrator = QuantileCalibrator(task.quantiles).fit(raw, folds.valid.y)
    return TrainedModel(
        name=type(model).__name__,
        model=model,
        task=task,
        groups=(),
        features=TABLE.names,
        metrics=PANEL.metrics,
        step=PANEL.step,
        calibrator=calibrator,
        threshold=0.25 if isinstance(task, EventTask) else None,
        fitted_until=folds.valid.timestamps.max(),
    )


def again(trained: Trained, directory: Path) -> Any:
    """Return a model as it comes back from disk."""
    write_bundle(trained, directory)
    return read_bundle(directory)
