"""Small feature stores for tests, each in a directory of its own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from factories import tiny_panel

from optimizer.core.config import CONF_DIR, build, load_config
from optimizer.core.panel import Panel
from optimizer.features.schema import StoreSchema
from optimizer.features.store.settings import StoreSettings
from optimizer.features.store.store import FeatureStore

FEAST_YAML = CONF_DIR.parent / "feature_repo" / "feature_store.yaml"


@cache
def nodes(choice: str = "full") -> Mapping[str, Any]:
    """Return the feature groups of a choice."""
    return load_config([f"features={choice}"]).features.groups


def moving_panel(n_services: int = 6, n_steps: int = 24 * 24, *, step: str = "1h") -> Panel:
    """Return 24 days with gaps, absent rows, a late start and a service that changes cluster."""
    panel = tiny_panel(n_services, n_steps, gaps=0.05, step=step)
    late, moves = n_services - 1, n_steps * 2 // 3
    values, present, clusters = panel.values.copy(), panel.present.copy(), panel.clusters.copy()
    values[:, late, : n_steps // 2] = np.nan
    present[late, : n_steps // 2] = False
    clusters[late, : n_steps // 2] = -1
    clusters[0, moves:] = 1
    present[:, -1] = True  # every service has the newest row
    return replace(panel, values=values, present=present, clusters=clusters)


def schema_of(panel: Panel, choice: str = "full") -> StoreSchema:
    """Return the schema of a choice of features on a panel."""
    return StoreSchema(nodes(choice), panel.metrics, panel.step)


def store_of(
    home: Path, panel: Panel, *, choice: str = "full", project: str = "fleet", **settings: Any
) -> FeatureStore:
    """Return a store with its own registry, online database and partitions."""
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(FEAST_YAML, home)
    base: StoreSettings = build(load_config().store, "store")
    paths = {"feast": str(home / FEAST_YAML.name), "offline": str(home / "data" / "offline")}
    return FeatureStore(replace(base, **{**paths, **settings}), project, schema_of(panel, choice))


def moment(panel: Panel, step: int) -> pd.Timestamp:
    """Return the time of a step."""
    return pd.Timestamp(panel.timestamps[step], tz="UTC")


def places(home: Path) -> list[str]:
    """Return the overrides that keep everything a flow writes in a directory."""
    shutil.copy(FEAST_YAML, home)
    return [
        f"tracking.uri=sqlite:///{home}/mlflow.db",
        f"cache.dir={home}/cache",
        f"store.feast={home / FEAST_YAML.name}",
        f"store.offline={home}/data/offline",
    ]
