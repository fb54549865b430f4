"""What the event rules share: a score read from the panel, with nothing to learn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from optimizer.core.panel import FloatArray
from optimizer.core.state import Stateful
from optimizer.models.base import Runtime, TrainingLog
from optimizer.models.imbalance.base import ImbalanceStrategy
from optimizer.models.lookback import gather, last_observed
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import EventTask


class HeuristicClassifier(Stateful, ABC):
    """An event score that is one number read from the past; the imbalance strategy is moot.

    Where that number is missing the score is the last value observed, else 0. Scores are
    clipped to [0, 1]; they rank rows, and calibration makes probabilities of them.
    """

    fitted_attributes: ClassVar[tuple[str, ...]] = ("_event_task",)

    _event_task: EventTask

    def fit_events(
        self,
        train: Dataset,
        valid: Dataset,
        task: EventTask,
        imbalance: ImbalanceStrategy,
        runtime: Runtime,
    ) -> TrainingLog:
        """Remember the task: a rule learns nothing."""
        self._event_task = task
        return TrainingLog()

    def score_events(self, samples: Dataset) -> FloatArray:
        """Return the rule's number clipped to [0, 1], shape ``(n,)``."""
        score = self._score(samples, self._event_task)
        last = last_observed(samples.panel.metric(self._event_task.metric))
        score = np.where(np.isnan(score), gather(last, samples.service, samples.step), score)
        return np.clip(np.nan_to_num(score), 0.0, 1.0).astype(np.float32)

    @abstractmethod
    def _score(self, samples: Dataset, task: EventTask) -> FloatArray:
        """Return the number per row, shape ``(n,)``, NaN in gaps."""
