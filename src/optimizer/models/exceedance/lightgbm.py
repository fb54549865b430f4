"""LightGBM for shares of steps above a level: what the exceedance surface is made of by default."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from optimizer.core.panel import FloatArray
from optimizer.core.state import Stateful
from optimizer.core.validation import require_between, require_count
from optimizer.models.base import Runtime
from optimizer.models.boosting.lightgbm import read_booster, write_booster


class ExceedanceLightGBM(Stateful):
    """One global LightGBM of the share of exceeding steps, with cross-entropy as its loss.

    Raises ConfigError: a setting is out of its range; it is named ``model.<setting>``.

    Parameters
    ----------
    rounds : int
        Trees, at least 1.
    learning_rate, feature_fraction : float
        Shrinkage, and share of inputs that a tree sees, in (0, 1].
    num_leaves, min_child_samples : int
        Leaves of a tree at most, and rows of a leaf at least.
    lambda_l2 : float
        L2 penalty of leaf values, at least 0.

    References
    ----------
    Meinshausen, Quantile Regression Forests, JMLR 2006 (whole distributions from trees).
    """

    fitted_attributes: ClassVar[tuple[str, ...]] = ("_booster", "_threads")

    def __init__(
        self,
        *,
        rounds: int = 300,
        learning_rate: float = 0.05,
        num_leaves: int = 31,
        min_child_samples: int = 100,
        feature_fraction: float = 0.4,
        lambda_l2: float = 5.0,
    ) -> None:
        self.rounds = require_count("model.rounds", rounds, 1, fix=300)
        self.num_leaves = require_count("model.num_leaves", num_leaves, 2, fix=31)
        self.min_child_samples = require_count(
            "model.min_child_samples", min_child_samples, 1, fix=100
        )
        self.learning_rate = require_between(
            "model.learning_rate", learning_rate, 0.0, 1.0, fix=0.05, open_low=True
        )
        self.feature_fraction = require_between(
            "model.feature_fraction", feature_fraction, 0.0, 1.0, fix=0.4, open_low=True
        )
        self.lambda_l2 = require_between("model.lambda_l2", lambda_l2, 0.0, fix=5.0)
        self._threads = 1
        self._booster: Any = None

    def get_state(self) -> dict[str, Any]:
        """Return what was learned, the booster as LightGBM's text; None before a fit."""
        booster = None if self._booster is None else write_booster(self._booster)
        return super().get_state() | {"booster": booster}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take what :meth:`get_state` returned."""
        booster = None if state["booster"] is None else read_booster(state["booster"])
        super().set_state(state | {"booster": booster})

    def fit_exceedance(
        self, X: FloatArray, y: FloatArray, monotone: Sequence[int], runtime: Runtime
    ) -> None:
        """Learn shares in [0, 1] from rows of one level each."""
        import lightgbm as lgb

        data = lgb.Dataset(X, y, params={"verbosity": -1, "max_bin": 255})
        params = {
            "objective": "cross_entropy",
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "min_data_in_leaf": self.min_child_samples,
            "feature_fraction": self.feature_fraction,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "lambda_l2": self.lambda_l2,
            "monotone_constraints": list(monotone),
            "seed": runtime.seed,
            "deterministic": True,
            "force_col_wise": True,
            "num_threads": runtime.threads,
            "verbosity": -1,
        }
        self._threads = runtime.threads
        self._booster = lgb.train(params, data, self.rounds)

    def predict_exceedance(self, X: FloatArray) -> FloatArray:
        """Return shares in [0, 1], shape ``(n,)``."""
        return np.asarray(self._booster.predict(X, num_threads=self._threads))

    def contributions(self, X: FloatArray) -> FloatArray:
        """Return the SHAP value of every input, shape as ``X``: LightGBM's exact TreeSHAP."""
        shap = self._booster.predict(X, pred_contrib=True, num_threads=self._threads)
        return np.asarray(shap[:, :-1], dtype=np.float32)
