"""From validated telemetry to a filled store, and the proof that values arrived."""

from __future__ import annotations

import logging
from typing import Any

import pandas as pd

from optimizer.core.artifacts import ArtifactRef, refer
from optimizer.core.errors import ConfigError
from optimizer.core.panel import Panel
from optimizer.features.schema import StoreSchema
from optimizer.features.store.integrity import check_values
from optimizer.features.store.manifest import FILE
from optimizer.features.store.partitions import MapFunction, store_range
from optimizer.features.store.settings import StoreSettings
from optimizer.features.store.store import FeatureStore

logger = logging.getLogger(__name__)


def open_filled(
    panel: Panel, nodes: dict[str, Any], settings: StoreSettings, project: str
) -> FeatureStore:
    """Return the store of some telemetry and feature groups."""
    return FeatureStore(settings, project, StoreSchema(nodes, panel.metrics, panel.step))


def fill_store(
    panel: Panel,
    nodes: dict[str, Any],
    settings: StoreSettings,
    project: str,
    backfill: dict[str, str | None],
    *,
    map_fn: MapFunction = map,
) -> ArtifactRef:
    """Write the features of a range to the offline store and check that values arrived.

    Parameters
    ----------
    panel : Panel
        Validated telemetry.
    nodes : dict
        Configuration of the feature groups by name.
    settings : StoreSettings
        The environment.
    project : str
        The fleet.
    backfill : dict
        ``start`` and ``end`` as ISO 8601 texts, or None.
    map_fn : callable
        Runs the weeks, as in :func:`optimizer.features.store.partitions.store_range`.

    Returns
    -------
    ArtifactRef
        Refers to the manifest.

    Raises
    ------
    ConfigError
        An end of the range is no moment, or the range is empty.
    StoreError, SchemaError, InsufficientHistoryError
        As :func:`optimizer.features.store.partitions.store_range`.
    """
    store = open_filled(panel, nodes, settings, project)
    start, end = (parse_moment(backfill[key], f"backfill.{key}") for key in ("start", "end"))
    done = store_range(
        store.directory,
        panel,
        store.schema,
        start,
        end,
        rebuild=settings.rebuild,
        map_fn=map_fn,
    )
    for key, asked, stored in (("start", start, done.first), ("end", end, done.last + panel.step)):
        beyond = asked is not None and (asked < stored if key == "start" else asked > stored)
        if beyond:
            logger.warning("backfill.%s=%s: the telemetry reaches to %s only", key, asked, stored)
    check_values(store.directory, store.schema, done.first, done.last)
    logger.info(
        "feature store %s: %s to %s, %d weeks written, %d unchanged, version %s",
        project,
        *(f"{moment:%Y-%m-%d %H:%M}" for moment in (done.first, done.last)),
        len(done.written),
        len(done.kept),
        store.schema.version,
    )
    return refer(store.directory / FILE)


def parse_moment(text: str | None, key: str) -> pd.Timestamp | None:
    """Return a moment in UTC, None for no text.

    Raises
    ------
    ConfigError
        The text is no moment.
    """
    if text is None:
        return None
    moment = pd.to_datetime(text, errors="coerce")
    if pd.isna(moment):
        raise ConfigError(
            key,
            seen=repr(text),
            allowed="a moment such as 2025-03-01 or 2025-03-01T06:00",
            fix=f"set {key}=2025-03-01",
        )
    return moment.tz_localize("UTC") if moment.tzinfo is None else moment.tz_convert("UTC")
