"""CatBoost: symmetric trees, which are hard to overfit and fast to predict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between, require_count
from optimizer.models.base import Runtime
from optimizer.models.boosting.base import Booster
from optimizer.models.boosting.data import BoostingData, EventGoal, FittedBooster
from optimizer.models.callbacks import TrainingCallback, round_bar

METRICS = {"log_loss": "Logloss", "average_precision": "PRAUC"}


class CatBoost(Booster):
    """CatBoost for events and quantiles.

    Parameters
    ----------
    rounds, learning_rate, early_stopping_rounds, device
        See :class:`optimizer.models.boosting.base.Booster`.
    depth : int
        Levels of a tree, in [1, 16].
    l2_leaf_reg : float
        L2 penalty of leaf values, at least 0.
    rsm, subsample : float
        Share of features that a split and of rows that a tree sees, in (0, 1].
    border_count : int
        Bins of a feature, in [1, 254].

    Notes
    -----
    The focal loss is CatBoost's own ``Focal``; all quantiles of a horizon are one model with
    the loss ``MultiQuantile``.

    References
    ----------
    Prokhorenkova et al., CatBoost: Unbiased Boosting with Categorical Features, NeurIPS 2018.
    """

    name = "catboost"

    def __init__(  # noqa: PLR0913  (a yaml's keys)
        self,
        rounds: int = 600,
        learning_rate: float = 0.08,
        early_stopping_rounds: int = 40,
        device: str = "auto",
        *,
        depth: int = 6,
        l2_leaf_reg: float = 3.0,
        rsm: float = 0.3,
        subsample: float = 0.8,
        border_count: int = 128,
    ) -> None:
        super().__init__(rounds, learning_rate, early_stopping_rounds, device)
        require_between("model.depth", depth, 1, 16, fix=6)
        self.depth = require_count("model.depth", depth, 1, fix=6)
        self.l2_leaf_reg = require_between("model.l2_leaf_reg", l2_leaf_reg, 0.0, fix=3.0)
        for key, value in (("rsm", rsm), ("subsample", subsample)):
            require_between(f"model.{key}", value, 0.0, 1.0, fix=0.5, open_low=True)
        require_between("model.border_count", border_count, 1, 254, fix=128)
        self.border_count = require_count("model.border_count", border_count, 1, fix=128)
        self.rsm = rsm
        self.subsample = subsample

    def _params(self, device: str, runtime: Runtime) -> dict[str, Any]:
        params: dict[str, Any] = {
            "iterations": self.rounds,
            "learning_rate": self.learning_rate,
            "depth": self.depth,
            "l2_leaf_reg": self.l2_leaf_reg,
            "rsm": self.rsm,
            "bootstrap_type": "Bernoulli",
            "subsample": self.subsample,
            "border_count": self.border_count,
            "boosting_type": "Plain",
            "random_seed": runtime.seed,
            "thread_count": runtime.threads,
            "task_type": device.upper(),
            "allow_writing_files": False,
            "logging_level": "Silent",
        }
        if device == "gpu":
            params.pop("rsm")  # CatBoost samples features on the CPU only
        return params

    def _train_events(
        self, fold: BoostingData, goal: EventGoal, device: str, runtime: Runtime
    ) -> FittedBooster:
        params = self._params(device, runtime)
        params |= {"loss_function": "Logloss", "boost_from_average": goal.loss is None}
        params["eval_metric"] = METRICS[goal.stop_on or "log_loss"]
        if goal.loss is not None:
            alpha, gamma = goal.loss.alpha, max(goal.loss.gamma, 1e-6)  # 0 is refused
            params["loss_function"] = f"Focal:focal_alpha={alpha};focal_gamma={gamma}"
        watched = METRICS["average_precision"]
        if runtime.watch.active and params["eval_metric"] != watched:
            params["custom_metric"] = [watched]
        stops = goal.stop_on is not None
        return self._boost(params, fold, goal.start, runtime, (watched, 1.0), stops=stops)

    def _train_quantiles(
        self, fold: BoostingData, quantiles: tuple[float, ...], device: str, runtime: Runtime
    ) -> FittedBooster:
        levels = ",".join(f"{level:g}" for level in quantiles)
        params = self._params(device, runtime)
        # One quantile alone has a loss of its own.
        name = "MultiQuantile" if len(quantiles) > 1 else "Quantile"
        params["loss_function"] = params["eval_metric"] = f"{name}:alpha={levels}"
        scale = fold.constant_loss(quantiles) if runtime.watch.active else 1.0
        return self._boost(params, fold, 0.0, runtime, (name, scale), stops=True)

    def _boost(
        self,
        params: dict[str, Any],
        fold: BoostingData,
        start: float,
        runtime: Runtime,
        watched: tuple[str, float],
        *,
        stops: bool,
    ) -> FittedBooster:
        """Train, and report the watched metric divided by its scale."""
        from catboost import CatBoost as Library
        from catboost import Pool

        if stops:
            params |= {"od_type": "Iter", "od_wait": self.early_stopping_rounds}

        def pool(X: FloatArray, y: FloatArray, weight: FloatArray | None) -> Any:
            base = np.full((len(y), 1), start) if start else None
            return Pool(X, y, weight=weight, baseline=base, thread_count=runtime.threads)

        model = Library(params)
        on_cpu = params["task_type"] == "CPU"  # a GPU takes no callbacks
        with round_bar(self.rounds, self.name, runtime.progress) as tick:
            after = _AfterRound(tick, runtime.watch, self.rounds, watched)
            model.fit(
                pool(fold.X, fold.y, fold.weight),
                eval_set=pool(fold.X_valid, fold.y_valid, None),
                use_best_model=stops,
                callbacks=[after] if on_cpu else None,
            )
        if after.error is not None:
            raise after.error
        curves = _curves(model.get_evals_result(), params["eval_metric"])
        return FittedBooster(model, curves, model.tree_count_, start)

    def _margin(self, model: Any, X: FloatArray) -> NDArray[np.floating]:
        return self._predict(model, X)

    def _quantiles(self, model: Any, X: FloatArray) -> NDArray[np.floating]:
        return self._predict(model, X).reshape(len(X), -1)

    def _predict(self, model: Any, X: FloatArray) -> NDArray[np.floating]:
        found: NDArray[np.floating] = model.predict(
            X, prediction_type="RawFormulaVal", thread_count=self._threads
        )
        return found

    def _gains(self, model: Any) -> NDArray[np.float64]:
        gains: NDArray[np.float64] = model.get_feature_importance(
            type="PredictionValuesChange", thread_count=self._threads
        )
        return gains

    def _write(self, model: Any) -> bytes:
        with TemporaryDirectory() as draft:  # CatBoost writes to files only
            path = Path(draft) / "model.cbm"
            model.save_model(str(path), format="cbm")
            return path.read_bytes()

    def _read(self, data: bytes) -> Any:
        from catboost import CatBoost as Library

        return Library().load_model(blob=data)

    def _library_error(self) -> type[Exception]:
        from catboost import CatBoostError

        error: type[Exception] = CatBoostError
        return error


def _curves(traces: dict[str, dict[str, list[float]]], metric: str) -> dict[str, list[float]]:
    """Return the curves of one metric; CatBoost appends its settings to a metric's name."""
    sides = {"learn": "train", "validation": "valid"}
    return {
        sides[side]: list(values)
        for side, trace in traces.items()
        for name, values in trace.items()
        if name.split(":")[0] == metric.split(":", maxsplit=1)[0]
    }


class _AfterRound:
    """Advance the progress bar and report; CatBoost asks whether to go on."""

    def __init__(
        self,
        tick: Callable[[], None],
        watch: TrainingCallback,
        rounds: int,
        watched: tuple[str, float],
    ) -> None:
        self._tick, self._watch, self._rounds, self._watched = tick, watch, rounds, watched
        self.error: Exception | None = None

    def after_iteration(self, info: Any) -> bool:
        """Return False to stop; an exception would not come through the library as it is."""
        self._tick()
        if not self._watch.active:
            return True
        metric, scale = self._watched
        values = _curves({"validation": info.metrics["validation"]}, metric)["valid"]
        try:
            self._watch.report(info.iteration / self._rounds, values[-1] / scale)
        except Exception as error:  # noqa: BLE001 - raised again after the training
            self.error = error
            return False
        return True
