"""The steps of a training in order: data, quality, features, fit, evaluate, track, register."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect.utilities.annotations import quote

from flows import tasks
from flows.engine import Engine, open_engine
from flows.messages import say, show_result
from flows.registration import enter_model
from flows.store_steps import load_validated, project_of, store_validated
from optimizer.core.artifacts import code_digest, write_json
from optimizer.core.config_schema import ExperimentConfig
from optimizer.features.schema import StoreSchema
from optimizer.features.store.feast_objects import TRAINING
from optimizer.models.base import TrainingLog
from optimizer.training.cache import open_experiment
from optimizer.training.comparison import Comparison
from optimizer.training.experiment import Components, Experiment, build_components
from optimizer.training.fit import FoldSamples, primary_metric, score_validation
from optimizer.training.plots import save_plots
from optimizer.training.predictor import TrainedModel, concat_frames, frame_truth
from optimizer.training.promotion import beats_baseline, beats_champion
from optimizer.training.summary import describe_fold, mean_figures
from optimizer.training.tracking.mlflow_run import TrackedRun, track_run
from optimizer.training.tracking.registry import find_champion, load_trained

RIVAL = "defaults"
"""The model that a search began with, beside the one that it chose."""


@dataclass(frozen=True)
class FoldResult:
    """What came of one fold: the fitted models, their comparison and the model's log."""

    fold: FoldSamples
    models: dict[str, TrainedModel]
    comparison: Comparison
    log: TrainingLog
    validation: float
    seconds: dict[str, float]
    against: Comparison | None = None


def run_training(
    config: ExperimentConfig,
    overrides: list[str],
    output: Path,
    rival: ExperimentConfig | None = None,
) -> dict[str, Any]:
    """Run every step and return the record of the run.

    Parameters
    ----------
    config : ExperimentConfig
        Resolved.
    overrides : list of str
        As the user gave them, for the record.
    output : pathlib.Path
        Receives ``metrics.json``, ``predictions.parquet``, ``config.json`` and ``plots/``.
    rival : ExperimentConfig, optional
        Another configuration to compare with on the same test rows.
    """
    began = time.perf_counter()
    parts = build_components(config)
    choices, tracking = config.choices, config.tracking
    name = f"{choices['model']}-{choices['imbalance']}-{choices['target']}"
    with (
        open_engine(config.runner) as engine,
        track_run(tracking.uri, tracking.experiment, name, tracking.parent) as run,
    ):
        run.log_params({**config.flatten(), "overrides": " ".join(overrides)})
        project = project_of(config, parts.source.name)
        inputs, cached = prepare_data(config, parts, project, engine)
        experiment = open_experiment(config, *inputs)
        panel = experiment.folds[-1].train.panel
        schema = StoreSchema(config.features.groups, panel.metrics, panel.step)
        tags = {
            "data_sha256": inputs[0].sha256,
            "code_digest": code_digest(),
            "feature_project": project,
            "feature_version": schema.version,
        }
        run.set_tags(tags)
        results = [
            fit_fold(config, parts, experiment, inputs, index, engine, rival)
            for index in range(len(experiment.folds))
        ]
        record = describe_run(config, experiment, results)
        record |= {
            "data_sha256": inputs[0].sha256,
            "run_id": run.run_id,
            "overrides": overrides,
            "cached": cached,
        }
        record["registry"] = enter_registry(run, config, parts, experiment, results[-1], tags)
        record["seconds"] = {
            "total": time.perf_counter() - began,
            **{part: sum(r.seconds[part] for r in results) for part in ("fit", "evaluate")},
        }
        write_outputs(output, config, experiment, results, record)
        tasks.log_run(quote(run), output, inputs[0].directory, quote(record))
    show_result(config, experiment.recipe.task, record, output)
    return record


def prepare_data(
    config: ExperimentConfig, parts: Components, project: str, engine: Engine
) -> tuple[tasks.Inputs, dict[str, bool]]:
    """Return validated telemetry and the training set, and which steps came from the cache."""
    validated, cached = load_validated(config, parts)
    manifest, cached["features"] = store_validated(config, validated, project, spread=engine.spread)
    features, cached["training set"] = tasks.recall(
        tasks.retrieve_features,
        validated,
        manifest,
        config.features.groups,
        config.store,
        project,
        cache_dir=config.cache.dir,
    )
    told = {"features": f"in feature store {project}", "training set": f"from {TRAINING}"}
    for name, hit in cached.items():
        where = f", {told[name]}" if name in told else ""
        say(f"{name}: {'reused from cache' if hit else 'computed'}{where}")
    return (validated, features), cached


def fit_fold(
    config: ExperimentConfig,
    parts: Components,
    experiment: Experiment,
    inputs: tasks.Inputs,
    index: int,
    engine: Engine,
    rival: ExperimentConfig | None,
) -> FoldResult:
    """Fit the model and every baseline on one fold and compare them on its test rows."""
    fold, name = experiment.folds[index], config.choices["model"]
    others = [other for other in parts.baselines if other != name]
    wanted = [(model, config) for model in (name, *others)]
    wanted += [(rival.choices["model"], rival)] if rival is not None else []
    calls = [
        {"name": model, "config": one, "inputs": inputs, "fold": index} for model, one in wanted
    ]
    calls[0]["scheduler"] = engine.scheduler
    began = time.perf_counter()
    fitted = engine.run(tasks.fit, calls)
    fit_seconds = time.perf_counter() - began
    trained, log = fitted[0]
    for note in log.notes:
        say(note)
    models = {
        model: one[0] for (model, _), one in zip(wanted[: 1 + len(others)], fitted, strict=False)
    }
    judged = quote(fold), quote(experiment.labels), quote(parts.evaluation)
    comparison = tasks.evaluate(quote(models), *judged)
    against = None
    if rival is not None:
        against = tasks.evaluate(quote({name: trained, RIVAL: fitted[-1][0]}), *judged)
    validation = score_validation(trained, fold)
    spent = time.perf_counter() - began
    seconds = {"fit": fit_seconds, "evaluate": spent - fit_seconds}
    return FoldResult(fold, models, comparison, log, validation, seconds, against)


def describe_run(
    config: ExperimentConfig, experiment: Experiment, results: list[FoldResult]
) -> dict[str, Any]:
    """Return the plain record of what was found."""
    name, newest = config.choices["model"], results[-1]
    figures = {
        model: mean_figures([result.comparison.figures[model] for result in results])
        for model in newest.models
    }
    metric, sign = primary_metric(experiment.recipe.task)
    validation = sum(result.validation for result in results) / len(results)
    record = {
        "target": config.choices["target"],
        "data": config.choices["data"],
        "label": experiment.labels.rule,
        "metric": metric,
        "higher_is_better": sign > 0,
        "n_features": len(newest.fold.train.table.names),
        "rows": describe_fold(newest.fold),
        "model": {
            "name": name,
            "imbalance": config.choices["imbalance"],
            **figures.pop(name),
            "validation": validation,
        },
        "baselines": figures,
        "best_baseline": newest.comparison.best_baseline,
        "difference": newest.comparison.difference,
        "folds": [
            {"rows": describe_fold(r.fold), "figures": r.comparison.figures} for r in results
        ],
    }
    if newest.against is not None:
        record["against_defaults"] = {
            "figures": newest.against.figures[RIVAL],
            "difference": newest.against.difference,
        }
    return record


def enter_registry(
    run: TrackedRun,
    config: ExperimentConfig,
    parts: Components,
    experiment: Experiment,
    result: FoldResult,
    tags: dict[str, str],
) -> dict[str, Any]:
    """Judge the newest fold's model, and enter it into the registry."""
    name = config.registered_name(parts.source.name)
    trained = result.models[config.choices["model"]]
    champion = find_champion(run, name)
    if champion is None:
        comparison = result.comparison
        verdict = beats_baseline(trained.task, comparison.figures, comparison.best_baseline)
    else:
        verdict = beats_champion(
            trained, load_trained(champion), result.fold, experiment.labels, parts.evaluation
        )
    return enter_model(run, config, name, trained, verdict, tags)


def write_outputs(
    output: Path,
    config: ExperimentConfig,
    experiment: Experiment,
    results: list[FoldResult],
    record: dict[str, Any],
) -> None:
    """Write metrics, predictions, configuration and plots into the run's directory."""
    name, task = config.choices["model"], experiment.recipe.task
    write_json(output / "metrics.json", record)
    write_json(output / "config.json", config.to_dict())
    frames = [frame_truth(r.fold.test, r.comparison.predictions[name], task) for r in results]
    concat_frames(frames).to_parquet(output / "predictions.parquet", index=False)
    newest = results[-1]
    save_plots(
        newest.models[name],
        newest.log,
        newest.comparison,
        newest.fold.test,
        experiment.labels,
        experiment.recipe.evaluation,
        output / "plots",
    )
