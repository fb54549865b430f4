"""What a study is about: its search and space checked, and all that decides what a trial scores."""

from __future__ import annotations

from optimizer.core.artifacts import ArtifactRef
from optimizer.core.config import build, compose_plain, list_choices, load_config
from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.errors import ConfigError
from optimizer.training.cache import open_experiment
from optimizer.training.experiment import build_components
from optimizer.training.fit import primary_metric
from optimizer.training.tuning.settings import Search
from optimizer.training.tuning.space import Space
from optimizer.training.tuning.study import StudySpec

DECIDING = ("data", "quality", "features", "target", "split", "model", "imbalance", "seed")
"""Nodes of the configuration that decide what a trial scores."""

ASIDE = ("model.device", "model.distributed")
"""Keys among them that decide only where it is computed."""


def require_search(config: ExperimentConfig) -> Search:
    """Return the search of a configuration.

    Raises ConfigError: it has none, or the search's own settings are wrong.
    """
    if not config.search:
        raise ConfigError(
            "search",
            seen="none",
            allowed=", ".join(list_choices("search")),
            fix="add search=lightgbm",
        )
    search: Search = build(config.search, "search")
    return search


def require_keys(config: ExperimentConfig, search: Search) -> None:
    """Raise if a search was made for another choice than the one that is made.

    Raises ConfigError: which key the choice does not have.
    """
    name, known = config.choices["search"], config.flatten()
    for key in search.params:
        group, _, argument = key.partition(".")
        choice = config.choices.get(group, name)
        if key in known or choice == name or name not in list_choices(group):
            continue
        if argument in compose_plain(f"{group}={name}")[group]:
            own = f"set search={choice}, or " if choice in list_choices("search") else ""
            raise ConfigError(
                f"search={name}",
                seen=f"{group}={choice}, which has no {key}",
                allowed=f"a search of keys that {group}={choice} has",
                fix=f"{own}leave {group}={choice} out",
            )


def check_space(space: Space, fixed: list[str]) -> None:
    """Compose and build every choice and both ends of every range, before the first trial.

    Raises ConfigError: a key does not exist, or refuses a value.
    """
    for overrides in space.samples():
        build_components(load_config([*fixed, *overrides]))


def specify_study(
    config: ExperimentConfig,
    data: str,
    inputs: tuple[ArtifactRef, ArtifactRef],
    search: Search,
    space: Space,
    settled: dict[str, str],
) -> StudySpec:
    """Return what a study is about. ``config``: composed of what all trials share."""
    experiment = open_experiment(config, *inputs, search.folds)
    sign = primary_metric(experiment.fit_config.task)[1]
    quality = "maximize" if sign > 0 else "minimize"
    directions = tuple(quality if one == "quality" else "minimize" for one in search.objectives)
    settings = deciding_values(config, space)
    settings |= {"search.folds": str(search.folds), "data content": inputs[0].sha256[:12]}
    settings |= settled_values(space, settled) | {"search.reports": str(search.reports)}
    if "seconds" in search.objectives:
        settings["threads"] = str(config.threads)
    name = search.study or f"{config.choices['search']}-{config.choices['target']}-{data}"
    return StudySpec(name, directions, settings)


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
