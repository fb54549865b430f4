"""The steps of every flow as Prefect tasks: thin wrappers that hand references to each other."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE, CachePolicy
from prefect.context import TaskRunContext

from optimizer.core.artifacts import ArtifactRef, code_digest, hash_values
from optimizer.core.config import build
from optimizer.core.config_schema import ExperimentConfig
from optimizer.decisions.backtesting.replay import open_usage
from optimizer.features.storage import load_panel, read_frame, store_telemetry, write_frame
from optimizer.features.store.store import FeatureStore
from optimizer.training.cache import open_experiment
from optimizer.training.fit import fit_model
from optimizer.training.tracking.mlflow_run import TrackedRun

logger = logging.getLogger(__name__)
Inputs = tuple[ArtifactRef, ArtifactRef]
"""Validated telemetry and the training set."""


def digest_key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """Return a cache key of the task's parameters and of the code that it runs.

    A thin task's own source says nothing about the functions it calls, so the key holds a hash
    of the whole package and its lock file. Where the cache lies and what the work is spread over
    are not part of the key: the result is the same.
    """
    aside = ("cache_dir", "spread")
    named = {key: value for key, value in parameters.items() if key not in aside}
    return hash_values({"task": context.task.name, "code": code_digest(), **named})


def is_io_error(_task: Any, _run: Any, state: Any) -> bool:
    """Retry only what a second try can mend: the disk or the network, never bad input."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, OSError) and not isinstance(error, FileNotFoundError)


CACHED: dict[str, Any] = {
    "persist_result": True,
    "cache_policy": CachePolicy.from_cache_key_fn(digest_key),
    "retries": 2,
    "retry_delay_seconds": 2,
    "retry_condition_fn": is_io_error,
}


def recall(
    cached: Any, *args: Any, cache_dir: str, again: bool = False, **kwargs: Any
) -> tuple[ArtifactRef, bool]:
    """Run a cached task and return its reference, and whether it came from the cache.

    Prefect remembers the reference, not the file: if the file is gone or was changed, the task
    runs again; so it does if asked to.
    """
    bound = cached.with_options(result_storage=Path(cache_dir) / "tasks", refresh_cache=again)
    state = bound(*args, cache_dir=cache_dir, **kwargs, return_state=True)
    ref: ArtifactRef = state.result()
    if state.name != "Cached":
        return ref, False
    if ref.is_intact():
        return ref, True
    change = "has changed since" if Path(ref.path).is_file() else "is gone"
    logger.info("%s: %s %s; running again", cached.name, ref.path, change)
    return bound.with_options(refresh_cache=True)(*args, cache_dir=cache_dir, **kwargs), False


def place(cache_dir: str, kind: str, *parts: Any) -> Path:
    """Return the directory of an artifact, named by what it is made of."""
    return Path(cache_dir).resolve() / kind / hash_values([code_digest(), *parts])[:20]


@task(name="load-telemetry", **CACHED)
def load_telemetry(data: dict[str, Any], fingerprint: str, cache_dir: str) -> ArtifactRef:
    """Read the source and store its canonical frame."""
    directory = place(cache_dir, "telemetry", data, fingerprint)
    return store_telemetry(build(data, "data").load(), directory)


@task(name="validate-telemetry", **CACHED)
def validate_telemetry(
    telemetry: ArtifactRef, quality: dict[str, Any], freq: str | None, cache_dir: str
) -> ArtifactRef:
    """Quarantine bad rows, check expectations, write report and Data Docs, then resample."""
    from optimizer.core.artifacts import refer
    from optimizer.quality.inspection import inspect_telemetry
    from optimizer.sources.resampling import resample

    directory = place(cache_dir, "quality", telemetry.sha256, quality, freq)
    guard = build(quality, "quality")
    frame, _ = inspect_telemetry(read_frame(telemetry), guard, directory, on_grid=freq is None)
    if freq is not None:
        frame = resample(frame, freq)
    draft = directory / ".validated.draft"
    write_frame(frame, draft)
    return refer(draft.replace(directory / "validated.parquet"))


@task(name="store-features", **CACHED)
def store_features(
    validated: ArtifactRef,
    groups: dict[str, Any],
    store: dict[str, Any],
    project: str,
    backfill: dict[str, Any],
    cache_dir: str,  # noqa: ARG001 - where Prefect keeps the reference
    spread: Any = map,
) -> ArtifactRef:
    """Compute every chosen feature group and write it to the offline store, by ranges of time."""
    from optimizer.features.store.backfill import fill_store

    panel, settings = load_panel(validated), build(store, "store")
    return fill_store(panel, groups, settings, project, backfill, spread=spread)


@task(name="retrieve-training-set", **CACHED)
def retrieve_features(
    validated: ArtifactRef,
    manifest: ArtifactRef,
    groups: dict[str, Any],
    store: dict[str, Any],
    project: str,
    cache_dir: str,
) -> ArtifactRef:
    """Read the features of every row from the store, as they were known at its moment."""
    from optimizer.features.store.backfill import open_filled
    from optimizer.features.store.retrieval import retrieve_training_set

    panel = load_panel(validated)
    found = open_filled(panel, groups, build(store, "store"), project)
    found.register()
    parts = (validated.sha256, manifest.sha256, groups, store, project)
    directory = place(cache_dir, "features", *parts)
    return retrieve_training_set(found, panel, directory)


@task(name="apply-definitions", cache_policy=NO_CACHE)
def apply_definitions(store: FeatureStore) -> None:
    """Register entities, views and services."""
    store.register()


@task(name="materialize-online", cache_policy=NO_CACHE)
def materialize_online(store: FeatureStore, end: pd.Timestamp) -> None:
    """Put the newest values online and read them back."""
    from optimizer.delivery.serving.online import check_online

    store.materialize(end)
    check_online(store, end)


@task(name="measure-freshness", cache_policy=NO_CACHE)
def measure(store: FeatureStore, now: pd.Timestamp) -> Any:
    """Return the age of what the online store serves, per view."""
    from optimizer.delivery.serving.freshness import measure_freshness

    return measure_freshness(store, now)


@task(name="fit-model", task_run_name="fit-{name}-0", cache_policy=NO_CACHE)
def fit(
    name: str, config: ExperimentConfig, inputs: Inputs, fold: int, scheduler: str | None = None
) -> Any:
    """Fit the model or a baseline, opened by reference, and calibrate it on the validation fold."""
    experiment = open_experiment(config, *inputs)
    own = name == config.choices["model"]
    node, key = (config.model, "model") if own else (config.baselines[name], f"baselines.{name}")
    runtime = replace(experiment.recipe.runtime, scheduler=scheduler)
    recipe = replace(experiment.recipe, runtime=runtime)
    return fit_model(name, build(node, key), experiment.folds[fold], recipe, adjust=own)


@task(name="replay-policy", task_run_name="replay-{name}-0", cache_policy=NO_CACHE)
def replay(
    name: str, node: dict[str, Any], config: ExperimentConfig, validated: ArtifactRef
) -> Any:
    """Replay one right-sizing policy over the telemetry, opened by reference."""
    from optimizer.decisions.backtesting.tables import replay_named

    rules = build(config.replay, "replay")
    usage = open_usage(rules, validated, config.backtest.resource)
    policy = build(node, f"policy {name}")
    if "surface" not in node:  # else it has one of its own
        policy = policy.using(rules.surface(usage.resource))
    return replay_named(name, policy, rules, usage)


@task(name="look-ahead", cache_policy=NO_CACHE)
def look_ahead(config: ExperimentConfig, validated: ArtifactRef) -> Any:
    """Return the calibrated outlook at every cutoff of a replay, and where a surface was known."""
    from optimizer.models.conformal.conformal import Ranking

    rules = build(config.replay, "replay")
    usage = open_usage(rules, validated, config.backtest.resource)
    found = rules.surface(usage.resource).forecast(usage, rules.cutoffs(usage))
    known = ~np.isnan(found.exceedance[found.start :, :, -1])
    return Ranking().outlook(usage, found), float(known.mean())


@task(name="predict-events", cache_policy=NO_CACHE)
def predict_events(
    trained: Any, validated: ArtifactRef, config: ExperimentConfig, project: str, steps: int
) -> Any:
    """Return the probability of an event by service, from the newest features of the store."""
    from optimizer.delivery.serving.predict import predict_events as predict
    from optimizer.features.store.backfill import open_filled

    panel = load_panel(validated)
    groups, settings = config.features.groups, build(config.store, "store")
    found = open_filled(panel, groups, settings, project)
    found.register()
    directory = place(config.cache.dir, "latest", validated.sha256, groups, config.store, project)
    return predict(trained, found, panel, steps, directory)


@task(name="evaluate", cache_policy=NO_CACHE)
def evaluate(*args: Any) -> Any:
    """Compare the model with the baselines on the test fold."""
    from optimizer.training.comparison import compare_models

    return compare_models(*args)


@task(
    name="log-run",
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=2,
    retry_condition_fn=is_io_error,
)
def log_run(run: TrackedRun, output: Path, quality: Path, record: dict[str, Any]) -> None:
    """Send the figures and every file of the run to the tracking store."""
    run.log_metrics(flatten_figures(record))
    for name in ("metrics.json", "predictions.parquet", "config.json"):
        run.log_file(output / name)
    run.log_directory(output / "plots", "plots")
    for path in quality.iterdir():
        if path.is_dir():
            run.log_directory(path, f"quality/{path.name}")
        elif path.name != "validated.parquet":
            run.log_file(path, "quality")


def flatten_figures(record: dict[str, Any]) -> dict[str, float]:
    """Return the model's figures by name and each baseline's as ``<baseline>.<figure>``."""
    own = {k: v for k, v in record["model"].items() if not isinstance(v, str)}
    others = {
        f"{name}.{key}": value
        for name, figures in record["baselines"].items()
        for key, value in figures.items()
    }
    return own | others | record["difference"]
