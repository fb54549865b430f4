"""Logistic regression on eight features: what a linear model makes of the past."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from optimizer.core.panel import FloatArray
from optimizer.core.state import Stateful
from optimizer.core.validation import require_between
from optimizer.models.base import Runtime, TrainingLog
from optimizer.models.baselines.standardised import StandardisedLinear
from optimizer.models.imbalance.base import ImbalanceStrategy
from optimizer.models.imbalance.focal import sigmoid
from optimizer.models.imbalance.sampling import require_positives
from optimizer.models.lookback import EIGHT, eight_features
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import EventTask


class Logistic(Stateful):
    """Standardised logistic regression on eight features of the metric.

    Parameters
    ----------
    C : float
        Inverse of the L2 penalty, above 0.

    Notes
    -----
    The features (see :func:`optimizer.models.lookback.eight_features`) come from the panel, so the
    baseline is the same whatever features are configured. Gaps are imputed by the training
    fold's median. Weights and resampling are honoured; a focal loss is not its loss, and it
    keeps the log loss.
    """

    fitted_attributes: ClassVar[tuple[str, ...]] = ("_model", "_metric")

    _model: StandardisedLinear

    def __init__(self, C: float = 1.0) -> None:
        require_between("model.C", C, 0.0, fix=1.0, open_low=True)
        self.C = float(C)
        self._metric = ""

    def fit_events(
        self,
        train: Dataset,
        valid: Dataset,
        task: EventTask,
        imbalance: ImbalanceStrategy,
        runtime: Runtime,
    ) -> TrainingLog:
        """Fit on the training rows; validation is not used."""
        from sklearn.linear_model import LogisticRegression

        self._metric = task.metric
        require_positives(train.y, 1)
        X, y, line = self._matrix(train), train.y, ""
        if imbalance.resamples:
            X, y, line = imbalance.resample(X, y, runtime.seed)
        solver = LogisticRegression(C=self.C, solver="newton-cholesky", random_state=runtime.seed)
        given = {"logisticregression__sample_weight": imbalance.sample_weight(y)}
        self._model = StandardisedLinear.fit(solver, X, y > 0.5, runtime.threads, **given)
        notes = [line] if line else []
        if imbalance.loss is not None:
            notes.append("logistic keeps the log loss: it has no focal loss")
        return TrainingLog(notes=tuple(notes))

    def score_events(self, samples: Dataset) -> FloatArray:
        """Return the probability of an event per row, shape ``(n,)``."""
        return sigmoid(self._model.predict(self._matrix(samples)))

    def importance(self) -> dict[str, float]:
        """Return each feature's share of the absolute standardised coefficients."""
        size = np.abs(self._model.coef)
        share = size / size.sum() if size.sum() > 0.0 else np.full(len(size), 1.0 / len(size))
        return dict(zip(EIGHT, share.tolist(), strict=True))

    def _matrix(self, samples: Dataset) -> FloatArray:
        return eight_features(samples.panel, self._metric, samples.service, samples.step)
