"""Fits and comparisons as tasks, for any kind of target."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.engine import Engine
from flows.tasks.caching import as_is
from optimizer.core.artifacts import ArtifactRef
from optimizer.core.config_schema import ExperimentConfig
from optimizer.training.runs.rows import RowTraining, fit_rows
from optimizer.training.runs.surfaces import SurfaceTraining


@task(name="fit-model", task_run_name="fit-{name}-0", cache_policy=NO_CACHE)
def fit(
    name: str,
    config: ExperimentConfig,
    inputs: tuple[ArtifactRef, ArtifactRef],
    index: int,
    scheduler: str | None = None,
) -> Any:
    """Fit the model or a baseline on a fold, opened by reference."""
    return fit_rows(name, config, inputs, index, scheduler)


@task(name="evaluate", cache_policy=NO_CACHE)
def evaluate(training: RowTraining, index: int, fitted: Sequence[Any]) -> Any:
    """Compare the model with the baselines on the test fold."""
    return training.judge(index, fitted)


@task(name="train-surface", task_run_name="train-surface-0", cache_policy=NO_CACHE)
def fit_surface(training: SurfaceTraining, index: int) -> Any:
    """Fit a surface and its baselines on a fold and compare them."""
    return training.fit(index)


def train_fold(
    training: RowTraining | SurfaceTraining, index: int, engine: Engine
) -> tuple[Any, dict[str, float]]:
    """Fit and compare all that a fold takes; models of rows are fitted side by side.

    Returns
    -------
    tuple
        The result of the fold, and the seconds that fitting and evaluating took; a surface is
        fitted and evaluated at once.
    """
    began = time.perf_counter()
    if isinstance(training, SurfaceTraining):
        result = fit_surface(as_is(training), index)
        return result, {"fit": time.perf_counter() - began, "evaluate": 0.0}
    calls = [
        {"name": name, "config": config, "inputs": training.inputs, "index": index}
        for name, config in training.fits()
    ]
    calls[0]["scheduler"] = engine.scheduler
    fitted = engine.run(fit, calls)
    middle = time.perf_counter()
    result = evaluate(as_is(training), index, as_is(fitted))
    return result, {"fit": middle - began, "evaluate": time.perf_counter() - middle}
