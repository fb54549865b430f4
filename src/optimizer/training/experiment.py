"""An experiment: the components of a configuration, and the rows they are applied to."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optimizer.core.config import build, require_methods
from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.errors import ConfigError
from optimizer.core.panel import Panel
from optimizer.core.validation import require_count
from optimizer.evaluation.settings import Evaluation
from optimizer.features.base import FeatureGroup
from optimizer.features.engine import check_history
from optimizer.features.store.settings import StoreSettings
from optimizer.features.table import FeatureTable
from optimizer.models.base import ExceedanceModel, Runtime, available_cores
from optimizer.models.exceedance.rolling import RollingSurface
from optimizer.models.imbalance.base import ImbalanceStrategy
from optimizer.quality.guard import TelemetryGuard
from optimizer.sources.base import TelemetrySource
from optimizer.targets.base import Labels, RowTarget, Target
from optimizer.targets.splits import RollingOrigin
from optimizer.training.fit import (
    FitConfig,
    FoldDataset,
    check_fold,
    check_imbalance,
    check_pair,
    cut_fold,
)


@dataclass(frozen=True)
class Components:
    """What a configuration names, built: nothing has been read yet.

    - ``source``, ``target``, ``split``, ``imbalance``, ``evaluation``: one component each.
    - ``model``: the model, unfitted.
    - ``baselines``: unfitted baselines by name.
    - ``surfaces``: exceedance surface of each resource.
    - ``quality``, ``store``: the guard of the telemetry, and where features are stored.
    """

    source: TelemetrySource
    target: Target
    split: RollingOrigin
    imbalance: ImbalanceStrategy
    evaluation: Evaluation
    groups: tuple[Any, ...]
    model: object
    baselines: dict[str, object]
    runtime: Runtime
    surfaces: Mapping[str, RollingSurface]
    quality: TelemetryGuard
    store: StoreSettings


@dataclass(frozen=True)
class Experiment:
    """A configuration applied to telemetry.

    ``labels``: the truth of every row. ``folds``: oldest first.
    """

    fit_config: FitConfig
    labels: Labels
    folds: tuple[FoldDataset, ...]


def build_components(config: ExperimentConfig) -> Components:
    """Build every component and refuse impossible pairs, before any data is read.

    Raises ConfigError: a value is out of its range, or two choices do not go together.
    """
    target: Target = build(config.target, "target", Target)
    model = build(config.model, "model")
    check_imbalance(config.choices["imbalance"], config.choices["target"], target.kind)
    if target.kind == "exceedance":
        refuse_row_model(config)
    else:
        check_pair(model, config.choices["model"], target.kind)
    check_search(config, target)
    check_runner(model, config.runner.kind)
    baselines = {}
    for name, node in config.baselines.items():
        baselines[name] = build(node, f"baselines.{name}")
        check_pair(baselines[name], name, target.kind)
    if not baselines:
        raise ConfigError(
            "baselines",
            seen="none",
            allowed="at least one model to compare with",
            fix="leave baselines as they are",
        )
    split: RollingOrigin = build(config.split, "split")
    split.gap_of(target.gap)
    return Components(
        source=build(config.data, "data", TelemetrySource),
        target=target,
        split=split,
        imbalance=build(config.imbalance, "imbalance", ImbalanceStrategy),
        evaluation=build(config.evaluation, "evaluation"),
        groups=tuple(
            build(node, f"features.groups.{name}", FeatureGroup)
            for name, node in config.features.groups.items()
        ),
        model=model,
        baselines=baselines,
        runtime=build_runtime(config),
        surfaces=build_surfaces(config),
        quality=build(config.quality, "quality"),
        store=build(config.store, "store"),
    )


def build_surfaces(config: ExperimentConfig) -> dict[str, RollingSurface]:
    """Return the exceedance surface of each resource."""
    surfaces = {}
    for resource, node in config.surface.items():
        surface: RollingSurface = build(node, f"surface.{resource}", RollingSurface)
        require_methods(surface.model, ExceedanceModel, f"surface.{resource}.model")
        surfaces[resource] = surface
    return surfaces


def refuse_row_model(config: ExperimentConfig) -> None:
    """Raise if a setting of ``model`` was given for a surface, which does not read it.

    Raises ConfigError: it names where the surface's own model stands.
    """
    for override in config.overrides:
        key = override.split("=")[0].lstrip("+~")
        if key == "model" or key.startswith("model."):
            own = f"surface.{config.target['resource']}.model"
            choice = f"model/exceedance@{own}=<choice>"
            raise ConfigError(
                key,
                seen=f"a setting that target={config.choices['target']} does not read",
                allowed=f"{own}.*, and {choice}",
                fix=f"write {key.replace('model', own, 1) if '.' in key else choice}, or choose "
                "another target",
            )


def refuse_search(config: ExperimentConfig) -> None:
    """Raise if a search was chosen where only trainings are run.

    Raises ConfigError: what is missing is named.
    """
    if config.search and config.trial.number is None:
        raise ConfigError(
            f"search={config.choices['search']}",
            seen="trainings without Optuna",
            allowed="a search with -m hydra/sweeper=optuna",
            fix="add -m hydra/sweeper=optuna, or leave search out",
        )


def check_search(config: ExperimentConfig, target: Target) -> None:
    """Raise if a search was chosen for a target that is not learned from rows.

    Raises ConfigError: ``search=…`` with a target of kind exceedance.
    """
    if config.search and not isinstance(target, RowTarget):
        raise ConfigError(
            f"search={config.choices['search']}",
            seen=f"target={config.choices['target']}",
            allowed="a search with target=scale_event or target=utilization",
            fix="leave search out; a grid tries values: -m surface.cpu.model.num_leaves=31,63",
        )


def check_runner(model: object, runner: str) -> None:
    """Raise if a model shall train on the workers of Dask and there are none.

    Raises ConfigError: ``model.distributed`` without ``runner=dask``.
    """
    if getattr(model, "distributed", False) and runner != "dask":
        raise ConfigError(
            "model.distributed",
            seen=f"True with runner={runner}",
            allowed="a Dask scheduler",
            fix="add runner=dask",
        )


def build_runtime(config: ExperimentConfig) -> Runtime:
    """Return seed and threads; progress bars only on a terminal.

    Raises ConfigError: a negative seed, or less than one thread.
    """
    require_count("seed", config.seed, 0, fix=7)
    if config.threads is not None:
        require_count("threads", config.threads, 1, fix=1)
    return Runtime(config.seed, config.threads or available_cores(), sys.stderr.isatty())


def build_experiment(
    parts: Components, panel: Panel, table: FeatureTable, validations: int | None = None
) -> Experiment:
    """Label the rows and cut them into folds.

    ``validations``: folds that validate before every test fold, for a search; the split's own if
    absent. Raises InsufficientHistoryError: the history is shorter than the longest lookback, or a
    fold would be empty; TargetError: a fold cannot be learned from.
    """
    target = parts.target
    assert isinstance(target, RowTarget)  # noqa: S101 - the flow goes by the target's kind
    check_history(panel, table.specs)
    task = target.task(panel.step)
    labels = target.label(panel)
    split, gap = parts.split, target.gap
    if validations is None:
        cuts = split.split(panel, gap)
    else:
        cuts = split.validation_folds(panel, gap, validations)
    folds = tuple(cut_fold(panel, table, labels, cut) for cut in cuts)
    for fold in folds:
        check_fold(fold, task, tests=validations is None)
    fit_config = FitConfig(task, parts.imbalance, parts.evaluation, parts.groups, parts.runtime)
    return Experiment(fit_config, labels, folds)
