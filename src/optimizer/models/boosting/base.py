"""What the three boosters share: folds as matrices, imbalance, residuals, logs, importance.

A library's own module says how it bins, which objective it is given and how it predicts. Here
stands what must be the same for all of them, so that a comparison of boosters compares boosters.
"""

from __future__ import annotations

import logging
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from optimizer.core.durations import format_duration
from optimizer.core.panel import FloatArray
from optimizer.core.state import Stateful
from optimizer.core.validation import require_between, require_choice, require_count
from optimizer.models.base import Runtime, TrainingLog
from optimizer.models.boosting.data import (
    BoostingData,
    EventGoal,
    FittedBooster,
    Member,
    goal_of,
    residual_folds,
)
from optimizer.models.boosting.empirical_quantiles import empirical_quantiles
from optimizer.models.boosting.forecast_combination import mix, with_evidence
from optimizer.models.boosting.residual_baselines import RESIDUAL_BASELINES, residual_baselines_for
from optimizer.models.imbalance.base import ImbalanceStrategy
from optimizer.models.imbalance.focal import sigmoid
from optimizer.models.lookback import DAY
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import EventTask, ForecastTask

logger = logging.getLogger(__name__)

CHUNK_ROWS = 200_000
"""Rows predicted at a time: 128 MB of 160 features."""


class Booster(Stateful, ABC):
    """A gradient-boosted model that classifies events and forecasts quantiles.

    Parameters
    ----------
    rounds : int
        Trees at most (per output), at least 1.
    learning_rate : float
        Shrinkage in (0, 1].
    early_stopping_rounds : int
        Rounds without progress on the validation fold before stopping, at least 1.
    device : str
        ``auto`` (a GPU if there is one and the library can use it), ``cpu`` or ``gpu``.

    Notes
    -----
    Events: a fit with the log loss stops on the validation log loss. A weighted, resampled or
    focal fit is miscalibrated on purpose, which its log loss on untouched rows would punish, so
    it stops on average precision.

    Forecasts: below a day ahead each horizon has a model of the residual ``y(t + h) - y(t)`` on the
    last value observed (within 24 hours, else 0). From a day on it has four experts: a model of the
    level, one of the residual on the median of the last 72 hours, and the quantiles of these 72
    hours and of the same hour on the last 14 days as they are. They are averaged level by level,
    weighted by how well each did lately; see :mod:`optimizer.models.boosting.forecast_combination`.
    Validation stops each model on the pinball loss. Quantiles are sorted, and no less than 0, the
    lower bound of every metric, before they are averaged.

    References
    ----------
    Ratcliff, Group reaction time distributions and an analysis of distribution statistics,
    Psychological Bulletin 1979; Lichtendahl, Grushka-Cockayne and Winkler, Is it better to
    average probabilities or quantiles?, Management Science 2013.
    """

    fitted_attributes: ClassVar[tuple[str, ...]] = (
        "_fitted", "_members", "_names", "_metric", "_task", "_last_trained", "_threads",
    )  # fmt: skip

    name = "booster"

    def __init__(
        self, rounds: int, learning_rate: float, early_stopping_rounds: int, device: str
    ) -> None:
        self.rounds = require_count("model.rounds", rounds, 1, fix=600)
        self.learning_rate = require_between(
            "model.learning_rate", learning_rate, 0.0, 1.0, fix=0.05, open_low=True
        )
        self.early_stopping_rounds = require_count(
            "model.early_stopping_rounds", early_stopping_rounds, 1, fix=40
        )
        self.device = require_choice("model.device", device, ("auto", "cpu", "gpu"))
        self._fitted: tuple[FittedBooster, ...] = ()
        self._members: tuple[Member, ...] = ()
        self._names: tuple[str, ...] = ()
        self._metric = ""
        self._task: ForecastTask | None = None
        self._last_trained = np.datetime64("NaT", "us")
        self._threads = 1

    def fit_events(
        self,
        train: Dataset,
        valid: Dataset,
        task: EventTask,
        imbalance: ImbalanceStrategy,
        runtime: Runtime,
    ) -> TrainingLog:
        """Learn from the training rows; the validation rows only stop the training early."""
        self._begin(train, task.metric, runtime)
        X, y, line = train.matrix(), train.y, ""
        if imbalance.resamples:
            X, y, line = imbalance.resample(X, y, runtime.seed)
        fold = BoostingData(X, y, valid.matrix(), valid.y, imbalance.sample_weight(y))
        goal = goal_of(fold, imbalance)
        fitted = self._on_device(lambda device: self._train_events(fold, goal, device, runtime))
        self._fitted = (fitted,)
        notes = [line] if line else []
        if goal.stop_on is None:
            notes.append("no early stopping: the validation fold has one class only")
        for note in notes:
            logger.info("%s", note)
        metric = (goal.stop_on or "average_precision").replace("_", " ")
        return TrainingLog(fitted.curves, metric, fitted.best_iteration, tuple(notes))

    def score_events(self, samples: Dataset) -> FloatArray:
        """Return the probability of an event per row, shape ``(n,)``."""
        fitted = self._fitted[0]
        out = np.empty(len(samples), dtype=np.float32)
        for part in _chunks(len(samples)):
            margin = self._margin(fitted.model, self._matrix(samples, part))
            out[part] = sigmoid(margin + fitted.offset)
        return out

    def fit_forecast(
        self, train: Dataset, valid: Dataset, task: ForecastTask, runtime: Runtime
    ) -> TrainingLog:
        """Learn each horizon's models of the residual, from rows whose future was observed."""
        self._begin(train, task.metric, runtime)
        members: list[Member] = []
        curves: dict[str, list[float]] = {}
        count = sum(len(residual_baselines_for(horizon)) for horizon in task.horizons)
        for position, horizon in enumerate(task.horizons):
            for anchor, fold in residual_folds(train, valid, task, position):
                watch = runtime.watch.part(len(members), count)
                fitted = self._fit_horizon(fold, task.quantiles, replace(runtime, watch=watch))
                members.append(Member(position, anchor, fitted))
                for curve, values in fitted.curves.items():
                    curves[f"{curve} {anchor} {format_duration(horizon)}"] = values
        self._members = tuple(members)
        self._task, self._last_trained = task, train.timestamps.max()
        self._fitted = tuple(member.fitted for member in members)
        best = max(one.best_iteration for one in self._fitted)
        return TrainingLog(curves, "pinball loss", best)

    def predict_quantiles(self, samples: Dataset) -> FloatArray:
        """Return quantiles, shape ``(n, n_horizons, n_quantiles)``, ascending along the last.

        Information at time t: features and panel up to t. From a day ahead on the table's past
        rows are predicted too, to weigh the experts.
        """
        assert self._task is not None  # noqa: S101 - fit_forecast comes first
        columns = [
            self._weighted(samples, position, self._task)
            if horizon >= DAY
            else self._member_quantiles(samples, position)[0]
            for position, horizon in enumerate(self._task.horizons)
        ]
        return np.stack(columns, axis=1)

    def _weighted(self, samples: Dataset, position: int, task: ForecastTask) -> FloatArray:
        """Return a horizon's quantiles, weighted by recent loss, shape ``(n, n_quantiles)``."""
        past = with_evidence(samples, task, position, self._last_trained)
        models = self._member_quantiles(past, position)
        own = empirical_quantiles(past, models, task, position)
        return mix(models, own, past, samples.rows, task, position)

    def _member_quantiles(self, samples: Dataset, position: int) -> list[FloatArray]:
        """Return the quantiles of each of a horizon's models, shape ``(n, n_quantiles)``."""
        members = [member for member in self._members if member.position == position]
        anchors = [RESIDUAL_BASELINES[member.anchor](samples, self._metric) for member in members]
        parts: list[list[FloatArray]] = [[] for _ in members]
        for part in _chunks(len(samples)):
            X = self._matrix(samples, part)
            for found, member, anchor in zip(parts, members, anchors, strict=True):
                quantiles = self._quantiles(member.fitted.model, X) + anchor[part, None]
                found.append(np.maximum(np.sort(quantiles, axis=-1), 0.0).astype(np.float32))
        return [np.concatenate(found) for found in parts]

    def importance(self) -> dict[str, float]:
        """Return each feature's share of the gain of all splits, summing to 1."""
        gains = np.zeros(len(self._names))
        for fitted in self._fitted:
            gain = self._gains(fitted.model)
            gains += gain / max(float(gain.sum()), 1e-300)
        share = gains / gains.sum() if gains.sum() > 0.0 else np.full_like(gains, 1 / len(gains))
        return dict(zip(self._names, share.tolist(), strict=True))

    def get_state(self) -> dict[str, Any]:
        """Return what was learned, each library model as the bytes of its own format."""
        fitted = tuple(one.converted(self._write) for one in self._fitted)
        members = tuple((member.position, member.anchor) for member in self._members)
        return super().get_state() | {"fitted": fitted, "members": members}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take what :meth:`get_state` returned."""
        fitted = tuple(one.converted(self._read) for one in state["fitted"])
        named = zip(state["members"], fitted, strict=False)  # a fit to events has no members
        members = tuple(Member(position, anchor, one) for (position, anchor), one in named)
        super().set_state(state | {"fitted": fitted, "members": members})

    @abstractmethod
    def _write(self, model: Any) -> bytes:
        """Return a library model in the library's own format."""

    @abstractmethod
    def _read(self, data: bytes) -> Any:
        """Return the library model of :meth:`_write`."""

    @abstractmethod
    def _train_events(
        self, fold: BoostingData, goal: EventGoal, device: str, runtime: Runtime
    ) -> FittedBooster:
        """Fit a classifier on ``device``, ``"cpu"`` or ``"gpu"``."""

    @abstractmethod
    def _train_quantiles(
        self, fold: BoostingData, quantiles: tuple[float, ...], device: str, runtime: Runtime
    ) -> FittedBooster:
        """Fit all quantiles of one horizon."""

    @abstractmethod
    def _margin(self, model: Any, X: FloatArray) -> NDArray[np.floating]:
        """Return log-odds, shape ``(n,)``."""

    @abstractmethod
    def _quantiles(self, model: Any, X: FloatArray) -> NDArray[np.floating]:
        """Return quantiles of the residual, shape ``(n, n_quantiles)``."""

    @abstractmethod
    def _gains(self, model: Any) -> NDArray[np.float64]:
        """Return the gain of all splits per feature, shape ``(n_features,)``."""

    @abstractmethod
    def _library_error(self) -> type[Exception]:
        """Return what the library raises where it cannot use a GPU."""

    def _begin(self, train: Dataset, metric: str, runtime: Runtime) -> None:
        self._names = train.table.names
        self._metric = metric
        self._threads = runtime.threads

    def _fit_horizon(
        self, fold: BoostingData, quantiles: tuple[float, ...], runtime: Runtime
    ) -> FittedBooster:
        return self._on_device(
            lambda device: self._train_quantiles(fold, quantiles, device, runtime)
        )

    def _matrix(self, samples: Dataset, part: slice) -> FloatArray:
        return samples.table.take(samples.rows[part], self._names)

    def _on_device(self, train: Callable[[str], FittedBooster]) -> FittedBooster:
        """Train on the device chosen; under ``auto``, on the CPU if the GPU fails."""
        if self.device != "auto" or not has_gpu():
            return train("gpu" if self.device == "gpu" else "cpu")
        try:
            return train("gpu")
        except self._library_error() as error:
            logger.warning("%s cannot use the GPU, so it uses the CPU: %s", self.name, error)
            return train("cpu")


def least_leaf(limit: float, rows: int) -> float:
    """Return the rows that a leaf of a quantile tree holds at least.

    A quantile is read off the tail of its leaf, so a small leaf memorises. On few rows the limit
    gives way to 1 % of them, or no tree could split.
    """
    return max(1, min(limit, rows // 100))


def has_gpu() -> bool:
    """Tell whether an NVIDIA GPU is there, without importing a heavy library."""
    return Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi") is not None


def _chunks(n: int) -> list[slice]:
    return [slice(start, start + CHUNK_ROWS) for start in range(0, max(n, 1), CHUNK_ROWS)]
