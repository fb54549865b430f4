"""The best trial as a named experiment: ``python flows/train.py experiment=<study>``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import yaml

from optimizer.core.config import CONF_DIR
from optimizer.core.errors import ConfigError, first_line
from optimizer.core.output import write_bytes
from optimizer.training.tuning.grammar import parse_value


def write_experiment(name: str, overrides: Sequence[str], comment: str) -> Path:
    """Write overrides to ``conf/experiment/<name>.yaml`` and return its path.

    ``name``: name of the experiment; an older file of that name is replaced. ``overrides``: choices
    and values, as on the command line.
    """
    path = CONF_DIR / "experiment" / f"{name}.yaml"
    return write_bytes(path, render_experiment(overrides, comment).encode())


def render_experiment(overrides: Sequence[str], comment: str) -> str:
    """Return the yaml of an experiment that stands for the overrides."""
    defaults: list[Any] = []
    based, values = [], dict[str, Any]()
    for key, value in map(parse_value, _refuse_deletions(overrides)):
        if key == "experiment":
            based += [value] if value is not None else []
        elif (CONF_DIR / key).is_dir():
            defaults.append({f"override /{key}": value})
        else:
            _place(values, key.split("."), value)
    lists = {"defaults": [*based, "_self_", *defaults]}
    text = yaml.safe_dump(lists, sort_keys=False)
    body = yaml.safe_dump(values, sort_keys=False) if values else ""
    return f"# @package _global_\n# {comment}\n{text}{body}"


def require_writable(overrides: Sequence[str]) -> Sequence[str]:
    """Return the overrides, if a yaml can hold them and can be written.

    Raises ConfigError: one deletes a key, or the directory of experiments takes no file.
    """
    _refuse_deletions(overrides)
    home = CONF_DIR / "experiment"
    try:
        home.mkdir(exist_ok=True)
        with TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise ConfigError(
            "search.save",
            seen=f"{home}, which cannot be written ({first_line(error)})",
            allowed="a directory of yamls that takes a file",
            fix="make it writable, or leave search.save out and use the command that is printed",
        ) from error
    return overrides


def _refuse_deletions(overrides: Sequence[str]) -> Sequence[str]:
    """Return the overrides, of which a yaml can hold all but deletions."""
    deleted = next((one for one in overrides if one.startswith("~")), None)
    if deleted is not None:
        raise ConfigError(
            "search.save",
            seen=f"the override {deleted}",
            allowed="choices and values: a yaml cannot take a key away",
            fix="leave search.save out and use the command that is printed",
        )
    return overrides


def _place(values: dict[str, Any], keys: list[str], value: Any) -> None:
    """Put a value under nested keys."""
    for key in keys[:-1]:
        values = values.setdefault(key, {})
    values[keys[-1]] = value
