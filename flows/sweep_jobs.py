"""One job of a sweep, and how jobs are started: one Prefect server, a fair share of threads."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.engine import Engine
from flows.messages import NO_PAGES, quiet_loggers
from optimizer.core.config import load_config
from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.errors import ConfigError
from optimizer.training.experiment import available_cores

OURS = ("runner", "threads")
"""Keys of the command line that a sweep decides for its jobs."""


def refuse_search(config: ExperimentConfig) -> None:
    """Raise if a search was chosen where only trainings are run.

    Raises
    ------
    ConfigError
        What is missing is named.
    """
    if config.search and config.trial.number is None:
        raise ConfigError(
            f"search={config.choices['search']}",
            seen="trainings without Optuna",
            allowed="a search with -m hydra/sweeper=optuna",
            fix="add -m hydra/sweeper=optuna, or leave search out",
        )


def run_job(overrides: list[str], output_dir: str) -> Any:
    """Run one job: a trial of a search, or a whole training."""
    quiet_loggers()
    if any(one.startswith("trial.number=") for one in overrides):
        from flows.trials import run_trial

        return run_trial(load_config(overrides))
    from flows.train import train_flow

    return train_flow(overrides, output_dir)


@task(name="job", cache_policy=NO_CACHE)
def run_remotely(overrides: list[str], output_dir: str) -> Any:
    """Run one job on whatever worker takes it."""
    logging.getLogger("distributed").setLevel(logging.WARNING)
    Path(output_dir).mkdir(parents=True, exist_ok=True)
    return run_job(overrides, output_dir)


def launch_jobs(
    engine: Engine, jobs: Sequence[Sequence[str]], first: int, config: DictConfig
) -> list[Any]:
    """Return what each job returned, or the exception that ended it."""
    home = Path(config.hydra.sweep.dir)
    calls = [
        {"overrides": list(overrides), "output_dir": str(home / str(first + index))}
        for index, overrides in enumerate(jobs)
    ]
    return engine.gather(run_remotely, calls)


def job_overrides(overrides: Sequence[str], at_once: int, threads: int | None) -> list[str]:
    """Return the overrides of a job: no engine of its own, and its share of the cores."""
    kept = [one for one in overrides if one.lstrip("+").split("=")[0].split(".")[0] not in OURS]
    share = threads or (available_cores() // at_once or 1 if at_once > 1 else None)
    return kept if share is None else [*kept, f"threads={share}"]


def jobs_at_once(config: DictConfig, engine: Engine) -> int:
    """Return how many jobs the launcher runs at a time."""
    jobs = config.hydra.launcher.get("n_jobs")
    if jobs is None:
        return engine.workers
    return int(jobs) if jobs > 0 else max(available_cores() + 1 + int(jobs), 1)


@contextmanager
def shared_server() -> Iterator[None]:
    """Start one Prefect server for this process and all that it starts, unless there is one."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    if PREFECT_API_URL.value():
        yield
        return
    from prefect.server.api.server import SubprocessASGIServer

    server = SubprocessASGIServer()
    server.start()
    os.environ |= {"PREFECT_API_URL": server.api_url, NO_PAGES: "1"}
    try:
        with temporary_settings({PREFECT_API_URL: server.api_url}):
            yield
    finally:
        for name in ("PREFECT_API_URL", NO_PAGES):  # the server itself stops with the process
            del os.environ[name]
