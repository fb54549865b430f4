"""How old the values are that the online store serves, per view."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np
import pandas as pd

from optimizer.core.config_schema import ExperimentConfig
from optimizer.delivery.serving.online import read_times
from optimizer.features.store.backfill import parse_moment
from optimizer.features.store.feast_objects import KEYS
from optimizer.features.store.integrity import HOME, MEMBERSHIP, view_pattern
from optimizer.features.store.manifest import Manifest, require_manifest
from optimizer.features.store.store import FeatureStore


@dataclass(frozen=True)
class ViewFreshness:
    """Age of one view's values.

    ``newest``: moment of its newest value; None if it serves nothing. ``entities``: services or
    clusters of the offline store, however long they have been silent. ``stale``: share of them
    whose value is older than the ttl, later than now, or absent.
    """

    view: str
    newest: pd.Timestamp | None
    age: pd.Timedelta | None
    entities: int
    stale: float


def choose_moment(config: ExperimentConfig) -> pd.Timestamp:
    """Return the moment that ages are counted to: ``now``, or the clock."""
    return parse_moment(config.now, "now") or pd.Timestamp.now("UTC")


def covers_newest(config: ExperimentConfig, manifest: Manifest) -> bool:
    """Tell whether the range that was asked for ends with the newest stored moment."""
    end = parse_moment(config.backfill.end, "backfill.end")
    return end is None or end > manifest.last


def measure_freshness(store: FeatureStore, now: pd.Timestamp) -> list[ViewFreshness]:
    """Return the freshness of every stored view.

    Raises StoreError: nothing was stored yet, or the registry or online store cannot be reached.
    """
    schema = store.schema
    witness = {MEMBERSHIP: HOME} | {view: specs[0].name for view, specs in schema.views.items()}
    known = {scope: _stored(store, scope) for scope in KEYS}
    found = []
    for view, feature in witness.items():
        scope = "service" if view == MEMBERSHIP else schema.scope(view)
        times = _moments(store, f"{view}:{feature}", {KEYS[scope]: known[scope]})
        newest = times.max() if len(times) else None
        fresh = int(((times >= now - store.ttl) & (times <= now)).sum())
        age, entities = None if newest is None else now - newest, len(known[scope])
        found.append(ViewFreshness(view, newest, age, entities, 1 - fresh / entities))
    return found


def newest_online(store: FeatureStore) -> pd.Timestamp | None:
    """Return the newest moment that the online store holds of any service, None if it is empty."""
    services = {KEYS["service"]: _stored(store, "service")}
    times = _moments(store, f"{MEMBERSHIP}:{HOME}", services)
    return times.max() if len(times) else None


def _moments(store: FeatureStore, reference: str, rows: dict[str, list[str]]) -> pd.DatetimeIndex:
    """Return the moments of a feature's online values, of those entities that have one."""
    moments = read_times(store.ask([reference], rows), reference.partition(":")[2])
    return pd.DatetimeIndex(moments[~np.isnat(moments)], tz="UTC")


def freshness_figures(found: list[ViewFreshness]) -> dict[str, float]:
    """Return the figures for a tracking store: age in seconds and share stale, per view."""
    figures = {}
    for one in found:
        age = np.nan if one.age is None else one.age.total_seconds()
        figures[f"freshness.{one.view}.age_s"] = float(age)
        figures[f"freshness.{one.view}.stale_share"] = one.stale
    return figures


def _stored(store: FeatureStore, scope: str) -> list[str]:
    """Return all services or clusters of the offline store."""
    column = {"service": KEYS["service"], "cluster": HOME}[scope]
    require_manifest(store.directory)
    query = f"""
        SELECT DISTINCT {column} FROM read_parquet('{view_pattern(store.directory, MEMBERSHIP)}')
        ORDER BY 1
    """  # noqa: S608 - every part is our own
    with duckdb.connect() as connection:
        return [row[0] for row in connection.execute(query).fetchall()]
