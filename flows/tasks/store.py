"""The feature store as tasks: filled, registered, put online, read for training."""

from __future__ import annotations

from typing import Any

import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.engine import Engine
from flows.tasks.caching import CACHED, artifact_dir, run_cached
from flows.tasks.data import load_validated
from optimizer.core.artifacts import ArtifactRef
from optimizer.core.config import build
from optimizer.core.config_schema import ExperimentConfig
from optimizer.delivery.console.output import echo
from optimizer.delivery.serving.freshness import ViewFreshness, measure_freshness
from optimizer.features.storage import load_panel
from optimizer.features.store.feast_objects import TRAINING
from optimizer.features.store.settings import project_of
from optimizer.features.store.store import FeatureStore
from optimizer.training.experiment import Components


@task(name="store-features", **CACHED)
def store_features(
    validated: ArtifactRef,
    groups: dict[str, Any],
    store: dict[str, Any],
    project: str,
    backfill: dict[str, Any],
    cache_dir: str,  # noqa: ARG001 - where Prefect keeps the reference
    map_fn: Any = map,
) -> ArtifactRef:
    """Compute every chosen feature group and write it to the offline store, by ranges of time."""
    from optimizer.features.store.backfill import fill_store

    panel, settings = load_panel(validated), build(store, "store")
    return fill_store(panel, groups, settings, project, backfill, map_fn=map_fn)


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
    directory = artifact_dir(cache_dir, "features", *parts)
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
def measure(store: FeatureStore, now: pd.Timestamp) -> list[ViewFreshness]:
    """Return the age of what the online store serves, per view."""
    return measure_freshness(store, now)


def store_validated(
    config: ExperimentConfig, validated: ArtifactRef, project: str, *, map_fn: Any = map
) -> tuple[ArtifactRef, bool]:
    """Return the manifest of the store, and whether nothing had to be written."""
    return run_cached(
        store_features,
        validated,
        config.features.groups,
        config.store,
        project,
        vars(config.backfill),
        cache_dir=config.cache.dir,
        again=bool(config.store["rebuild"]),
        map_fn=map_fn,
    )


def prepare_inputs(
    config: ExperimentConfig, parts: Components, engine: Engine
) -> tuple[tuple[ArtifactRef, ...], dict[str, bool]]:
    """Return what a training reads, by reference, and which steps came from the cache.

    That is validated telemetry, and for a target that labels rows their training set.
    """
    validated, cached = load_validated(config, parts.source)
    inputs: tuple[ArtifactRef, ...] = (validated,)
    told: dict[str, str] = {}
    if parts.target.kind != "exceedance":
        project = project_of(config, parts.source.name)
        manifest, cached["features"] = store_validated(
            config, validated, project, map_fn=engine.map_fn
        )
        features, cached["training set"] = run_cached(
            retrieve_features,
            validated,
            manifest,
            config.features.groups,
            config.store,
            project,
            cache_dir=config.cache.dir,
        )
        inputs = validated, features
        told = {"features": f"in feature store {project}", "training set": f"from {TRAINING}"}
    for name, hit in cached.items():
        where = f", {told[name]}" if name in told else ""
        echo(f"{name}: {'reused from cache' if hit else 'computed'}{where}")
    return inputs, cached
