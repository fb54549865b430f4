"""Fill the feature store: ``python flows/features.py``, or a range with ``backfill.start=…``.

Telemetry, quality, features, offline store, definitions, online store: each a Prefect task.
"""

from __future__ import annotations

from flows import environment  # noqa: F401 - what Prefect reads when it is imported

# isort: split

from typing import Any

from prefect import flow

from flows.command import Prepared, flow_command, start_flow
from flows.engine import open_engine
from flows.tasks.caching import as_is
from flows.tasks.data import load_validated
from flows.tasks.store import apply_definitions, materialize_online, measure, store_validated
from optimizer.delivery.console.freshness import show_freshness
from optimizer.delivery.console.output import echo
from optimizer.delivery.serving.freshness import (
    choose_moment,
    covers_newest,
    freshness_figures,
    newest_online,
)
from optimizer.features.store.manifest import require_manifest
from optimizer.features.store.settings import project_of
from optimizer.features.store.store import FeatureStore
from optimizer.training.experiment import Components, build_components
from optimizer.training.tracking.mlflow_run import track_config


@flow(name="features", flow_run_name="features", validate_parameters=False)
def features_flow(
    overrides: list[str] | None = None,
    output_dir: str | None = None,
    prepared: Prepared[Components] | None = None,
) -> dict[str, Any]:
    """Store the features of the telemetry, put the newest online and measure their age.

    Returns the project, its version, the range that it covers and the freshness figures.

    - ``overrides``: Hydra overrides, for example ``["data=table", "data.path=fleet.parquet"]``.
    - ``output_dir``: not written to: what this flow leaves is the store.
    """
    ready, _ = start_flow(prepared, build_components, overrides, output_dir or ".", "features")
    config, parts = ready.config, ready.parts
    project, settings = project_of(config, parts.source.name), parts.store
    with open_engine(config.runner) as engine, track_config(config, f"features-{project}") as run:
        validated, cached = load_validated(config, parts.source)
        _, cached["features"] = store_validated(config, validated, project, map_fn=engine.map_fn)
        for name, hit in cached.items():
            echo(f"{name}: {'reused from cache' if hit else 'computed'}")
        manifest = require_manifest(settings.directory(project))
        store = FeatureStore(settings, project, manifest.schema)
        apply_definitions(as_is(store))
        newest = newest_online(store)
        if covers_newest(config, manifest) and (newest is None or newest <= manifest.last):
            materialize_online(as_is(store), manifest.last)
        else:
            echo(f"online store: left alone, it holds newer values, up to {newest}")
        now = choose_moment(config)
        ages = measure(as_is(store), now)
        run.log_metrics(freshness_figures(ages))
    show_freshness(store, ages, now)
    return {
        "project": project,
        "version": manifest.schema.version,
        "first": manifest.first.isoformat(),
        "last": manifest.last.isoformat(),
        "cached": cached,
        "freshness": freshness_figures(ages),
        "run_id": run.run_id,
    }


main = flow_command("features", build_components, features_flow)

if __name__ == "__main__":
    main()
