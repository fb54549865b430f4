"""The steps of a training in order: data, quality, features, fit, evaluate, track, register."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect.utilities.annotations import quote

import tasks
from messages import say, show_table
from optimizer.comparison import Comparison
from optimizer.config_schema import ExperimentConfig
from optimizer.experiment import Components, Experiment, build_components, build_experiment
from optimizer.features.schema import StoreSchema
from optimizer.gallery import save_plots
from optimizer.io.artifacts import ArtifactRef, code_digest, write_json
from optimizer.io.feast_objects import TRAINING
from optimizer.io.registry import Version, crown, find_champion, load_trained, register
from optimizer.io.stores import load_features, load_panel
from optimizer.io.tracking import TrackedRun, track_run
from optimizer.models.base import TrainingLog
from optimizer.promotion import Verdict, beats_baseline, beats_champion
from optimizer.samples import EventTask
from optimizer.summary import (
    describe_fold,
    mean_figures,
    table_rows,
    tell_difference,
    tell_warnings,
)
from optimizer.trained import TrainedModel, concat_frames, frame_truth
from optimizer.training import FoldSamples
from store_steps import load_validated, project_of, store_validated


@dataclass(frozen=True)
class FoldResult:
    """What came of one fold: the fitted models, their comparison and the model's log."""

    fold: FoldSamples
    models: dict[str, TrainedModel]
    comparison: Comparison
    log: TrainingLog


def run_training(config: ExperimentConfig, overrides: list[str], output: Path) -> dict[str, Any]:
    """Run every step and return the record of the run.

    Parameters
    ----------
    config : ExperimentConfig
        Resolved.
    overrides : list of str
        As the user gave them, for the record.
    output : pathlib.Path
        Receives ``metrics.json``, ``predictions.parquet``, ``config.json`` and ``plots/``.
    """
    parts = build_components(config)
    choices = config.choices
    name = f"{choices['model']}-{choices['imbalance']}-{choices['target']}"
    with track_run(config.tracking.uri, config.tracking.experiment, name) as run:
        run.log_params({**config.flatten(), "overrides": " ".join(overrides)})
        project = project_of(config, parts.source.name)
        validated, features, cached = prepare_data(config, parts, project)
        panel = load_panel(validated)
        schema = StoreSchema(config.features.groups, panel.metrics, panel.step)
        tags = {
            "data_sha256": validated.sha256,
            "code_digest": code_digest(),
            "feature_project": project,
            "feature_version": schema.version,
        }
        run.set_tags(tags)
        experiment = build_experiment(parts, panel, load_features(features))
        results = [fit_fold(config, parts, experiment, fold) for fold in experiment.folds]
        record = describe_run(config, experiment, results)
        record |= {"run_id": run.run_id, "overrides": overrides, "cached": cached}
        version, verdict = enter_registry(run, config, parts, experiment, results[-1], tags)
        record["registry"] = {
            "name": version.name,
            "version": version.version,
            "champion": verdict.promoted,
            "reason": verdict.reason,
        }
        write_outputs(output, config, experiment, results, record)
        tasks.log_run(quote(run), output, validated.directory, quote(record))
    show_result(config, experiment, record, output)
    return record


def prepare_data(
    config: ExperimentConfig, parts: Components, project: str
) -> tuple[ArtifactRef, ArtifactRef, dict[str, bool]]:
    """Return validated telemetry and the training set, and which steps came from the cache."""
    validated, cached = load_validated(config, parts)
    manifest, cached["features"] = store_validated(config, validated, project)
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
    return validated, features, cached


def fit_fold(
    config: ExperimentConfig, parts: Components, experiment: Experiment, fold: FoldSamples
) -> FoldResult:
    """Fit the model and every baseline on one fold and compare them on its test rows."""
    recipe, name = quote(experiment.recipe), config.choices["model"]
    trained, log = tasks.fit(name, quote(parts.model), quote(fold), recipe)
    for note in log.notes:
        say(note)
    models = {name: trained}
    for other, baseline in parts.baselines.items():
        if other != name:
            fitted = tasks.fit(other, quote(baseline), quote(fold), recipe, adjust=False)
            models[other] = fitted[0]
    comparison = tasks.evaluate(
        quote(models), quote(fold), quote(experiment.labels), quote(parts.evaluation)
    )
    return FoldResult(fold, models, comparison, log)


def describe_run(
    config: ExperimentConfig, experiment: Experiment, results: list[FoldResult]
) -> dict[str, Any]:
    """Return the plain record of what was found."""
    name, newest = config.choices["model"], results[-1]
    figures = {
        model: mean_figures([result.comparison.figures[model] for result in results])
        for model in newest.models
    }
    return {
        "target": config.choices["target"],
        "data": config.choices["data"],
        "label": experiment.labels.rule,
        "n_features": len(newest.fold.train.table.names),
        "rows": describe_fold(newest.fold),
        "model": {"name": name, "imbalance": config.choices["imbalance"], **figures.pop(name)},
        "baselines": figures,
        "best_baseline": newest.comparison.best_baseline,
        "difference": newest.comparison.difference,
        "folds": [
            {"rows": describe_fold(r.fold), "figures": r.comparison.figures} for r in results
        ],
    }


def enter_registry(
    run: TrackedRun,
    config: ExperimentConfig,
    parts: Components,
    experiment: Experiment,
    result: FoldResult,
    tags: dict[str, str],
) -> tuple[Version, Verdict]:
    """Register the newest fold's model as challenger and crown it if it has earned it."""
    name = config.registry.name or f"{config.choices['target']}-{parts.source.name}"
    trained = result.models[config.choices["model"]]
    champion = find_champion(run, name)
    if champion is None:
        comparison = result.comparison
        verdict = beats_baseline(trained.task, comparison.figures, comparison.best_baseline)
    else:
        verdict = beats_champion(
            trained, load_trained(champion), result.fold, experiment.labels, parts.evaluation
        )
    version = register(run, trained, name, tags)
    if verdict.promoted:
        crown(run, version)
    return version, verdict


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


def show_result(
    config: ExperimentConfig,
    experiment: Experiment,
    record: dict[str, Any],
    output: Path,
) -> None:
    """Print the model beside the baselines, and where everything is."""
    task, model = experiment.recipe.task, record["model"]
    figures = {model["name"]: model, **record["baselines"]}
    rows = record["rows"]["test"]
    for title, head, body in table_rows(task, figures):
        show_table(title, head, body)
    say(
        f"test fold: {rows['n_rows']:,} rows from {rows['first'][:16]} to {rows['last'][:16]}, "
        f"{record['n_features']} features, label: {record['label']}",
        tell_difference(task, record["difference"], record["best_baseline"]),
    )
    if isinstance(task, EventTask):
        say(
            f"prevalence {rows['prevalence']:.2%} ({rows['n_positives']:,} positives); "
            f"decision threshold {model['decision_threshold']:.3f}: precision "
            f"{model['precision']:.2f}, recall {model['recall']:.2f}",
            tell_warnings(model),
        )
    entry = record["registry"]
    say(
        f"registered {entry['name']} version {entry['version']} as challenger; "
        f"{'now champion' if entry['champion'] else 'champion unchanged'}: {entry['reason']}",
        f"run {record['run_id']} in {config.tracking.uri}; files in {output}",
        f"next: mlflow ui --backend-store-uri {config.tracking.uri}",
        "      python flows/train.py model=lstm imbalance=focal",
    )
