"""What a run leaves in the tracking store, as a task that is tried again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.tasks.caching import is_io_error
from optimizer.training.summary import flatten_figures
from optimizer.training.tracking.mlflow_run import TrackedRun


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
