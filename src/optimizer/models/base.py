"""The protocols of models: events, forecasts, and shares of steps above a level."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from optimizer.core.panel import FloatArray
from optimizer.models.callbacks import TrainingCallback
from optimizer.models.imbalance.base import ImbalanceStrategy
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import EventTask, ForecastTask


@dataclass(frozen=True)
class Runtime:
    """How to run, apart from what to learn.

    ``seed``: seeds every random choice. ``threads``: threads a library may use, at least 1.
    ``progress``: show progress bars (only on a terminal). ``watch``: told how the training goes;
    may end it. ``scheduler``: address of the Dask scheduler that a distributed fit runs on.
    """

    seed: int = 7
    threads: int = 1
    progress: bool = False
    watch: TrainingCallback = field(default_factory=TrainingCallback)
    scheduler: str | None = None


@dataclass(frozen=True)
class TrainingLog:
    """What happened during a fit.

    ``curves``: per curve name (for example ``"train"``, ``"valid"``) one value per iteration or
    epoch. ``best_iteration``: the iteration kept by early stopping, from 1; 0 if the model does not
    iterate. ``notes``: lines worth showing the user, for example how many rows were resampled.
    """

    curves: dict[str, list[float]] = field(default_factory=dict)
    metric: str = ""
    best_iteration: int = 0
    notes: tuple[str, ...] = ()


@runtime_checkable
class EventClassifier(Protocol):
    """A model that scores how likely an event is."""

    def fit_events(
        self,
        train: Dataset,
        valid: Dataset,
        task: EventTask,
        imbalance: ImbalanceStrategy,
        runtime: Runtime,
    ) -> TrainingLog:
        """Learn from the training rows; the validation rows only stop the training early."""
        ...

    def score_events(self, samples: Dataset) -> FloatArray:
        """Return a score in [0, 1] per row, shape ``(n,)``; higher is likelier."""
        ...


@runtime_checkable
class Forecaster(Protocol):
    """A model that forecasts quantiles at each horizon."""

    def fit_forecast(
        self, train: Dataset, valid: Dataset, task: ForecastTask, runtime: Runtime
    ) -> TrainingLog:
        """Learn from the training rows; the validation rows only stop the training early."""
        ...

    def predict_quantiles(self, samples: Dataset) -> FloatArray:
        """Return quantiles, shape ``(n, n_horizons, n_quantiles)``, ascending along the last."""
        ...


@runtime_checkable
class ExceedanceModel(Protocol):
    """A model of the share of coming steps above a level: what an exceedance surface is made of."""

    def fit_exceedance(
        self, X: FloatArray, y: FloatArray, monotone: Sequence[int], runtime: Runtime
    ) -> None:
        """Learn shares from rows of one level each.

        ``X``: float32, shape ``(n, n_inputs)``; NaN where unknown. ``y``: float32, shape ``(n,)``,
        in [0, 1]. ``monotone``: per input 1 if the share never falls in it, -1 if it never rises,
        else 0.
        """
        ...

    def predict_exceedance(self, X: FloatArray) -> FloatArray:
        """Return shares in [0, 1], shape ``(n,)``."""
        ...

    def contributions(self, X: FloatArray) -> FloatArray:
        """Return what each input adds to a row's log-odds, shape as ``X``."""
        ...


@runtime_checkable
class Explainable(Protocol):
    """A model that can say which inputs mattered."""

    def importance(self) -> dict[str, float]:
        """Return the share of each input, summing to 1."""
        ...


def available_cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
