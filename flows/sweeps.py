"""What ``-m`` runs: a grid with one table, or a study; jobs share one Prefect server."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.command import quiet_jobs, quiet_loggers
from flows.engine import Engine, open_engine
from flows.server import shared_server
from flows.tasks.store import prepare_inputs
from flows.train import run_job, train_flow
from optimizer.core.artifacts import write_json
from optimizer.core.config import load_config
from optimizer.core.config_schema import ExperimentConfig
from optimizer.delivery.console.output import echo, show_table
from optimizer.delivery.console.tuning import show_grid, show_study
from optimizer.models.base import available_cores
from optimizer.training.experiment import build_components
from optimizer.training.leaderboard import distinguishing_overrides
from optimizer.training.runs.grid import check_job, distinct_inputs, enter_best, log_best, rank_grid
from optimizer.training.tracking.mlflow_run import TrackedRun, continue_run, track_run
from optimizer.training.tuning.export import require_writable, write_experiment
from optimizer.training.tuning.grammar import is_sweep
from optimizer.training.tuning.plots import draw_study
from optimizer.training.tuning.runner import (
    StudyRunner,
    job_overrides,
    plain_overrides,
    tested_record,
)
from optimizer.training.tuning.space import build_space
from optimizer.training.tuning.spec import check_space, require_keys, require_search, specify_study
from optimizer.training.tuning.storage import open_storage
from optimizer.training.tuning.study import (
    ENQUEUED,
    INPUTS,
    RUN,
    TESTED,
    StudySpec,
    best_trial,
    open_study,
)
from optimizer.training.tuning.summary import describe_study, frame_trials, trial_rows

Launch = Callable[[Sequence[Sequence[str]], int], list[Any]]
"""Runs jobs, given as overrides and the number of the first; returns what each returned."""


def run_grid(
    jobs: Sequence[Sequence[str]], launcher: Any, hydra_config: DictConfig
) -> list[dict[str, Any]]:
    """Train every combination and return the records, the best of each target first."""
    quiet_loggers()
    configs = [check_job(list(job)) for job in jobs]
    first, output = configs[0], Path(hydra_config.hydra.sweep.dir)
    output.mkdir(parents=True, exist_ok=True)
    names = distinguishing_overrides(jobs)
    tracking = first.tracking
    with (
        shared_server(),
        open_engine(first.runner) as engine,
        track_run(tracking.uri, tracking.experiment, f"grid of {len(jobs)}") as run,
    ):
        launch = launch_with(launcher, engine)
        run.log_params({"jobs": len(jobs), "overrides": " | ".join(names)})
        for config in distinct_inputs(configs):  # before jobs side by side would all do so
            prepare_inputs(config, build_components(config), engine)
        at_once = jobs_at_once(hydra_config, engine)
        told = [f"tracking.parent={run.run_id}", "registry.register=false"]
        began = time.perf_counter()
        outcomes = launch([[*job_overrides(job, at_once, first.threads), *told] for job in jobs], 0)
        seconds = time.perf_counter() - began
        run.close_orphans()
        tables = rank_grid(names, outcomes, first, output)
        show_grid(tables)
        records = []
        for _, ranked in tables:
            same = [record for _, record, _ in ranked]
            log_best(run, same)
            enter_best(run, same, echo)
            records += same
        whole = {"run_id": run.run_id, "seconds": seconds, "jobs": records}
        write_json(output / "grid.json", whole)
        run.log_file(output / "grid.json")
        failures = [
            (name, outcome)
            for name, outcome in zip(names, outcomes, strict=True)
            if not isinstance(outcome, dict)
        ]
        for name, error in failures:
            echo(f"job {name}: failed: {error}")
        echo(f"run {run.run_id} in {tracking.uri} holds all jobs; files in {output}")
    if failures:
        raise SystemExit(1)
    return records


def run_study(arguments: list[str], launcher: Any, hydra_config: DictConfig) -> dict[str, Any]:
    """Run or continue the study that the command line describes and return its record."""
    quiet_loggers()
    fixed = [one for one in arguments if not is_sweep(one)]
    config = load_config(fixed)
    search = require_search(config)
    require_keys(config, search)
    settled = dict(one.lstrip("+").split("=", 1) for one in fixed if "=" in one)
    space = build_space(search, [one for one in arguments if is_sweep(one)], settled)
    for key in sorted(settled.keys() & search.keys):
        echo(f"{key}={settled[key]} is given: it is not searched")
    check_space(space, fixed)
    if search.save:
        require_writable(fixed)
    open_storage(search.storage)
    output = Path(hydra_config.hydra.sweep.dir)
    output.mkdir(parents=True, exist_ok=True)
    with shared_server(), open_engine(config.runner) as engine:
        parts = build_components(config)
        inputs, _ = prepare_inputs(config, parts, engine)
        data = parts.source.name
        spec = specify_study(config, data, (inputs[0], inputs[1]), search, space, settled)
        study = open_study(search, spec, space, config.seed)
        study.set_user_attr(INPUTS, [[ref.path, ref.sha256] for ref in inputs])
        with study_run(config, study) as run:
            study.set_user_attr(RUN, run.run_id)
            launch = launch_with(launcher, engine)
            runner = StudyRunner(study, search, space, fixed, config, run, launch, echo)
            runner.prepare(config.registered_name(data))
            try:
                with quiet_jobs():
                    seconds = runner.run_trials(jobs_at_once(hydra_config, engine))
            except KeyboardInterrupt:
                echo("", "the study is kept: the same command goes on where it stopped")
                raise
            return finish_study(runner, spec, seconds, output)


def finish_study(
    runner: StudyRunner, spec: StudySpec, seconds: float, output: Path
) -> dict[str, Any]:
    """Print and draw the study, score its best trial on the test fold and return the record."""
    study, search, run = runner.study, runner.search, runner.run
    record = describe_study(study, spec.directions) | {"seconds": seconds}
    head, rows = trial_rows(study, search.objectives, spec.directions)
    trials = frame_trials(study, search.objectives)
    trials.to_csv(output / "trials.csv", index=False)
    best = best_trial(study, spec.directions)
    if best is not None:
        front = ", * on the Pareto front" if len(search.objectives) > 1 else ""
        title = f"study {study.study_name}, the best {len(rows)} complete trials{front}"
        show_table(title, head, rows)
        overrides = plain_overrides(runner, best.params)
        record["command"] = shlex.join(["python", "flows/train.py", *overrides])
        record |= score_best(runner, best, overrides, output)
        if search.save:
            told = f"Trial {best.number} of {len(trials)} of study {study.study_name}"
            figure = f"{search.objectives[0]} {best.values[0]:.5g} on validation"
            write_experiment(study.study_name, overrides, f"{told}: {figure}.")
            record["experiment"] = study.study_name
    pictures = draw_study(study, search.objectives, output)
    write_json(output / "study.json", record)
    for path in (*pictures, output / "trials.csv", output / "study.json"):
        run.log_file(path)
    run.log_metrics({f"n_{state}": count for state, count in record["trials"].items()})
    if best is not None:
        run.log_metrics({"best_value": best.values[0]})
    record["run_id"] = run.run_id
    show_study(record, search, runner.config, output)
    if best is None:
        raise SystemExit(1)
    return record


def score_best(
    runner: StudyRunner, best: Any, overrides: list[str], output: Path
) -> dict[str, Any]:
    """Fit the best configuration anew and score it on the test fold, once for each best trial."""
    study = runner.study
    key = f"{TESTED}:{best.number}"  # one attribute each: several processes may add theirs
    if key not in study.user_attrs:
        home = output / "best"
        home.mkdir(exist_ok=True)
        own = best.user_attrs.get(ENQUEUED) == "defaults"
        reference = None if own else plain_overrides(runner, None)
        parent = f"tracking.parent={runner.run.run_id}"
        done = train_flow([*overrides, parent], str(home), reference)
        study.set_user_attr(key, tested_record(done))
        tags = {"state": "tested", "of_trial": str(best.number)}
        runner.run.child(done["run_id"]).set_tags(tags)
    attrs = study.user_attrs
    looks = sum(name.startswith(f"{TESTED}:") for name in attrs)
    return {"test": attrs[key], "looks_at_test": looks}


def study_run(config: ExperimentConfig, study: Any) -> AbstractContextManager[TrackedRun]:
    """Return the study's run in MLflow, opened again if the study is continued."""
    tracking, known = config.tracking, study.user_attrs.get(RUN)
    if known is not None:
        return continue_run(tracking.uri, tracking.experiment, known)
    return track_run(tracking.uri, tracking.experiment, study.study_name, tracking.parent)


def launch_with(launcher: Any, engine: Engine) -> Launch:
    """Return what runs jobs with Hydra's launcher; ours fans out on the engine."""
    launcher.engine = engine

    def launch(jobs: Sequence[Sequence[str]], first: int) -> list[Any]:
        return [done._return_value for done in launcher.launch(jobs, initial_job_idx=first)]

    return launch


@task(name="job", cache_policy=NO_CACHE)
def run_remotely(overrides: list[str], output_dir: str) -> Any:
    """Run one job on whatever worker takes it."""
    logging.getLogger("distributed").setLevel(logging.WARNING)
    Path(output_dir).mkdir(parents=True, exist_ok=True)
    return run_job(load_config(overrides), output_dir)


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


def jobs_at_once(config: DictConfig, engine: Engine) -> int:
    """Return how many jobs the launcher runs at a time."""
    jobs = config.hydra.launcher.get("n_jobs")
    if jobs is None:
        return engine.workers
    return int(jobs) if jobs > 0 else max(available_cores() + 1 + int(jobs), 1)
