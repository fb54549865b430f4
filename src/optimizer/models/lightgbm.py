"""LightGBM: leaf-wise trees on histograms; the default model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.features.panel import FloatArray
from optimizer.models.base import Runtime
from optimizer.models.boosting import Booster, least_leaf
from optimizer.models.boosting_data import EventGoal, Fitted, Fold
from optimizer.models.progress import round_bar
from optimizer.ranges import require_between, require_count

METRICS = {"log_loss": "binary_logloss", "average_precision": "average_precision"}


class LightGBM(Booster):
    """LightGBM for events and quantiles.

    Parameters
    ----------
    rounds, learning_rate, early_stopping_rounds, device
        See :class:`optimizer.models.boosting.Booster`.
    num_leaves : int
        Leaves of a tree at most, at least 2.
    min_child_samples : int
        Rows of a leaf at least, of events.
    quantile_min_child_samples : int
        The same of forecasts, but no more than 1 % of the rows.
    feature_fraction, bagging_fraction : float
        Share of features and of rows that a tree sees, in (0, 1].
    lambda_l2 : float
        L2 penalty of leaf values, at least 0.

    Notes
    -----
    Quantiles are one booster each; those of a horizon share one binned dataset.

    References
    ----------
    Ke et al., LightGBM: A Highly Efficient Gradient Boosting Decision Tree, NeurIPS 2017.
    """

    name = "lightgbm"

    def __init__(  # noqa: PLR0913  (a yaml's keys)
        self,
        rounds: int = 600,
        learning_rate: float = 0.05,
        early_stopping_rounds: int = 40,
        device: str = "auto",
        *,
        num_leaves: int = 63,
        min_child_samples: int = 200,
        quantile_min_child_samples: int = 1000,
        feature_fraction: float = 0.3,
        bagging_fraction: float = 0.8,
        lambda_l2: float = 10.0,
    ) -> None:
        super().__init__(rounds, learning_rate, early_stopping_rounds, device)
        require_count("model.num_leaves", num_leaves, 2, fix=63)
        require_count("model.min_child_samples", min_child_samples, 1, fix=200)
        for key, value in (("feature", feature_fraction), ("bagging", bagging_fraction)):
            require_between(f"model.{key}_fraction", value, 0.0, 1.0, fix=0.5, open_low=True)
        require_between("model.lambda_l2", lambda_l2, 0.0, fix=10.0)
        self.num_leaves = num_leaves
        require_count("model.quantile_min_child_samples", quantile_min_child_samples, 1, fix=1000)
        self.min_child_samples = min_child_samples
        self.quantile_min_child_samples = quantile_min_child_samples
        self.feature_fraction = feature_fraction
        self.bagging_fraction = bagging_fraction
        self.lambda_l2 = lambda_l2

    def _params(self, device: str, runtime: Runtime) -> dict[str, Any]:
        return {
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "min_data_in_leaf": self.min_child_samples,
            "feature_fraction": self.feature_fraction,
            "bagging_fraction": self.bagging_fraction,
            "bagging_freq": 1,
            "lambda_l2": self.lambda_l2,
            "seed": runtime.seed,
            "deterministic": True,
            "force_col_wise": True,
            "num_threads": runtime.threads,
            "device_type": device,
            "verbosity": -1,
        }

    def _train_events(self, fold: Fold, goal: EventGoal, device: str, runtime: Runtime) -> Fitted:
        params = self._params(device, runtime)
        params["metric"] = METRICS[goal.stop_on or "average_precision"]
        params["objective"] = "binary"
        if goal.loss is not None:
            derive = goal.objective(fold.y)
            params["objective"] = lambda margin, _: derive(margin)
        data = _datasets(fold, params, goal.start if goal.loss is not None else None)
        model, curves = self._boost(params, data, runtime, stops=goal.stop_on is not None)
        return Fitted(model, curves, model.num_trees(), goal.start)

    def _train_quantiles(
        self, fold: Fold, quantiles: tuple[float, ...], device: str, runtime: Runtime
    ) -> Fitted:
        params = self._params(device, runtime) | {"objective": "quantile", "metric": "quantile"}
        params["min_data_in_leaf"] = int(least_leaf(self.quantile_min_child_samples, len(fold.y)))
        data = _datasets(fold, params, None)
        models, curves = [], {}
        for level in quantiles:
            model, traces = self._boost(params | {"alpha": level}, data, runtime, stops=True)
            models.append(model)
            curves.update({f"{name} q{level:g}": trace for name, trace in traces.items()})
        return Fitted(tuple(models), curves, max(model.num_trees() for model in models))

    def _boost(
        self, params: dict[str, Any], data: dict[str, Any], runtime: Runtime, *, stops: bool
    ) -> tuple[Any, dict[str, list[float]]]:
        """Return a booster cut to its best iteration, and its curves."""
        import lightgbm as lgb

        traces: dict[str, dict[str, list[float]]] = {}
        callbacks = [lgb.record_evaluation(traces)]
        if stops:
            callbacks.append(lgb.early_stopping(self.early_stopping_rounds, verbose=False))
        evaluated = {name: one for name, one in data.items() if name != "fit"}
        with round_bar(self.rounds, self.name, runtime.progress) as tick:
            callbacks.append(lambda _: tick())
            booster = lgb.train(
                params,
                data["fit"],
                num_boost_round=self.rounds,
                valid_sets=list(evaluated.values()),
                valid_names=list(evaluated),
                callbacks=callbacks,
            )
        text = booster.model_to_string(num_iteration=booster.best_iteration or None)
        curves = {name: next(iter(trace.values())) for name, trace in traces.items()}
        return lgb.Booster(model_str=text), curves

    def _margin(self, model: Any, X: FloatArray) -> NDArray[np.floating]:
        margin: NDArray[np.floating] = model.predict(X, raw_score=True, num_threads=self._threads)
        return margin

    def _quantiles(self, model: Any, X: FloatArray) -> NDArray[np.floating]:
        return np.stack([one.predict(X, num_threads=self._threads) for one in model], axis=1)

    def _gains(self, model: Any) -> NDArray[np.float64]:
        models = model if isinstance(model, tuple) else (model,)
        gains: NDArray[np.float64] = sum(
            (one.feature_importance("gain") for one in models), start=np.zeros(len(self._names))
        )
        return gains

    def _library_error(self) -> type[Exception]:
        from lightgbm.basic import LightGBMError

        error: type[Exception] = LightGBMError
        return error


def _datasets(fold: Fold, params: dict[str, Any], start: float | None) -> dict[str, Any]:
    """Return the binned rows: ``fit``, ``valid``, and ``train`` if its curve is recorded."""
    import lightgbm as lgb

    def margins(y: FloatArray) -> NDArray[np.float64] | None:
        return None if start is None else np.full(len(y), start)

    fixed = {key: value for key, value in params.items() if key not in ("objective", "metric")}
    fit = lgb.Dataset(fold.X, fold.y, weight=fold.weight, init_score=margins(fold.y), params=fixed)
    valid = lgb.Dataset(
        fold.X_valid, fold.y_valid, reference=fit, init_score=margins(fold.y_valid), params=fixed
    )
    data = {"fit": fit, "valid": valid}
    return data | ({"train": fit} if fold.records_training else {})
