"""Telemetry as tasks: loaded, validated, and referred to."""

from __future__ import annotations

from typing import Any

from prefect import task

from flows.tasks.caching import CACHED, artifact_dir, run_cached
from optimizer.core.artifacts import ArtifactRef
from optimizer.core.config import build
from optimizer.core.config_schema import ExperimentConfig
from optimizer.features.storage import read_frame, store_telemetry, write_frame
from optimizer.sources.base import TelemetrySource


@task(name="load-telemetry", **CACHED)
def load_telemetry(data: dict[str, Any], snapshot_id: str, cache_dir: str) -> ArtifactRef:
    """Read the source and store its canonical frame."""
    directory = artifact_dir(cache_dir, "telemetry", data, snapshot_id)
    return store_telemetry(build(data, "data").fetch(), directory)


@task(name="validate-telemetry", **CACHED)
def validate_telemetry(
    telemetry: ArtifactRef, quality: dict[str, Any], freq: str | None, cache_dir: str
) -> ArtifactRef:
    """Quarantine bad rows, check expectations, write report and Data Docs, then resample."""
    from optimizer.core.artifacts import refer
    from optimizer.quality.inspection import inspect_telemetry
    from optimizer.sources.resampling import common_step, resample

    directory = artifact_dir(cache_dir, "quality", telemetry.sha256, quality, freq)
    guard, frame = build(quality, "quality"), read_frame(telemetry)
    freq = freq or common_step(frame)
    frame, _ = inspect_telemetry(frame, guard, directory, on_grid=freq is None)
    if freq is not None:
        frame = resample(frame, freq)
    draft = directory / ".validated.draft"
    write_frame(frame, draft)
    return refer(draft.replace(directory / "validated.parquet"))


def load_validated(
    config: ExperimentConfig, source: TelemetrySource
) -> tuple[ArtifactRef, dict[str, bool]]:
    """Return validated telemetry, and which steps came from the cache."""
    home = config.cache.dir
    telemetry, read = run_cached(load_telemetry, config.data, source.snapshot_id(), cache_dir=home)
    validated, checked = run_cached(
        validate_telemetry, telemetry, config.quality, source.freq, cache_dir=home
    )
    return validated, {"telemetry": read, "validated data": checked}
