"""LightGBM: leaf-wise trees on histograms; the default model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between, require_count
from optimizer.models.base import Runtime
from optimizer.models.boosting.base import Booster, least_leaf
from optimizer.models.boosting.data import Boosted, BoostingData, EventGoal, FittedBooster, Report
from optimizer.models.boosting.lightgbm_dask import boost_on_dask
from optimizer.models.callbacks import TrainingCallback, round_bar

METRICS = {"log_loss": "binary_logloss", "average_precision": "average_precision"}
WATCHED = METRICS["average_precision"]


class LightGBM(Booster):
    """LightGBM for events and quantiles.

    Parameters
    ----------
    rounds, learning_rate, early_stopping_rounds, device
        See :class:`optimizer.models.boosting.base.Booster`.
    num_leaves : int
        Leaves of a tree at most, at least 2.
    min_child_samples : int
        Rows of a leaf at least, of events.
    quantile_min_child_samples : int
        Rows of a leaf at least, of forecasts, but no more than 1 % of all rows.
    feature_fraction, bagging_fraction : float
        Share of features and of rows that a tree sees, in (0, 1].
    lambda_l2 : float
        L2 penalty of leaf values, at least 0.
    distributed : bool
        Train on the Dask workers of the runner, each holding a part of the rows.

    Notes
    -----
    Quantiles are one booster each; those of a horizon share one binned dataset. A distributed
    fit reports to no watcher, so it is not pruned.

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
        distributed: bool = False,
    ) -> None:
        super().__init__(rounds, learning_rate, early_stopping_rounds, device)
        self.num_leaves = require_count("model.num_leaves", num_leaves, 2, fix=63)
        self.min_child_samples = require_count(
            "model.min_child_samples", min_child_samples, 1, fix=200
        )
        for key, value in (("feature", feature_fraction), ("bagging", bagging_fraction)):
            require_between(f"model.{key}_fraction", value, 0.0, 1.0, fix=0.5, open_low=True)
        self.lambda_l2 = require_between("model.lambda_l2", lambda_l2, 0.0, fix=10.0)
        self.quantile_min_child_samples = require_count(
            "model.quantile_min_child_samples", quantile_min_child_samples, 1, fix=1000
        )
        self.feature_fraction = feature_fraction
        self.bagging_fraction = bagging_fraction
        self.distributed = distributed

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

    def _train_events(
        self, fold: BoostingData, goal: EventGoal, device: str, runtime: Runtime
    ) -> FittedBooster:
        params = self._params(device, runtime)
        # The first metric stops the training, the second is what a watcher compares.
        metrics = [METRICS[goal.stop_on or "average_precision"], WATCHED]
        params["metric"] = metrics[: 1 + runtime.watch.active]
        params["objective"] = "binary"
        runs = [(params, self._reporter(WATCHED, runtime.watch))]
        stops = goal.stop_on is not None
        ((model, curves),) = self.boost(runs, fold, goal, runtime, stops=stops)
        return FittedBooster(model, curves, model.num_trees(), goal.start)

    def _train_quantiles(
        self, fold: BoostingData, quantiles: tuple[float, ...], device: str, runtime: Runtime
    ) -> FittedBooster:
        params = self._params(device, runtime) | {"objective": "quantile", "metric": "quantile"}
        params["min_data_in_leaf"] = int(least_leaf(self.quantile_min_child_samples, len(fold.y)))
        runs = []
        for index, level in enumerate(quantiles):
            watch = runtime.watch.part(index, len(quantiles))
            scale = fold.constant_loss((level,)) if watch.active else 1.0
            runs.append((params | {"alpha": level}, self._reporter("quantile", watch, scale)))
        found = self.boost(runs, fold, None, runtime, stops=True)
        curves = {
            f"{name} q{level:g}": trace
            for level, (_, traces) in zip(quantiles, found, strict=True)
            for name, trace in traces.items()
        }
        models = tuple(model for model, _ in found)
        return FittedBooster(models, curves, max(model.num_trees() for model in models))

    def _reporter(self, metric: str, watch: TrainingCallback, scale: float = 1.0) -> Report:
        """Return a callback that reports a metric of the validation rows after each round."""

        def report(env: Any) -> None:
            for rows, name, value, *_ in env.evaluation_result_list:
                if (rows, name) == ("valid", metric):
                    watch.report((env.iteration + 1) / self.rounds, value / scale)

        return report

    def boost(
        self,
        runs: Iterable[tuple[dict[str, Any], Report]],
        fold: BoostingData,
        goal: EventGoal | None,
        runtime: Runtime,
        *,
        stops: bool,
    ) -> list[Boosted]:
        """Return one booster per run, all trained on the same binned rows.

        ``runs``: per booster the library's parameters, and what is called after each round.
        ``goal``: what a fit to events optimises; its focal loss, if any, replaces the objective.
        """
        if self.distributed:
            given = [params for params, _ in runs]
            return boost_on_dask(self, given, fold, goal, runtime, stops=stops)
        focal, start = {}, None
        if goal is not None and goal.loss is not None:
            derive, start = goal.objective(fold.y), goal.start
            focal = {"objective": lambda margin, _: derive(margin)}
        data: dict[str, Any] = {}
        found = []
        for params, report in runs:
            data = data or _datasets(fold, params, start)
            found.append(self._boost(params | focal, data, runtime, report, stops=stops))
        return found

    def _boost(
        self,
        params: dict[str, Any],
        data: dict[str, Any],
        runtime: Runtime,
        report: Report,
        *,
        stops: bool,
    ) -> Boosted:
        """Return a booster cut to its best iteration, and its curves."""
        import lightgbm as lgb

        traces: dict[str, dict[str, list[float]]] = {}
        callbacks = [lgb.record_evaluation(traces), report]
        if stops:
            patience = self.early_stopping_rounds
            callbacks.append(lgb.early_stopping(patience, first_metric_only=True, verbose=False))
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
        return sum(
            (one.feature_importance("gain") for one in models), start=np.zeros(len(self._names))
        )

    def _write(self, model: Any) -> bytes:
        return write_booster(model)

    def _read(self, data: bytes) -> Any:
        return read_booster(data)

    def _library_error(self) -> type[Exception]:
        from lightgbm.basic import LightGBMError

        error: type[Exception] = LightGBMError
        return error


def write_booster(booster: Any) -> bytes:
    """Return every tree of a booster as LightGBM's text, whose numbers are exact."""
    text: str = booster.model_to_string(num_iteration=-1)
    return text.encode()


def read_booster(data: bytes) -> Any:
    """Return the booster of :func:`write_booster`."""
    import lightgbm as lgb

    return lgb.Booster(model_str=data.decode())


def _datasets(fold: BoostingData, params: dict[str, Any], start: float | None) -> dict[str, Any]:
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
