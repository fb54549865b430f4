"""XGBoost on the workers of Dask: each holds a part of the training rows."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray
from optimizer.models.base import Runtime
from optimizer.models.boosting.dask_data import Workers, dask_workers, drawn_rows, muted
from optimizer.models.boosting.data import BoostingData, EventGoal

STDERR = 2
_quiet = ExitStack()


def train_on_dask(
    params: dict[str, Any],
    rounds: int,
    fold: BoostingData,
    goal: EventGoal | None,
    runtime: Runtime,
    callbacks: list[Any],
) -> tuple[Any, dict[str, dict[str, list[float]]]]:
    """Return the booster that all workers arrive at, and its traces.

    The validation rows are whole on every worker: the average precision of parts, averaged, is not
    that of the whole (the training curve, which only is looked at, is such an average). Nothing is
    reported to ``runtime.watch``, which is in another process, so a distributed fit is not pruned.

    ``params``: the library's parameters; the threads are those of each worker. ``rounds``: trees at
    most. ``goal``: what a fit to events optimises; its focal loss, if any, replaces the objective.
    ``callbacks``: the library's callbacks, each copied to every worker.
    """
    from xgboost.callback import TrainingCallback
    from xgboost.dask import DaskQuantileDMatrix, train

    class Speak(TrainingCallback):  # type: ignore[misc]
        def before_training(self, model: Any) -> Any:
            _speak()
            return model

    with dask_workers(runtime.scheduler) as workers, workers.client.as_current():
        client, count = workers.client, len(workers.threads)
        drawn = drawn_rows(len(fold.y), count, runtime.seed)

        def parts(values: FloatArray) -> Any:
            return _dask_array(workers, (values[rows] for rows in drawn))

        def copies(values: FloatArray) -> Any:
            return _dask_array(workers, (values for _ in drawn))

        weight = None if fold.weight is None else parts(fold.weight)
        fit = DaskQuantileDMatrix(client, parts(fold.X), parts(fold.y), weight=weight)
        valid = DaskQuantileDMatrix(client, copies(fold.X_valid), copies(fold.y_valid), ref=fit)
        client.run(_hush)
        try:
            found = train(
                client,
                {key: value for key, value in params.items() if key != "nthread"},
                fit,
                num_boost_round=rounds,
                evals=[(fit, "train")] * fold.records_training + [(valid, "valid")],
                obj=None if goal is None or goal.loss is None else partial(_focal, goal),
                verbose_eval=False,
                callbacks=[Speak(), *callbacks],
            )
        finally:
            client.run(_speak)
    return found["booster"], found["history"]


def _dask_array(workers: Workers, pieces: Iterable[FloatArray]) -> Any:
    """Return an array whose chunks are the pieces, one per worker."""
    import dask.array as da

    chunks = []
    for address, piece in zip(workers.threads, pieces, strict=True):
        future = workers.send(address, piece)
        chunks.append(da.from_delayed(future, piece.shape, np.float32))  # type: ignore[no-untyped-call]
    return da.concatenate(chunks)  # type: ignore[no-untyped-call]


def _focal(
    goal: EventGoal, margin: FloatArray, data: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return gradient and Hessian of the rows that the worker holds."""
    return goal.objective(data.get_label())(margin)


def _hush() -> None:
    """Mute a worker until it trains, for it announces its rank."""
    _quiet.enter_context(muted(STDERR))


def _speak() -> None:
    _quiet.close()
