"""A linear model on imputed, standardised inputs, as the plain numbers that it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class StandardisedLinear:
    """What a pipeline of imputer, scaler and linear model computes.

    ``median``: float64, shape ``(n_inputs,)``: stands in for gaps. ``mean``, ``scale``: float64,
    same shape: what inputs are standardised by. ``coef``: float64, same shape: weights of the
    standardised inputs.
    """

    median: Vector
    mean: Vector
    scale: Vector
    coef: Vector
    intercept: float

    @classmethod
    def fit(
        cls, solver: Any, X: FloatArray, y: NDArray[Any], threads: int, **given: Any
    ) -> StandardisedLinear:
        """Return the numbers of a fitted pipeline of scikit-learn, whose objects change by version.

        ``solver``: its last step, unfitted. ``given``: what ``fit`` of the pipeline takes besides.
        """
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        imputer = SimpleImputer(strategy="median", keep_empty_features=True)
        pipeline = make_pipeline(imputer, StandardScaler(), solver)
        with threadpool_limits(threads):
            pipeline.fit(X, y, **given)
        imputer, scaler, linear = (step for _, step in pipeline.steps)
        parts = (imputer.statistics_, scaler.mean_, scaler.scale_, np.ravel(linear.coef_))
        median, mean, scale, coef = (np.asarray(part, dtype=np.float64) for part in parts)
        return cls(median, mean, scale, coef, float(np.ravel(linear.intercept_)[0]))

    def predict(self, X: FloatArray) -> Vector:
        """Return the weighted sum per row, float64, shape ``(n,)``; for events it is log-odds."""
        inputs = (np.where(np.isnan(X), self.median, X) - self.mean) / self.scale
        return inputs @ self.coef + self.intercept
