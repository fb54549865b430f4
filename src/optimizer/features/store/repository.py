"""Open a project that was stored, by its name or by Feast's own ``feature_store.yaml``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from optimizer.core.config import build, list_choices, load_config
from optimizer.core.errors import StoreError
from optimizer.core.schema import METRICS
from optimizer.features.schema import StoreSchema
from optimizer.features.store.manifest import read_manifest, require_manifest
from optimizer.features.store.settings import StoreSettings
from optimizer.features.store.store import FeatureStore


def open_store(project: str, overrides: list[str] | None = None) -> FeatureStore:
    """Return the feature store of a project with the features that it holds.

    Parameters
    ----------
    project : str
        Its name, as the flows print it.
    overrides : list of str, optional
        Hydra overrides such as ``["store=production"]``.

    Raises
    ------
    StoreError
        Nothing was stored under this name.
    """
    return open_project(build(load_config(overrides).store, "store"), project)


def open_project(settings: StoreSettings, project: str) -> FeatureStore:
    """Return the feature store of a project of an environment.

    Raises
    ------
    StoreError
        Nothing was stored under this name.
    """
    manifest = require_manifest(settings.directory(project))
    return FeatureStore(settings, project, manifest.schema)


def define_repository(config_file: Path) -> dict[str, Any]:
    """Return the definitions of the project that a ``feature_store.yaml`` names.

    Parameters
    ----------
    config_file : pathlib.Path
        The file that Feast's commands read.

    Returns
    -------
    dict
        Feast objects by name: of the features that the project holds, or of ``features=full``
        on telemetry with every metric where nothing was stored yet.
    """
    from feast.repo_config import load_repo_config

    settings = settings_of(config_file)
    project = load_repo_config(config_file.parent, config_file).project
    manifest = read_manifest(settings.directory(project))
    if manifest is None:
        nodes = load_config().features.groups
        schema = StoreSchema(nodes, tuple(METRICS), pd.Timedelta("1h"))
    else:
        schema = manifest.schema
    return FeatureStore(settings, project, schema).objects


def settings_of(config_file: Path) -> StoreSettings:
    """Return the settings of the environment whose ``feature_store.yaml`` this is.

    Raises
    ------
    StoreError
        No yaml in ``conf/store`` names it.
    """
    names = []
    for choice in list_choices("store"):
        settings: StoreSettings = build(load_config([f"store={choice}"]).store, "store")
        names.append(Path(settings.feast).name)
        if names[-1] == config_file.name:
            root = config_file.resolve().parent.parent
            return replace(settings, offline=str(root / settings.offline))
    raise StoreError(
        str(config_file),
        seen="a file that no choice of store names",
        allowed=", ".join(names),
        fix="set FEAST_FS_YAML_FILE_PATH to one of these",
    )
