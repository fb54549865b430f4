"""An exceedance model of XGBoost, in place of LightGBM."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xgboost as xgb

from optimizer.core.panel import FloatArray
from optimizer.core.state import Stateful
from optimizer.models.base import Runtime


class BoostedShare(Stateful):
    """The share of steps above a level, by XGBoost's logistic regression of shares.

    Parameters
    ----------
    rounds : int
        Trees.
    """

    def __init__(self, rounds: int = 100) -> None:
        self.rounds = rounds
        self._booster: Any = None

    def fit_exceedance(
        self, X: FloatArray, y: FloatArray, monotone: Sequence[int], runtime: Runtime
    ) -> None:
        """Learn shares from rows of one level each."""
        params = {
            "objective": "reg:logistic",
            "monotone_constraints": tuple(monotone),
            "seed": runtime.seed,
            "nthread": runtime.threads,
        }
        self._booster = xgb.train(params, xgb.DMatrix(X, y), self.rounds)

    def predict_exceedance(self, X: FloatArray) -> FloatArray:
        """Return shares in [0, 1], shape ``(n,)``."""
        return np.asarray(self._booster.inplace_predict(X))

    def contributions(self, X: FloatArray) -> FloatArray:
        """Return what each input adds to a row's log-odds, shape as ``X``."""
        return self._booster.predict(xgb.DMatrix(X), pred_contribs=True)[:, :-1]

    def get_state(self) -> dict[str, Any]:
        """Return the library's own form of the model: data, never a pickle."""
        fitted = self._booster is not None
        return {"booster": bytes(self._booster.save_raw("json")) if fitted else None}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`get_state` returned."""
        data = state["booster"]
        self._booster = None if data is None else xgb.Booster(model_file=bytearray(data))
