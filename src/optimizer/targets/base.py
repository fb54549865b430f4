"""The protocol of a target: from a panel to labels, and to the task a model is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import pandas as pd

from optimizer.core.panel import BoolArray, FloatArray, Panel
from optimizer.targets.task import Task

Kind = Literal["event", "forecast", "exceedance"]
"""Who learns it and how: see ``flows/train.py``."""


@dataclass(frozen=True)
class Labels:
    """The truth that a target reads off the telemetry.

    - ``y``: float32, shape ``(n_services, n_steps)`` for events (0 or 1, NaN where unknown),
      ``(n_services, n_steps, n_horizons)`` for forecasts (NaN where unobserved).
    - ``eligible``: bool, shape ``(n_services, n_steps)``: rows that are trained on, predicted and
      scored.
    - ``events``: bool, shape ``(n_services, n_steps)``: steps at which an event begins; all False
      for forecasts.
    - ``rule``: how the label was made, for the report.
    """

    y: FloatArray
    eligible: BoolArray
    events: BoolArray
    rule: str


@runtime_checkable
class Target(Protocol):
    """What is to be predicted; reads the future of t by definition, features never do."""

    @property
    def kind(self) -> Kind:
        """What sort of a target it is."""
        ...

    @property
    def metric(self) -> str:
        """The metric that the target is about."""
        ...

    @property
    def gap(self) -> pd.Timedelta:
        """Least distance between two folds: the horizon plus the label's look-ahead."""
        ...


@runtime_checkable
class RowTarget(Target, Protocol):
    """A target that labels rows of the feature table: an event or a forecast."""

    def task(self, step: pd.Timedelta) -> Task:
        """Return the task for models on a clock of this step.

        Raises ConfigError: a horizon is shorter than a step.
        """
        ...

    def label(self, panel: Panel) -> Labels:
        """Return the labels of every row. Raises ConfigError: the telemetry lacks the metric."""
        ...
