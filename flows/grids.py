"""A grid: every combination trained side by side, one table, and the best one registered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig

from flows.engine import Engine, open_engine
from flows.messages import quiet_loggers, say, show_table
from flows.steps import prepare_data, project_of
from flows.sweep_jobs import job_overrides, jobs_at_once, refuse_search, shared_server
from optimizer.core.artifacts import hash_values, write_json
from optimizer.core.config import build, load_config
from optimizer.core.config_schema import ExperimentConfig
from optimizer.evaluation.settings import Evaluation
from optimizer.training.experiment import build_components
from optimizer.training.leaderboard import difference_interval, grid_rows, particular, rank_jobs
from optimizer.training.tracking.mlflow_run import TrackedRun, track_run
from optimizer.training.tracking.registry import LoggedModel, crown, register

SHARED = ("data", "quality", "features", "store", "cache")
"""Nodes that decide the training set: jobs that agree on them share it."""


def run_grid(
    jobs: Sequence[Sequence[str]], launcher: Any, hydra_config: DictConfig
) -> list[dict[str, Any]]:
    """Train every combination and return the records, the best of each target first.

    Parameters
    ----------
    jobs : sequence of sequence of str
        Overrides of each job.
    launcher : hydra.plugins.launcher.Launcher
        Starts the jobs.
    hydra_config : omegaconf.DictConfig
        Gives the directory of the sweep.
    """
    quiet_loggers()
    configs = [check_job(list(job)) for job in jobs]
    first, output = configs[0], Path(hydra_config.hydra.sweep.dir)
    output.mkdir(parents=True, exist_ok=True)
    names = particular(jobs)
    with (
        shared_server(),
        open_engine(first.runner) as engine,
        track_run(first.tracking.uri, first.tracking.experiment, f"grid of {len(jobs)}") as run,
    ):
        launcher.engine = engine
        run.log_params({"jobs": len(jobs), "overrides": " | ".join(names)})
        prepare_grid(configs, engine)
        at_once = jobs_at_once(hydra_config, engine)
        told = [f"tracking.parent={run.run_id}", "registry.enter=false"]
        began = time.perf_counter()
        done = launcher.launch(
            [[*job_overrides(job, at_once, first.threads), *told] for job in jobs],
            initial_job_idx=0,
        )
        seconds = time.perf_counter() - began
        outcomes = [one._return_value for one in done]
        failures = {n: o for n, o in zip(names, outcomes, strict=True) if not isinstance(o, dict)}
        run.close_orphans()
        records = finish_grid(run, names, outcomes, first, output)
        whole = {"run_id": run.run_id, "seconds": seconds, "jobs": records}
        write_json(output / "grid.json", whole)
        run.log_file(output / "grid.json")
        for name, error in failures.items():
            say(f"job {name}: failed: {error}")
        say(f"run {run.run_id} in {first.tracking.uri} holds all jobs; files in {output}")
    if failures:
        raise SystemExit(1)
    return records


def check_job(overrides: list[str]) -> ExperimentConfig:
    """Return the configuration of a job, its components built: before any of them starts.

    Raises
    ------
    ConfigError
        A choice or value is wrong, or a search was chosen, which a grid does not run.
    """
    config = load_config(overrides)
    build_components(config)
    refuse_search(config)
    return config


def prepare_grid(configs: Sequence[ExperimentConfig], engine: Engine) -> None:
    """Compute each training set once, before jobs side by side would all do so."""
    seen = set()
    for config in configs:
        values = config.to_dict()
        key = hash_values({name: values[name] for name in SHARED})
        if key not in seen:
            seen.add(key)
            parts = build_components(config)
            prepare_data(config, parts, project_of(config, parts.source.name), engine)


def finish_grid(
    run: TrackedRun,
    names: Sequence[str],
    outcomes: Sequence[Any],
    config: ExperimentConfig,
    output: Path,
) -> list[dict[str, Any]]:
    """Print a table per target, register the best model of each and return the records."""
    settings: Evaluation = build(config.evaluation, "evaluation")
    found = [
        {"job": name, "index": index, "group": group_of(outcome), **outcome}
        for index, (name, outcome) in enumerate(zip(names, outcomes, strict=True))
        if isinstance(outcome, dict)
    ]
    records: list[dict[str, Any]] = []
    for target, data in dict.fromkeys(tuple(record["group"]) for record in found):
        same = [record for record in found if record["group"] == [target, data]]
        ranked = [same[position] for position in rank_jobs(same)]
        frames = [_predictions(output, record) for record in ranked]
        jobs = []
        for record, frame in zip(ranked, frames, strict=True):
            own = frame is frames[0]
            change = None if own else difference_interval(frame, frames[0], settings)
            record["against_first"] = change
            jobs.append((record["job"], record, change))
        head, rows = grid_rows(jobs)
        metric = ranked[0]["metric"]
        told = f"{len(rows)}" if len(rows) == len(names) else f"{len(rows)} of {len(names)}"
        title = f"{target}, {metric.replace('_', ' ')} of {told} jobs, the best on validation"
        show_table(f"{title} first", head, rows)
        run.log_metrics(
            {
                f"best_{target}_validation": ranked[0]["model"]["validation"],
                f"best_{target}_{metric}": ranked[0]["model"][metric],
            }
        )
        enter_best(run, ranked)
        records += ranked
    return records


def group_of(record: dict[str, Any]) -> list[str]:
    """Return what jobs must share for their figures to be compared: target and data."""
    return [record["target"], record["data_sha256"]]


def enter_best(run: TrackedRun, ranked: Sequence[dict[str, Any]]) -> None:
    """Register the first record of each registered name, and crown it if it has earned it."""
    for name in dict.fromkeys(record["registry"]["name"] for record in ranked):
        entry = next(r["registry"] for r in ranked if r["registry"]["name"] == name)
        version = register(run, LoggedModel(**entry["model"]), name, entry["tags"])
        entry["version"] = version.version
        if entry["champion"]:
            crown(run, version)
        say(
            f"registered {name} version {version.version} as challenger; "
            f"{'now champion' if entry['champion'] else 'champion unchanged'}: {entry['reason']}"
        )


def _predictions(output: Path, record: dict[str, Any]) -> pd.DataFrame:
    return pd.read_parquet(output / str(record["index"]) / "predictions.parquet")
