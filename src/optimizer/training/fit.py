"""From panel, features and labels to a fitted, calibrated model: pure steps that flows call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from optimizer.core.errors import ConfigError, TargetError
from optimizer.core.panel import Panel
from optimizer.evaluation.calibration import Calibrator
from optimizer.evaluation.conformal import QuantileCalibrator
from optimizer.evaluation.settings import Evaluation
from optimizer.features.base import FeatureGroup
from optimizer.features.table import FeatureTable
from optimizer.models.base import EventClassifier, Forecaster, Runtime, TrainingLog
from optimizer.models.exceedance.baselines import ShareBaseline
from optimizer.models.imbalance.base import ImbalanceStrategy, count_classes
from optimizer.targets.base import Labels
from optimizer.targets.dataset import Dataset
from optimizer.targets.splits import Fold
from optimizer.targets.task import EventTask, ForecastTask, Task
from optimizer.training.predictor import TrainedModel


@dataclass(frozen=True)
class FoldDataset:
    """The rows of one fold.

    ``train``, ``valid``, ``test``: eligible rows, every one of them; validation and test are never
    resampled. ``fold``: where they lie on the clock.
    """

    train: Dataset
    valid: Dataset
    test: Dataset
    fold: Fold


@dataclass(frozen=True)
class FitConfig:
    """What to fit and how. ``imbalance``: sees the training rows only."""

    task: Task
    imbalance: ImbalanceStrategy
    evaluation: Evaluation
    groups: tuple[FeatureGroup, ...]
    runtime: Runtime


PROTOCOLS: dict[str, type] = {
    "event": EventClassifier,
    "forecast": Forecaster,
    "exceedance": ShareBaseline,
}
"""What a model, or a baseline, of each kind of target has to be; a surface's own model stands
elsewhere."""


def check_pair(model: object, name: str, task_kind: str) -> None:
    """Raise if a model cannot serve the target.

    ``model``: an instance of the chosen model or baseline. ``task_kind``: what the target asks for.
    Raises ConfigError: the pair is impossible.
    """
    protocol = PROTOCOLS[task_kind]
    if not isinstance(model, protocol):
        methods = [name for name in dir(protocol) if not name.startswith("_")]
        other = "scale_event" if task_kind == "forecast" else "utilization"
        raise ConfigError(
            f"model={name}",
            seen=f"a target of kind {task_kind}, for which {type(model).__name__} has no method",
            allowed=f"a model with {' and '.join(methods)}",
            fix=f"choose another model such as model=lightgbm, or target={other}",
        )


def check_imbalance(imbalance: str, target: str, task_kind: str) -> None:
    """Raise if a strategy for rare events is given for a target that is none.

    Raises ConfigError: the strategy makes no sense.
    """
    if task_kind != "event" and imbalance != "none":
        raise ConfigError(
            f"imbalance={imbalance}",
            seen=f"target={target}, which is a quantity, not a rare event",
            allowed=f"imbalance=none with target={target}",
            fix="set imbalance=none, or target=scale_event",
        )


def cut_fold(panel: Panel, table: FeatureTable, labels: Labels, fold: Fold) -> FoldDataset:
    """Return the eligible rows of each part of the fold."""
    eligible = labels.eligible[table.service, table.step]
    parts = []
    for start, stop in (fold.train, fold.valid, fold.test):
        inside = eligible & (table.step >= start) & (table.step < stop)
        rows = np.flatnonzero(inside)
        y = labels.y[table.service[rows], table.step[rows]]
        parts.append(Dataset(panel, table, rows, y))
    train, valid, test = parts
    return FoldDataset(train, valid, test, fold)


def check_fold(fold: FoldDataset, task: Task, *, tests: bool = True) -> None:
    """Raise if a part has no rows, or events without both classes in training.

    A fold that does not test is scored on its validation rows, so these need both classes too.
    Raises TargetError: nothing could be learned or measured.
    """
    parts = {"train": fold.train, "valid": fold.valid, "test": fold.test}
    for name, part in list(parts.items())[: 3 if tests else 2]:
        if len(part) == 0:
            raise TargetError(
                f"{name} fold",
                seen="0 eligible rows",
                allowed="at least one row with a known label",
                fix="give more history, or lower split.gap or target.horizon",
            )
    if not isinstance(task, EventTask):
        return
    for name in ("train",) if tests else ("train", "valid"):
        negatives, positives = count_classes(parts[name].y)
        if min(negatives, positives) == 0:
            raise TargetError(
                f"{name} fold",
                seen=f"{positives} positives and {negatives} negatives",
                allowed="at least one of each",
                fix="lower target.ceiling, lengthen target.horizon or give more history",
            )


def fit_model(
    name: str, model: object, fold: FoldDataset, fit_config: FitConfig, *, adjust: bool = True
) -> tuple[TrainedModel, TrainingLog]:
    """Fit on the training rows, calibrate and choose the threshold on the validation rows.

    Returns the model with its calibration, and what happened during the fit. ``model``: unfitted.
    ``fold``: the test rows are not read. ``adjust``: adjust forecast quantiles on the validation
    fold; a point baseline keeps its own.
    """
    bare, log = fit_uncalibrated(name, model, fold, fit_config)
    return _calibrate(bare, fold.valid, fit_config, adjust=adjust), log


def fit_uncalibrated(
    name: str, model: object, fold: FoldDataset, fit_config: FitConfig
) -> tuple[TrainedModel, TrainingLog]:
    """Fit on the training rows; the validation rows stop the training early, and no more."""
    task, train, valid = fit_config.task, fold.train, fold.valid
    if isinstance(task, EventTask):
        assert isinstance(model, EventClassifier)  # noqa: S101 - check_pair has spoken
        log = model.fit_events(train, valid, task, fit_config.imbalance, fit_config.runtime)
    else:
        assert isinstance(model, Forecaster)  # noqa: S101 - check_pair has spoken
        log = model.fit_forecast(train, valid, task, fit_config.runtime)
    panel = train.panel
    bare = TrainedModel(
        name=name,
        model=model,
        task=task,
        groups=fit_config.groups,
        features=train.table.names,
        metrics=panel.metrics,
        step=panel.step,
        calibrator=None,
        threshold=None,
        fitted_until=panel.timestamps[fold.fold.test[0] - 1],
    )
    return bare, log


def score_validation(trained: TrainedModel, fold: FoldDataset) -> float:
    """Return the figure of :func:`primary_metric` on the validation rows, before calibration.

    A calibration learned on these rows would flatter a forecast. Their use for early stopping
    does so a little, for every model alike.
    """
    from optimizer.evaluation.metrics.events import average_precision
    from optimizer.evaluation.metrics.forecasts import pinball

    raw, y, task = trained.raw(fold.valid), fold.valid.y, trained.task
    if isinstance(task, EventTask):
        return average_precision(y, raw)
    losses = [
        pinball(y[:, index], raw[:, index], task.quantiles) for index in range(len(task.horizons))
    ]
    return float(np.mean(losses))


def _calibrate(
    bare: TrainedModel, valid: Dataset, fit_config: FitConfig, *, adjust: bool
) -> TrainedModel:
    """Return the model with what the validation fold teaches."""
    if isinstance(fit_config.task, ForecastTask):
        if not adjust:
            return bare
        return replace(
            bare,
            calibrator=QuantileCalibrator(fit_config.task.quantiles).fit(bare.raw(valid), valid.y),
        )
    raw = bare.raw(valid)
    calibrator: Calibrator = fit_config.evaluation.calibrate(raw, valid.y)
    threshold = fit_config.evaluation.choose_threshold(valid.y, calibrator.predict(raw))
    return replace(bare, calibrator=calibrator, threshold=threshold)


def newer_rows(samples: Dataset, moments: Sequence[np.datetime64]) -> Dataset:
    """Return the rows later than every moment: newer than all that a model was fitted on."""
    return samples.select(samples.timestamps > max(moments))


def primary_metric(task: Task) -> tuple[str, int]:
    """Return the figure that decides between two models, and its sign: 1 if more is better."""
    return ("average_precision", 1) if isinstance(task, EventTask) else ("pinball", -1)
