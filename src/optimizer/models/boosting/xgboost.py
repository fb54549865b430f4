"""XGBoost: depth-wise trees on histograms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between, require_count
from optimizer.models.base import Runtime
from optimizer.models.boosting.base import Booster, least_leaf
from optimizer.models.boosting.data import BoostingData, EventGoal, FittedBooster
from optimizer.models.boosting.xgboost_dask import train_on_dask
from optimizer.models.callbacks import TrainingCallback, round_bar

METRICS = {"log_loss": "logloss", "average_precision": "aucpr"}


class XGBoost(Booster):
    """XGBoost for events and quantiles.

    Parameters
    ----------
    rounds, learning_rate, early_stopping_rounds, device
        See :class:`optimizer.models.boosting.base.Booster`.
    max_depth : int
        Levels of a tree at most, at least 1.
    min_child_weight : float
        Sum of Hessians of a leaf at least, of events; at least 0.
    quantile_min_child_weight : float
        Rows of a leaf at least, of forecasts, but no more than 1 % of the rows.
    colsample_bytree, subsample : float
        Share of features and of rows that a tree sees, in (0, 1].
    reg_lambda : float
        L2 penalty of leaf values, at least 0.
    distributed : bool
        Train on the Dask workers of the runner, each holding a part of the rows.

    Notes
    -----
    All quantiles of a horizon are one booster with one tree per quantile and round. A distributed
    fit reports to no watcher, so it is not pruned.

    References
    ----------
    Chen and Guestrin, XGBoost: A Scalable Tree Boosting System, KDD 2016.
    """

    name = "xgboost"

    def __init__(  # noqa: PLR0913  (a yaml's keys)
        self,
        rounds: int = 600,
        learning_rate: float = 0.05,
        early_stopping_rounds: int = 40,
        device: str = "auto",
        *,
        max_depth: int = 6,
        min_child_weight: float = 5.0,
        quantile_min_child_weight: float = 1000.0,
        colsample_bytree: float = 0.3,
        subsample: float = 0.8,
        reg_lambda: float = 10.0,
        distributed: bool = False,
    ) -> None:
        super().__init__(rounds, learning_rate, early_stopping_rounds, device)
        self.max_depth = require_count("model.max_depth", max_depth, 1, fix=6)
        self.min_child_weight = require_between(
            "model.min_child_weight", min_child_weight, 0.0, fix=5.0
        )
        for key, value in (("colsample_bytree", colsample_bytree), ("subsample", subsample)):
            require_between(f"model.{key}", value, 0.0, 1.0, fix=0.5, open_low=True)
        self.reg_lambda = require_between("model.reg_lambda", reg_lambda, 0.0, fix=10.0)
        self.quantile_min_child_weight = require_between(
            "model.quantile_min_child_weight", quantile_min_child_weight, 0.0, fix=1000.0
        )
        self.colsample_bytree = colsample_bytree
        self.subsample = subsample
        self.distributed = distributed

    def _params(self, device: str, runtime: Runtime) -> dict[str, Any]:
        return {
            "learning_rate": self.learning_rate,
            "max_depth": self.max_depth,
            "min_child_weight": self.min_child_weight,
            "colsample_bytree": self.colsample_bytree,
            "subsample": self.subsample,
            "reg_lambda": self.reg_lambda,
            "tree_method": "hist",
            "device": {"gpu": "cuda"}.get(device, device),
            "nthread": runtime.threads,
            "seed": runtime.seed,
            "verbosity": 0,
        }

    def _train_events(
        self, fold: BoostingData, goal: EventGoal, device: str, runtime: Runtime
    ) -> FittedBooster:
        params = self._params(device, runtime)
        params["eval_metric"] = METRICS[goal.stop_on or "average_precision"]
        watched = (METRICS["average_precision"], 1.0)
        if goal.loss is None:
            params["objective"] = "binary:logistic"
        else:
            # The default objective has the identity as link, so base_score is a margin.
            params |= {"objective": "reg:squarederror", "base_score": goal.start}
        stops = goal.stop_on is not None
        return self._boost(params, fold, runtime, goal, watched, stops=stops)

    def _train_quantiles(
        self, fold: BoostingData, quantiles: tuple[float, ...], device: str, runtime: Runtime
    ) -> FittedBooster:
        # The Hessian of the pinball loss is 1 per row, so a leaf's weight is its rows.
        params = self._params(device, runtime) | {
            "objective": "reg:quantileerror",
            "quantile_alpha": list(quantiles),
            "eval_metric": "quantile",
            "min_child_weight": least_leaf(self.quantile_min_child_weight, len(fold.y)),
        }
        scale = fold.constant_loss(quantiles) if runtime.watch.active else 1.0
        return self._boost(params, fold, runtime, None, ("quantile", scale), stops=True)

    def _boost(
        self,
        params: dict[str, Any],
        fold: BoostingData,
        runtime: Runtime,
        goal: EventGoal | None,
        watched: tuple[str, float],
        *,
        stops: bool,
    ) -> FittedBooster:
        """Train, and report the watched metric divided by its scale."""
        patience = [self._patience(params["eval_metric"])] if stops else []
        if runtime.watch.active:
            params["eval_metric"] = list(dict.fromkeys((params["eval_metric"], watched[0])))
        if self.distributed:
            booster, traces = train_on_dask(params, self.rounds, fold, goal, runtime, patience)
        else:
            with round_bar(self.rounds, self.name, runtime.progress) as tick:
                callbacks = [self._ticker(tick, runtime.watch, watched), *patience]
                booster, traces = _train(params, self.rounds, fold, goal, callbacks)
        curves = {name: next(iter(trace.values())) for name, trace in traces.items()}
        booster.set_param({"device": "cpu"})
        return FittedBooster(booster, curves, booster.num_boosted_rounds())

    def _ticker(
        self, tick: Callable[[], None], watch: TrainingCallback, watched: tuple[str, float]
    ) -> Any:
        """Return a callback that draws the bar and reports."""
        from xgboost.callback import TrainingCallback

        rounds, (name, scale) = self.rounds, watched

        class Tick(TrainingCallback):  # type: ignore[misc]
            def after_iteration(self, _: object, epoch: int, log: Any) -> bool:
                tick()
                if watch.active:
                    watch.report((epoch + 1) / rounds, log["valid"][name][-1] / scale)
                return False

        return Tick()

    def _patience(self, metric: str) -> Any:
        """Return a callback that stops early and cuts to the best round."""
        from xgboost.callback import EarlyStopping

        return EarlyStopping(
            rounds=self.early_stopping_rounds,
            metric_name=metric,
            data_name="valid",
            maximize=metric == "aucpr",
            save_best=True,
        )

    def _margin(self, model: Any, X: FloatArray) -> NDArray[np.floating]:
        return self._predict(model, X, "margin")

    def _quantiles(self, model: Any, X: FloatArray) -> NDArray[np.floating]:
        return self._predict(model, X, "value").reshape(len(X), -1)

    def _predict(self, model: Any, X: FloatArray, kind: str) -> NDArray[np.floating]:
        model.set_param({"nthread": self._threads})
        found: NDArray[np.floating] = model.inplace_predict(X, predict_type=kind)
        return found

    def _gains(self, model: Any) -> NDArray[np.float64]:
        found = model.get_score(importance_type="total_gain")
        return np.array([found.get(f"f{index}", 0.0) for index in range(len(self._names))])

    def _write(self, model: Any) -> bytes:
        return bytes(model.save_raw("json"))

    def _read(self, data: bytes) -> Any:
        from xgboost import Booster as Library

        return Library(model_file=bytearray(data))

    def _library_error(self) -> type[Exception]:
        from xgboost.core import XGBoostError

        error: type[Exception] = XGBoostError
        return error


def _train(
    params: dict[str, Any],
    rounds: int,
    fold: BoostingData,
    goal: EventGoal | None,
    callbacks: list[Any],
) -> tuple[Any, dict[str, dict[str, list[float]]]]:
    """Return the booster and its traces."""
    import xgboost as xgb

    threads = params["nthread"]
    fit = xgb.QuantileDMatrix(fold.X, fold.y, weight=fold.weight, nthread=threads)
    valid = xgb.QuantileDMatrix(fold.X_valid, fold.y_valid, ref=fit, nthread=threads)
    focal = None if goal is None or goal.loss is None else goal.objective(fold.y)
    traces: dict[str, dict[str, list[float]]] = {}
    booster = xgb.train(
        params,
        fit,
        num_boost_round=rounds,
        evals=[(fit, "train")] * fold.records_training + [(valid, "valid")],
        obj=None if focal is None else lambda margin, _: focal(margin),
        evals_result=traces,
        verbose_eval=False,
        callbacks=callbacks,
    )
    return booster, traces
