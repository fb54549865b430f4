"""Where the feature store of an environment lies and how long its values are good."""

from __future__ import annotations

import logging
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from optimizer.core.artifacts import hash_values, shipped
from optimizer.core.config import build, compose_plain
from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.durations import parse_duration
from optimizer.core.errors import ConfigError
from optimizer.core.validation import require_count

logger = logging.getLogger(__name__)

TTL_STEPS = 3
"""Sampling intervals after which a value is stale, unless ``store.ttl`` says otherwise. A long
ttl makes the point-in-time join explode."""

WHERE = ("path", "name", "columns", "units", "clock")
"""Keys of a data source that say where and how its rows are read, not which they are."""


@dataclass(frozen=True)
class StoreSettings:
    """One environment's feature store.

    Parameters
    ----------
    feast : str
        Path of its ``feature_store.yaml``.
    offline : str
        Directory of the Parquet partitions; each project has its own below it.
    project : str, optional
        Name of the fleet in the store; made from the data's name if absent.
    ttl : str, optional
        Age up to which a value counts at the time of reading; three steps if absent.
    online_window : str
        How far back the newest value of a service may lie to be put online.
    feast_rows : int
        Training rows up to which Feast joins; above, DuckDB does by the same rules.
    rebuild : bool
        Drop what the project holds and store it anew.
    """

    feast: str
    offline: str
    project: str | None = None
    ttl: str | None = None
    online_window: str = "24h"
    feast_rows: int = 150_000
    rebuild: bool = False

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.ttl is not None:
            parse_duration(self.ttl, "store.ttl")
        parse_duration(self.online_window, "store.online_window")
        require_count("store.feast_rows", self.feast_rows, 0, fix=150_000)
        if self.project is not None and not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_]*", self.project):
            raise ConfigError(
                "store.project",
                seen=repr(self.project),
                allowed="letters, digits and _, beginning with a letter or digit",
                fix="set store.project=my_fleet",
            )

    def feast_file(self) -> Path:
        """Return the ``feature_store.yaml``; the one that we ship is put there if none is.

        So an installed package works in an empty directory, and what Feast keeps lies beside the
        file, where its own commands find it.
        """
        path, template = Path(self.feast), shipped("feature_repo")
        if not path.exists() and (template / path.name).is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            for file in (path.name, "definitions.py"):
                shutil.copyfile(template / file, path.parent / file)
            logger.info("%s: written, with what Feast's own commands read", path.parent)
        return path

    def directory(self, project: str) -> Path:
        """Return the directory of a project's partitions."""
        return Path(self.offline).resolve() / project

    def time_to_live(self, step: pd.Timedelta) -> pd.Timedelta:
        """Return the age up to which a value is served on a clock of this step."""
        return step * TTL_STEPS if self.ttl is None else parse_duration(self.ttl, "store.ttl")


def name_project(settings: StoreSettings, data: str, config: ExperimentConfig) -> str:
    """Return the project of the configured data and features in the store.

    Parameters
    ----------
    settings : StoreSettings
        Its ``project`` wins.
    data : str
        Short name of the data.
    config : ExperimentConfig
        Other feature groups than those of ``features=full``, another clock or other settings of
        the data than its own yaml's get a project of their own: two kinds of features, or two
        generated fleets, never replace each other.
    """
    if settings.project is not None:
        return settings.project
    plain = re.sub(r"\W+", "_", data).strip("_") or "fleet"
    plainest = compose_plain(f"data={config.choices['data']}")
    nodes, usual = config.features.groups, plainest["data"]
    data_set = {k: v for k, v in config.data.items() if k not in WHERE and v != usual.get(k)}
    if not data_set and nodes == plainest["features"]["groups"]:
        return plain
    return f"{plain}_{hash_values({'groups': nodes, 'data': data_set})[:8]}"


def project_of(config: ExperimentConfig, data: str) -> str:
    """Return the project of the configured data and features in the store: :func:`name_project`."""
    settings: StoreSettings = build(config.store, "store")
    return name_project(settings, data, config)
