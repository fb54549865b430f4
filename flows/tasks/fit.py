"""Fits and comparisons as tasks, for any kind of target."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.engine import Engine
from flows.tasks.caching import CACHED, artifact_dir, as_is
from optimizer.core.artifacts import ArtifactRef
from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.errors import StateError, first_line
from optimizer.training.runs.rows import RowTraining, fit_key, fit_rows, read_fit, store_fit
from optimizer.training.runs.surfaces import SurfaceTraining

logger = logging.getLogger(__name__)


@task(name="fit-model", task_run_name="fit-{name}-0", **CACHED)
def fit(
    name: str,
    key: dict[str, Any],
    config: ExperimentConfig,
    inputs: tuple[ArtifactRef, ArtifactRef],
    index: int,
    cache_dir: str,
    scheduler: str | None = None,
) -> ArtifactRef:
    """Fit the model or a baseline on a fold, opened by reference, and store it."""
    directory = artifact_dir(cache_dir, "models", key, [ref.sha256 for ref in inputs], index)
    return store_fit(*fit_rows(name, config, inputs, index, scheduler), directory)


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

    Returns the result of the fold, and the seconds that fitting and evaluating took; a surface is
    fitted and evaluated at once.
    """
    began = time.perf_counter()
    if isinstance(training, SurfaceTraining):
        result = fit_surface(as_is(training), index)
        return result, {"fit": time.perf_counter() - began, "evaluate": 0.0}
    home = {"inputs": training.inputs, "index": index, "cache_dir": training.config.cache.dir}
    calls = [
        {"name": name, "key": fit_key(name, config), "config": as_is(config), **home}
        for name, config in training.fits()
    ]
    calls[0]["scheduler"] = engine.scheduler
    bound = fit.with_options(result_storage=Path(training.config.cache.dir) / "tasks")
    fitted = [
        reread(bound, call, ref) for call, ref in zip(calls, engine.run(bound, calls), strict=True)
    ]
    middle = time.perf_counter()
    result = evaluate(as_is(training), index, as_is(fitted))
    return result, {"fit": middle - began, "evaluate": time.perf_counter() - middle}


def reread(bound: Any, call: dict[str, Any], ref: ArtifactRef) -> tuple[Any, Any]:
    """Return a stored fit; what is gone or has changed since Prefect remembered it is made anew."""
    try:
        return read_fit(ref)
    except (OSError, StateError) as error:
        logger.info("%s: %s; fitted again", call["name"], first_line(error))
        return read_fit(bound.with_options(refresh_cache=True)(**call))
