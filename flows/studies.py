"""A study: checked and opened before its first trial, and run until it is complete."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from flows.engine import Engine, open_engine
from flows.messages import quiet_jobs, quiet_loggers, say
from flows.searching import Searching
from flows.steps import prepare_data, project_of
from flows.study_results import finish_study
from flows.sweep_jobs import jobs_at_once, shared_server
from optimizer.core.config import build, list_choices, load_config, preset
from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.errors import ConfigError
from optimizer.training.cache import open_experiment
from optimizer.training.experiment import build_components
from optimizer.training.fit import primary_metric
from optimizer.training.tracking.mlflow_run import TrackedRun, continue_run, track_run
from optimizer.training.tuning.export import require_writable
from optimizer.training.tuning.grammar import is_sweep
from optimizer.training.tuning.settings import Search
from optimizer.training.tuning.space import Space, build_space
from optimizer.training.tuning.storage import open_storage
from optimizer.training.tuning.study import INPUTS, RUN, StudySpec, open_study

DECIDING = ("data", "quality", "features", "target", "split", "model", "imbalance", "seed")
"""Nodes of the configuration that decide what a trial scores."""

ASIDE = ("model.device", "model.distributed")
"""Keys among them that decide only where it is computed."""


def run_study(arguments: list[str], launcher: Any, hydra_config: DictConfig) -> dict[str, Any]:
    """Run or continue the study that the command line describes and return its record.

    Parameters
    ----------
    arguments : list of str
        Overrides; sweeps among them are part of the space.
    launcher : hydra.plugins.launcher.Launcher
        Starts the trials.
    hydra_config : omegaconf.DictConfig
        Gives the directory of the sweep.
    """
    quiet_loggers()
    fixed = [one for one in arguments if not is_sweep(one)]
    config = load_config(fixed)
    search = require_search(config)
    require_keys(config, search)
    settled = dict(one.lstrip("+").split("=", 1) for one in fixed if "=" in one)
    space = build_space(search, [one for one in arguments if is_sweep(one)], settled)
    for key in sorted(settled.keys() & search.keys):
        say(f"{key}={settled[key]} is given: it is not searched")
    check_space(space, fixed)
    if search.save:
        require_writable(fixed)
    open_storage(search.storage)
    output = Path(hydra_config.hydra.sweep.dir)
    output.mkdir(parents=True, exist_ok=True)
    with shared_server(), open_engine(config.runner) as engine:
        launcher.engine = engine
        spec, inputs = prepare_study(config, search, space, engine, settled)
        study = open_study(search, spec, space, config.seed)
        study.set_user_attr(INPUTS, [[ref.path, ref.sha256] for ref in inputs])
        with study_run(config, study) as run:
            study.set_user_attr(RUN, run.run_id)
            name = build(config.data, "data").name
            searching = Searching(study, search, space, fixed, config, run, launcher)
            searching.prepare(config.registered_name(name))
            with quiet_jobs():
                seconds = searching.exhaust(jobs_at_once(hydra_config, engine))
            return finish_study(searching, spec, seconds, output)


def require_search(config: ExperimentConfig) -> Search:
    """Return the search of a configuration.

    Raises
    ------
    ConfigError
        It has none, or the search's own settings are wrong.
    """
    if not config.search:
        raise ConfigError(
            "search",
            seen="none",
            allowed="lightgbm, xgboost, catboost, lstm, gru, all",
            fix="add search=lightgbm",
        )
    search: Search = build(config.search, "search")
    return search


def require_keys(config: ExperimentConfig, search: Search) -> None:
    """Raise if a search was made for another choice than the one that is made.

    Raises
    ------
    ConfigError
        Which key the choice does not have.
    """
    name, known = config.choices["search"], config.flatten()
    for key in search.params:
        group, _, argument = key.partition(".")
        choice = config.choices.get(group, name)
        if key in known or choice == name or name not in list_choices(group):
            continue
        if argument in preset(group, name):
            own = f"set search={choice}, or " if choice in list_choices("search") else ""
            raise ConfigError(
                f"search={name}",
                seen=f"{group}={choice}, which has no {key}",
                allowed=f"a search of keys that {group}={choice} has",
                fix=f"{own}leave {group}={choice} out",
            )


def check_space(space: Space, fixed: list[str]) -> None:
    """Compose and build every choice and both ends of every range, before the first trial.

    Raises
    ------
    ConfigError
        A key does not exist, or refuses a value.
    """
    for overrides in space.samples():
        build_components(load_config([*fixed, *overrides]))


def prepare_study(
    config: ExperimentConfig,
    search: Search,
    space: Space,
    engine: Engine,
    settled: dict[str, str],
) -> tuple[StudySpec, tuple[Any, Any]]:
    """Return what the study is about and the data of its trials, computed once for all of them."""
    parts = build_components(config)
    inputs, _ = prepare_data(config, parts, project_of(config, parts.source.name), engine)
    experiment = open_experiment(config, *inputs, search.folds)
    sign = primary_metric(experiment.recipe.task)[1]
    quality = "maximize" if sign > 0 else "minimize"
    directions = tuple(quality if one == "quality" else "minimize" for one in search.objectives)
    settings = deciding_values(config, space)
    settings |= {"search.folds": str(search.folds), "data content": inputs[0].sha256[:12]}
    settings |= settled_values(space, settled) | {"search.reports": str(search.reports)}
    if "seconds" in search.objectives:
        settings["threads"] = str(config.threads)
    target, data = config.choices["target"], parts.source.name
    name = search.study or f"{config.choices['search']}-{target}-{data}"
    return StudySpec(name, directions, settings), inputs


def deciding_values(config: ExperimentConfig, space: Space) -> dict[str, str]:
    """Return everything that is not searched and decides what a trial scores, flat."""
    searched = {domain.key for domain in space.domains}
    whole = {key for key in searched if "." not in key}
    found = {}
    for key, value in {**config.flatten(), **config.choices}.items():
        head = key.split(".")[0]
        if head in DECIDING and head not in whole and key not in {*searched, *ASIDE}:
            found[key] = str(value)
    return found


def settled_values(space: Space, settled: dict[str, str]) -> dict[str, str]:
    """Return the values given for keys of a group whose choice is searched."""
    searched = {domain.key for domain in space.domains}
    groups = tuple(f"{key}." for key in searched if "." not in key)
    return {key: text for key, text in settled.items() if groups and key.startswith(groups)}


def study_run(config: ExperimentConfig, study: Any) -> AbstractContextManager[TrackedRun]:
    """Return the study's run in MLflow, opened again if the study is continued."""
    tracking, known = config.tracking, study.user_attrs.get(RUN)
    if known is not None:
        return continue_run(tracking.uri, tracking.experiment, known)
    return track_run(tracking.uri, tracking.experiment, study.study_name, tracking.parent)
