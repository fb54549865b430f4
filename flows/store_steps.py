"""The steps of filling the feature store in order: data, quality, offline, definitions, online."""

from __future__ import annotations

from typing import Any

import pandas as pd
from prefect.utilities.annotations import quote

from flows import tasks
from flows.engine import open_engine
from flows.messages import say, show_table
from optimizer.core.artifacts import ArtifactRef
from optimizer.core.config import build
from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.durations import format_duration
from optimizer.delivery.serving.freshness import ViewFreshness, freshness_figures, newest_online
from optimizer.features.store.backfill import parse_moment
from optimizer.features.store.manifest import Manifest, read_manifest
from optimizer.features.store.repository import open_project
from optimizer.features.store.settings import StoreSettings, name_project
from optimizer.features.store.store import FeatureStore
from optimizer.training.experiment import Components, build_components
from optimizer.training.tracking.mlflow_run import track_run


def load_validated(
    config: ExperimentConfig, parts: Components
) -> tuple[ArtifactRef, dict[str, bool]]:
    """Return validated telemetry, and which steps came from the cache."""
    home = config.cache.dir
    telemetry, read = tasks.recall(
        tasks.load_telemetry, config.data, parts.source.fingerprint(), cache_dir=home
    )
    validated, checked = tasks.recall(
        tasks.validate_telemetry,
        telemetry,
        config.quality,
        config.data.get("freq"),
        cache_dir=home,
    )
    return validated, {"telemetry": read, "validated data": checked}


def store_validated(
    config: ExperimentConfig, validated: ArtifactRef, project: str, *, spread: Any = map
) -> tuple[ArtifactRef, bool]:
    """Return the manifest of the store, and whether nothing had to be written."""
    return tasks.recall(
        tasks.store_features,
        validated,
        config.features.groups,
        config.store,
        project,
        vars(config.backfill),
        cache_dir=config.cache.dir,
        again=bool(config.store["rebuild"]),
        spread=spread,
    )


def project_of(config: ExperimentConfig, data: str) -> str:
    """Return the project of the configured data and features in the store."""
    settings: StoreSettings = build(config.store, "store")
    return name_project(settings, data, config)


def locate_store(config: ExperimentConfig) -> FeatureStore:
    """Return the store of the configured data and features, as it was filled."""
    settings: StoreSettings = build(config.store, "store")
    return open_project(settings, project_of(config, build(config.data, "data").name))


def choose_moment(config: ExperimentConfig) -> pd.Timestamp:
    """Return the moment that ages are counted to: ``now``, or the clock."""
    return parse_moment(config.now, "now") or pd.Timestamp.now("UTC")


def run_features(config: ExperimentConfig, overrides: list[str]) -> dict[str, Any]:
    """Run every step and return what the store then holds."""
    parts = build_components(config)
    project = project_of(config, parts.source.name)
    settings: StoreSettings = build(config.store, "store")
    with (
        open_engine(config.runner) as engine,
        track_run(config.tracking.uri, config.tracking.experiment, f"features-{project}") as run,
    ):
        run.log_params({**config.flatten(), "overrides": " ".join(overrides)})
        validated, cached = load_validated(config, parts)
        _, cached["features"] = store_validated(config, validated, project, spread=engine.spread)
        for name, hit in cached.items():
            say(f"{name}: {'reused from cache' if hit else 'computed'}")
        manifest = read_manifest(settings.directory(project))
        assert manifest is not None  # noqa: S101 - it has just been written
        store = FeatureStore(settings, project, manifest.schema)
        tasks.apply_definitions(quote(store))
        newest = newest_online(store)
        if covers_newest(config, manifest) and (newest is None or newest <= manifest.last):
            tasks.materialize_online(quote(store), manifest.last)
        else:
            say(f"online store: left alone, it holds newer values, up to {newest}")
        now = choose_moment(config)
        found = tasks.measure(quote(store), now)
        run.log_metrics(freshness_figures(found))
    show_freshness(store, found, now)
    return {
        "project": project,
        "version": manifest.schema.version,
        "first": manifest.first.isoformat(),
        "last": manifest.last.isoformat(),
        "cached": cached,
        "freshness": freshness_figures(found),
        "run_id": run.run_id,
    }


def covers_newest(config: ExperimentConfig, manifest: Manifest) -> bool:
    """Tell whether the range that was asked for ends with the newest stored moment."""
    end = parse_moment(config.backfill.end, "backfill.end")
    return end is None or end > manifest.last


def show_freshness(store: FeatureStore, found: list[ViewFreshness], now: pd.Timestamp) -> None:
    """Print the age of every view's newest value."""
    rows = [
        (
            one.view,
            "nothing" if one.newest is None else f"{one.newest:%Y-%m-%d %H:%M}",
            "-" if one.age is None else str(one.age).split(".")[0],
            f"{one.entities}",
            f"{one.stale:.0%}",
        )
        for one in found
    ]
    show_table(
        f"feature store {store.project}, version {store.schema.version}",
        ("view", "newest value", "age", "entities", "stale"),
        rows,
    )
    say(f"ages at {now:%Y-%m-%d %H:%M} UTC; stale: older than {format_duration(store.ttl)}")
