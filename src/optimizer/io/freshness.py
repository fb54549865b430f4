"""How old the values are that the online store serves, per view."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import duckdb
import numpy as np
import pandas as pd

from optimizer.columns import TIMESTAMP
from optimizer.errors import StoreError
from optimizer.io.feast_objects import KEYS
from optimizer.io.feature_store import FeatureStore, attempt
from optimizer.io.integrity import HOME, MEMBERSHIP, view_pattern
from optimizer.io.manifest import read_manifest
from optimizer.io.online import read_times

RECENT = "7d"
"""An entity that was stored within this time before the newest row should be online."""


@dataclass(frozen=True)
class ViewFreshness:
    """Age of one view's values.

    Parameters
    ----------
    view : str
        The view.
    newest : pandas.Timestamp or None
        Moment of its newest value; None if it serves nothing.
    age : pandas.Timedelta or None
        Age of that value.
    entities : int
        Services or clusters that were stored within the last seven days.
    stale : float
        Share of them whose value is older than the ttl, later than now, or absent.
    """

    view: str
    newest: pd.Timestamp | None
    age: pd.Timedelta | None
    entities: int
    stale: float


def measure_freshness(store: FeatureStore, now: pd.Timestamp) -> list[ViewFreshness]:
    """Return the freshness of every stored view.

    Parameters
    ----------
    store : FeatureStore
        Applied.
    now : pandas.Timestamp
        The moment that ages are counted to.

    Raises
    ------
    StoreError
        Nothing was stored yet, or the registry or online store cannot be reached.
    """
    schema = store.schema
    witness = {MEMBERSHIP: HOME} | {view: specs[0].name for view, specs in schema.views.items()}
    known = {scope: _recent(store, scope) for scope in KEYS}
    found = []
    for view, feature in witness.items():
        scope = "service" if view == MEMBERSHIP else schema.scope(view)
        rows = {KEYS[scope]: known[scope]}
        ask = partial(store.feast.get_online_features, [f"{view}:{feature}"], rows)
        proto = attempt(ask, "online store").proto
        response = dict(zip(proto.metadata.feature_names.val, proto.results, strict=True))
        moments = read_times(response, feature)
        times = pd.DatetimeIndex(moments[~np.isnat(moments)], tz="UTC")
        newest = times.max() if len(times) else None
        fresh = int(((times >= now - store.ttl) & (times <= now)).sum())
        age = None if newest is None else now - newest
        share = 1 - fresh / len(moments)
        found.append(ViewFreshness(view, newest, age, len(moments), share))
    return found


def newest_online(store: FeatureStore) -> pd.Timestamp | None:
    """Return the newest moment that the online store holds of any service, None if it is empty."""
    rows = {KEYS["service"]: _recent(store, "service")}
    ask = partial(store.feast.get_online_features, [f"{MEMBERSHIP}:{HOME}"], rows)
    proto = attempt(ask, "online store").proto
    response = dict(zip(proto.metadata.feature_names.val, proto.results, strict=True))
    moments = read_times(response, HOME)
    times = pd.DatetimeIndex(moments[~np.isnat(moments)], tz="UTC")
    return times.max() if len(times) else None


def freshness_figures(found: list[ViewFreshness]) -> dict[str, float]:
    """Return the figures for a tracking store: age in seconds and share stale, per view."""
    figures = {}
    for one in found:
        age = np.nan if one.age is None else one.age.total_seconds()
        figures[f"freshness.{one.view}.age_s"] = float(age)
        figures[f"freshness.{one.view}.stale_share"] = one.stale
    return figures


def _recent(store: FeatureStore, scope: str) -> list[str]:
    """Return the services or clusters stored within the last seven days of the store."""
    column = {"service": KEYS["service"], "cluster": HOME}[scope]
    manifest = read_manifest(store.directory)
    if manifest is None:
        raise StoreError(
            f"feature store {store.project}",
            seen="nothing stored yet",
            allowed="a project that holds features",
            fix="run `python flows/features.py` with the same data and store",
        )
    query = f"""
        SELECT DISTINCT {column} FROM read_parquet('{view_pattern(store.directory, MEMBERSHIP)}')
        WHERE {TIMESTAMP} > $1 ORDER BY 1
    """  # noqa: S608 - every part is our own
    with duckdb.connect() as connection:
        since = (manifest.last - pd.Timedelta(RECENT)).to_pydatetime()
        return [row[0] for row in connection.execute(query, [since]).fetchall()]
