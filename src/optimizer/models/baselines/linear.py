"""Ridge regression on eight features: the linear forecast."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between
from optimizer.models.base import Runtime
from optimizer.models.baselines.residual_quantiles import PointForecaster
from optimizer.models.baselines.standardised import StandardisedLinear
from optimizer.models.lookback import eight_features, gather, last_observed
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import ForecastTask


class Linear(PointForecaster):
    """Ridge regression of the residual on persistence, one per horizon.

    Parameters
    ----------
    alpha : float
        L2 penalty, at least 0.

    Notes
    -----
    ``y(t + h)`` minus the last value observed is regressed on the eight features of
    :func:`optimizer.models.lookback.eight_features`, standardised, gaps imputed by the training
    fold's median. Quantiles come from the residuals, as for every point baseline.
    """

    fitted_attributes: ClassVar[tuple[str, ...]] = ("_models",)

    def __init__(self, alpha: float = 1.0) -> None:
        require_between("model.alpha", alpha, 0.0, fix=1.0)
        self.alpha = float(alpha)
        self._models: tuple[StandardisedLinear, ...] = ()

    def _learn(self, train: Dataset, task: ForecastTask, runtime: Runtime) -> None:
        from sklearn.linear_model import Ridge

        X, anchor = self._inputs(train, task)
        models = []
        for position in range(len(task.horizons)):
            residual = train.y[:, position] - anchor
            known = ~np.isnan(residual)
            rows = X[known], residual[known]
            ridge = Ridge(alpha=self.alpha)
            models.append(StandardisedLinear.fit(ridge, *rows, runtime.threads))
        self._models = tuple(models)

    def _points(self, samples: Dataset, task: ForecastTask) -> FloatArray:
        X, anchor = self._inputs(samples, task)
        columns = [anchor + model.predict(X) for model in self._models]
        return np.stack(columns, axis=1).astype(np.float32)

    def _inputs(self, samples: Dataset, task: ForecastTask) -> tuple[FloatArray, FloatArray]:
        last = last_observed(samples.panel.metric(task.metric))
        anchor = gather(last, samples.service, samples.step)
        X = eight_features(samples.panel, task.metric, samples.service, samples.step)
        return X, anchor
