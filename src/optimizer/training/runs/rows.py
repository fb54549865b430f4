"""A training on rows of the feature table, for events and forecasts: fit, compare, describe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from optimizer.core.artifacts import ArtifactRef, refer, write_directory, write_json
from optimizer.core.config import build
from optimizer.core.config_schema import ExperimentConfig
from optimizer.features.schema import StoreSchema
from optimizer.features.store.settings import project_of
from optimizer.models.base import TrainingLog
from optimizer.training.cache import open_experiment
from optimizer.training.comparison import Comparison, compare_models
from optimizer.training.experiment import Components, Experiment
from optimizer.training.fit import FoldDataset, fit_model, primary_metric, score_validation
from optimizer.training.plots import save_plots
from optimizer.training.predictor import TrainedModel, concat_frames, frame_truth
from optimizer.training.promotion import beats_baseline, beats_champion
from optimizer.training.runs.registration import register_model
from optimizer.training.summary import describe_fold, mean_figures
from optimizer.training.tracking.bundle import STATE, read_bundle, write_bundle
from optimizer.training.tracking.mlflow_run import TrackedRun
from optimizer.training.tracking.registry import load_reference

REFERENCE = "defaults"
"""The model that a search began with, beside the one that it chose."""


@dataclass(frozen=True)
class RowResult:
    """What came of one fold: the fitted models, their comparison and the model's log."""

    fold: FoldDataset
    models: dict[str, TrainedModel]
    comparison: Comparison
    log: TrainingLog
    validation: float
    against: Comparison | None = None


@dataclass(frozen=True)
class RowTraining:
    """Everything that a training on rows computes, fold by fold.

    ``reference``: another configuration to compare with on the same test rows.
    """

    config: ExperimentConfig
    parts: Components
    inputs: tuple[ArtifactRef, ArtifactRef]
    reference: ExperimentConfig | None = None
    experiment: Experiment = field(init=False)

    def __post_init__(self) -> None:
        """Open the experiment, which the process keeps."""
        object.__setattr__(self, "experiment", open_experiment(self.config, *self.inputs))

    @property
    def n_folds(self) -> int:
        """How many folds there are, oldest first."""
        return len(self.experiment.folds)

    @property
    def tags(self) -> dict[str, str]:
        """What a registered model must be told of the features that it reads."""
        panel = self.experiment.folds[-1].train.panel
        schema = StoreSchema(self.config.features.groups, panel.metrics, panel.step)
        project = project_of(self.config, self.parts.source.name)
        return {"feature_project": project, "feature_version": schema.version}

    def fits(self) -> list[tuple[str, ExperimentConfig]]:
        """Return the name of every model to fit on a fold with its configuration, ours first."""
        name = self.config.choices["model"]
        others = [other for other in self.parts.baselines if other != name]
        own = [(model, self.config) for model in (name, *others)]
        if self.reference is None:
            return own
        return [*own, (self.reference.choices["model"], self.reference)]

    def judge(self, index: int, fitted: Sequence[tuple[TrainedModel, TrainingLog]]) -> RowResult:
        """Compare the model with the baselines on the test rows of a fold.

        ``index``: number of the fold, the oldest is 0. ``fitted``: what :func:`fit_rows` returned
        for each of :meth:`fits`.
        """
        fold, name = self.experiment.folds[index], self.config.choices["model"]
        judged = fold, self.experiment.labels, self.parts.evaluation
        own = len(fitted) - (self.reference is not None)
        names = [model for model, _ in self.fits()][:own]
        models = dict(zip(names, (trained for trained, _ in fitted[:own]), strict=True))
        trained, log = fitted[0]
        against = None
        if self.reference is not None:
            against = compare_models({name: trained, REFERENCE: fitted[-1][0]}, *judged)
        comparison = compare_models(models, *judged)
        return RowResult(fold, models, comparison, log, score_validation(trained, fold), against)

    def describe(self, results: Sequence[RowResult]) -> dict[str, Any]:
        """Return the plain record of what was found."""
        config, newest = self.config, results[-1]
        name = config.choices["model"]
        figures = {
            model: mean_figures([result.comparison.figures[model] for result in results])
            for model in newest.models
        }
        metric, sign = primary_metric(self.experiment.fit_config.task)
        validation = sum(result.validation for result in results) / len(results)
        record = {
            "target": config.choices["target"],
            "data": config.choices["data"],
            "label": self.experiment.labels.rule,
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
            "notes": [note for result in results for note in result.log.notes],
            "folds": [
                {"rows": describe_fold(r.fold), "figures": r.comparison.figures} for r in results
            ],
        }
        if newest.against is not None:
            record["against_defaults"] = {
                "figures": newest.against.figures[REFERENCE],
                "difference": newest.against.difference,
            }
        return record

    def enter(self, run: TrackedRun, result: RowResult, tags: dict[str, str]) -> dict[str, Any]:
        """Judge the newest fold's model, and enter it into the registry."""
        name = self.config.registered_name(self.parts.source.name)
        trained = result.models[self.config.choices["model"]]
        champion = load_reference(run, name)
        if champion is None:
            comparison = result.comparison
            verdict = beats_baseline(trained.task, comparison.figures, comparison.best_baseline)
        else:
            labels, settings = self.experiment.labels, self.parts.evaluation
            verdict = beats_champion(trained, champion, result.fold, labels, settings)
        return register_model(run, self.config, name, trained, verdict, tags)

    def write(self, output: Path, results: Sequence[RowResult], record: dict[str, Any]) -> None:
        """Write metrics, predictions, configuration and plots into the run's directory."""
        name, fit_config = self.config.choices["model"], self.experiment.fit_config
        write_json(output / "metrics.json", record)
        write_json(output / "config.json", self.config.to_dict())
        frames = [
            frame_truth(r.fold.test, r.comparison.predictions[name], fit_config.task)
            for r in results
        ]
        concat_frames(frames).to_parquet(output / "predictions.parquet", index=False)
        newest = results[-1]
        save_plots(
            newest.models[name],
            newest.log,
            newest.comparison,
            newest.fold.test,
            self.experiment.labels,
            fit_config.evaluation,
            output / "plots",
        )


def fit_rows(
    name: str,
    config: ExperimentConfig,
    inputs: tuple[ArtifactRef, ArtifactRef],
    index: int,
    scheduler: str | None = None,
) -> tuple[TrainedModel, TrainingLog]:
    """Fit the model or a baseline, opened by reference, and calibrate it on the validation fold.

    ``name``: the choice of ``model``, or the name of a baseline. ``index``: number of the fold, the
    oldest is 0. ``scheduler``: address of the Dask scheduler that a distributed fit runs on.
    """
    experiment = open_experiment(config, *inputs)
    own = name == config.choices["model"]
    node, key = (config.model, "model") if own else (config.baselines[name], f"baselines.{name}")
    runtime = replace(experiment.fit_config.runtime, scheduler=scheduler)
    fit_config = replace(experiment.fit_config, runtime=runtime)
    return fit_model(name, build(node, key), experiment.folds[index], fit_config, adjust=own)


DECIDING = ("target", "split", "features", "evaluation", "imbalance", "seed", "threads")
"""Nodes that a fit depends on, beside its model and its data."""


def fit_key(name: str, config: ExperimentConfig) -> dict[str, Any]:
    """Return all of a configuration that decides what the fit of a model or baseline gives."""
    own = name == config.choices["model"]
    values = config.to_dict()
    node = config.model if own else config.baselines[name]
    return {"node": node, "adjusted": own, **{key: values[key] for key in DECIDING}}


def store_fit(trained: TrainedModel, log: TrainingLog, directory: Path) -> ArtifactRef:
    """Write a fitted model and its log into a directory, whole or not at all."""
    with write_directory(directory) as draft:
        write_bundle(trained, draft / "model")
        (draft / "log.json").write_text(json.dumps(vars(log)))
    return refer(directory / "model" / STATE)


def read_fit(ref: ArtifactRef) -> tuple[TrainedModel, TrainingLog]:
    """Return what :func:`store_fit` has written.

    Raises StateError, OSError: a file is gone or was changed.
    """
    home = ref.directory
    trained = read_bundle(home)
    assert isinstance(trained, TrainedModel)  # noqa: S101 - written by store_fit
    log = json.loads((home.parent / "log.json").read_text())
    return trained, TrainingLog(**log | {"notes": tuple(log["notes"])})
