"""One trial of a search as a flow, which Prefect ends when its time is over."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.command import quiet_jobs, quiet_loggers
from optimizer.core.config import build
from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.errors import format_error
from optimizer.models.callbacks import TrainingStopped
from optimizer.training.runs.trial import score_trial
from optimizer.training.tracking.mlflow_run import track_run
from optimizer.training.tuning.settings import Search
from optimizer.training.tuning.study import KEYS, RUN, attach, fail, load_study, tell


def run_trial(config: ExperimentConfig) -> dict[str, Any]:
    """Run a trial within its time and tell the study how it ended.

    Returns ``number``, ``state`` (complete, pruned or failed), ``values`` and ``reason``.
    """
    search: Search = build(config.search, "search")
    study, number = load_study(search, str(config.trial.study)), int(config.trial.number or 0)
    bound = trial_flow.with_options(timeout_seconds=search.timeout_seconds)
    with quiet_jobs():
        state = bound(config, search, study, return_state=True)
    if state.is_completed():
        return dict(state.result())
    error: Any = state.result(raise_on_failure=False)
    late = state.name == "TimedOut" or isinstance(error, TimeoutError)
    reason = f"longer than {search.trial_timeout}" if late else format_error(error)
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
            outcome: dict[str, Any] = {"state": stopped.reason, "values": None, "reason": ""}
        else:
            outcome = {"state": "complete", "values": values, "reason": ""}
        tell(study, trial.number, outcome["state"], outcome["values"])
        run.set_tags({"state": str(outcome["state"])})
    if outcome["state"] == "pruned":
        run.end("KILLED", {})
    return {"number": trial.number, **outcome}
