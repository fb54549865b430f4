"""A grid of trainings: its jobs checked before the first, ranked after the last, the best kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from optimizer.core.artifacts import hash_values
from optimizer.core.config import build, load_config
from optimizer.core.config_schema import ExperimentConfig
from optimizer.evaluation.settings import Evaluation
from optimizer.training.experiment import build_components, refuse_search
from optimizer.training.leaderboard import difference_interval, rank_jobs
from optimizer.training.tracking.mlflow_run import TrackedRun
from optimizer.training.tracking.registry import LoggedModel, register, set_champion

SHARED = ("data", "quality", "features", "store", "cache")
"""Nodes that decide the training set: jobs that agree on them share it."""
Job = tuple[str, dict[str, Any], Any]
"""Name of a job, its record, and its difference to the best one."""


def check_job(overrides: list[str]) -> ExperimentConfig:
    """Return the configuration of a job, its components built: before any of them starts.

    Raises ConfigError: a choice or value is wrong, or a search was chosen, which a grid does not
    run.
    """
    config = load_config(overrides)
    build_components(config)
    refuse_search(config)
    return config


def distinct_inputs(configs: Sequence[ExperimentConfig]) -> Iterator[ExperimentConfig]:
    """Yield a configuration of each training set that jobs need, so that each is computed once."""
    seen = set()
    for config in configs:
        values = config.to_dict()
        key = hash_values({name: values[name] for name in SHARED})
        if key not in seen:
            seen.add(key)
            yield config


def rank_grid(
    names: Sequence[str], outcomes: Sequence[Any], config: ExperimentConfig, output: Path
) -> list[tuple[str, list[Job]]]:
    """Return a title and the jobs of each target and data, the best on validation first.

    ``names``: what sets each job apart. ``outcomes``: the record of each job, or the exception that
    ended it. ``output``: holds a directory of predictions per job.
    """
    settings: Evaluation = build(config.evaluation, "evaluation")
    records = [
        {"job": name, "index": index, "group": group_of(outcome), **outcome}
        for index, (name, outcome) in enumerate(zip(names, outcomes, strict=True))
        if isinstance(outcome, dict)
    ]
    tables: list[tuple[str, list[Job]]] = []
    for target, data in dict.fromkeys(tuple(record["group"]) for record in records):
        same = [record for record in records if record["group"] == [target, data]]
        ranked = [same[position] for position in rank_jobs(same)]
        frames = [_predictions(output, record) for record in ranked]
        jobs: list[Job] = []
        for record, frame in zip(ranked, frames, strict=True):
            own = frame is frames[0]
            change = None if own else difference_interval(frame, frames[0], settings)
            record["against_first"] = change
            jobs.append((record["job"], record, change))
        metric = ranked[0]["metric"]
        count = f"{len(jobs)}" if len(jobs) == len(names) else f"{len(jobs)} of {len(names)}"
        told = f"{metric.replace('_', ' ')} of {count} jobs"
        tables.append((f"{target}, {told}, the best on validation first", jobs))
    return tables


def log_best(run: TrackedRun, ranked: Sequence[dict[str, Any]]) -> None:
    """Log the figures of the best job of a target."""
    best, target = ranked[0], ranked[0]["target"]
    values = {name: best["model"][name] for name in ("validation", best["metric"])}
    run.log_metrics({f"best_{target}_{name}": value for name, value in values.items()})


def group_of(record: dict[str, Any]) -> list[str]:
    """Return what jobs must share for their figures to be compared: target and data."""
    return [record["target"], record["data_sha256"]]


def enter_best(
    run: TrackedRun, ranked: Sequence[dict[str, Any]], tell: Callable[[str], None]
) -> None:
    """Register the first record of each registered name, and promote it if it has earned it."""
    for name in dict.fromkeys(record["registry"]["name"] for record in ranked):
        entry = next(r["registry"] for r in ranked if r["registry"]["name"] == name)
        version = register(run, LoggedModel(**entry["model"]), name, entry["tags"])
        entry["version"] = version.version
        if entry["champion"]:
            set_champion(run, version)
        tell(
            f"registered {name} version {version.version} as challenger; "
            f"{'now champion' if entry['champion'] else 'champion unchanged'}: {entry['reason']}"
        )


def _predictions(output: Path, record: dict[str, Any]) -> pd.DataFrame:
    return pd.read_parquet(output / str(record["index"]) / "predictions.parquet")
