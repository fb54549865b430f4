"""One trial of a search: trained and scored on validation folds, told to study and MLflow."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import cloudpickle
from prefect import flow

from flows.messages import quiet_jobs, quiet_loggers, tell_error
from optimizer.core.artifacts import ArtifactRef
from optimizer.core.config import build
from optimizer.core.config_schema import ExperimentConfig
from optimizer.models.callbacks import TrainingStopped, Watch
from optimizer.targets.dataset import ForecastTask
from optimizer.training.cache import open_experiment
from optimizer.training.experiment import build_components
from optimizer.training.fit import fit_uncalibrated, score_validation
from optimizer.training.tracking.mlflow_run import TrackedRun, track_run
from optimizer.training.tuning.pruning import Reporter
from optimizer.training.tuning.settings import Search
from optimizer.training.tuning.study import (
    FIT_SECONDS,
    INPUTS,
    KEYS,
    RUN,
    attach,
    fail,
    load_study,
    tell,
)


def run_trial(config: ExperimentConfig) -> dict[str, Any]:
    """Run a trial within its time and tell the study how it ended.

    Returns
    -------
    dict
        ``number``, ``state`` (complete, pruned or failed), ``values`` and ``reason``.
    """
    search: Search = build(config.search, "search")
    study, number = load_study(search, str(config.trial.study)), int(config.trial.number or 0)
    bound = trial_flow.with_options(timeout_seconds=search.timeout_seconds)
    with quiet_jobs():
        state = bound(config, search, study, return_state=True)
    if state.is_completed():
        return dict(state.result())
    error = state.result(raise_on_failure=False)
    late = state.name == "TimedOut" or isinstance(error, TimeoutError)
    reason = f"longer than {search.trial_timeout}" if late else tell_error(error)
    fail(study, number, reason)
    return {"number": number, "state": "failed", "values": None, "reason": reason}


@flow(name="trial", flow_run_name="trial", validate_parameters=False)
def trial_flow(config: ExperimentConfig, search: Search, study: Any) -> dict[str, Any]:
    """Train on each validation fold; the test rows are never read."""
    quiet_loggers()
    trial = attach(study, int(config.trial.number or 0))
    tracking, name = config.tracking, f"trial-{trial.number}"
    with track_run(tracking.uri, tracking.experiment, name, tracking.parent) as run:
        if RUN in trial.user_attrs:
            run.discard(trial.user_attrs[RUN])
        run.log_params(trial.user_attrs[KEYS])
        run.set_tags({"trial": str(trial.number), "study": study.study_name, "state": "running"})
        trial.set_user_attr(RUN, run.run_id)  # last: a trial killed from here on has a whole run
        try:
            values = score_trial(config, search, study, trial, run)
        except TrainingStopped as stopped:
            outcome = {"state": stopped.reason, "values": None, "reason": ""}
        else:
            outcome = {"state": "complete", "values": values, "reason": ""}
        tell(study, trial.number, outcome["state"], outcome["values"])
        run.set_tags({"state": str(outcome["state"])})
    if outcome["state"] == "pruned":
        run.end("KILLED", {})
    return {"number": trial.number, **outcome}


def score_trial(
    config: ExperimentConfig, search: Search, study: Any, trial: Any, run: TrackedRun
) -> list[float]:
    """Return the objectives of a trial: means over the folds."""
    validated, features = (ArtifactRef(*ref) for ref in study.user_attrs[INPUTS])
    experiment = open_experiment(config, validated, features, search.folds)
    parts = build_components(config)
    several = isinstance(experiment.recipe.task, ForecastTask) and "model" in trial.user_attrs[KEYS]
    reporter = Reporter(trial, search, prunes=not several)
    watch = Watch(reporter.tell) if search.prunes else Watch()
    scores, seconds, sizes = [], 0.0, []
    try:
        for index, fold in enumerate(experiment.folds):
            part = watch.part(index, len(experiment.folds))
            runtime = replace(experiment.recipe.runtime, watch=part, progress=False)
            recipe = replace(experiment.recipe, runtime=runtime)
            model = parts.model if index == 0 else build(config.model, "model")
            began = time.perf_counter()
            trained, _ = fit_uncalibrated(config.choices["model"], model, fold, recipe)
            seconds += time.perf_counter() - began
            scores.append(score_validation(trained, fold))
            sizes.append(len(cloudpickle.dumps(trained)))
    finally:
        run.log_history("progress", reporter.history)
    reporter.check_time()
    found = {
        "quality": sum(scores) / len(scores),
        "seconds": seconds,
        "size": sum(sizes) / len(sizes),
    }
    trial.set_user_attr(FIT_SECONDS, seconds)
    folds = {f"fold_{index}": score for index, score in enumerate(scores)}
    run.log_metrics({**found, **folds, "value": found[search.objectives[0]]})
    return [found[name] for name in search.objectives]
