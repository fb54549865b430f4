"""One trial of a search: trained and scored on validation folds, the test rows never read."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from optimizer.core.artifacts import ArtifactRef
from optimizer.core.config import build
from optimizer.core.config_schema import ExperimentConfig
from optimizer.models.callbacks import TrainingCallback
from optimizer.targets.task import ForecastTask
from optimizer.training.cache import open_experiment
from optimizer.training.experiment import build_components
from optimizer.training.fit import fit_uncalibrated, score_validation
from optimizer.training.tracking.bundle import bundle_size
from optimizer.training.tracking.mlflow_run import TrackedRun
from optimizer.training.tuning.pruning import Reporter
from optimizer.training.tuning.settings import Search
from optimizer.training.tuning.study import FIT_SECONDS, INPUTS, KEYS


def score_trial(
    config: ExperimentConfig, search: Search, study: Any, trial: Any, run: TrackedRun
) -> list[float]:
    """Return the objectives of a trial: means over the folds."""
    validated, features = (ArtifactRef(*ref) for ref in study.user_attrs[INPUTS])
    experiment = open_experiment(config, validated, features, search.folds)
    parts = build_components(config)
    several = (
        isinstance(experiment.fit_config.task, ForecastTask) and "model" in trial.user_attrs[KEYS]
    )
    reporter = Reporter(trial, search, prunes=not several)
    watch = TrainingCallback(reporter.tell) if search.prunes else TrainingCallback()
    scores, seconds, sizes = [], 0.0, []
    try:
        for index, fold in enumerate(experiment.folds):
            part = watch.part(index, len(experiment.folds))
            runtime = replace(experiment.fit_config.runtime, watch=part, progress=False)
            fit_config = replace(experiment.fit_config, runtime=runtime)
            model = parts.model if index == 0 else build(config.model, "model")
            began = time.perf_counter()
            trained, _ = fit_uncalibrated(config.choices["model"], model, fold, fit_config)
            seconds += time.perf_counter() - began
            scores.append(score_validation(trained, fold))
            sizes.append(bundle_size(trained))
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
