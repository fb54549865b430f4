"""Features of services now, from the online store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.errors import ConfigError, StoreError
from optimizer.core.panel import FloatArray
from optimizer.core.schema import CLUSTER, SERVICE, TIMESTAMP
from optimizer.features.engine import derive_features
from optimizer.features.store.feast_objects import REALTIME
from optimizer.features.store.integrity import HOME, MEMBERSHIP, has_values, view_pattern
from optimizer.features.store.store import FeatureStore, attempt

FRESH, STALE, MIXED, AHEAD, UNKNOWN = "fresh", "stale", "mixed", "ahead", "unknown"
NEVER = np.datetime64("NaT", "us")
SAMPLE = 100
"""Services read back from the online store after it was written."""


@dataclass(frozen=True)
class OnlineFeatures:
    """What the store served.

    - ``names``: feature names, in the order of a feature table.
    - ``values``: float32, shape ``(n_features, n_services)``; NaN in a gap and where nothing is
      served.
    - ``timestamps``: datetime64[us] UTC, shape ``(n_services,)``: the moment of the values, NaT if
      unknown.
    - ``status``: ``fresh``; ``stale``: older than the ttl; ``ahead``: later than the moment asked
      for; ``mixed``: the views are of different moments, as after an interrupted write;
      ``unknown``: never stored, or silent for too long.

    Notes
    -----
    As in a point-in-time join, a service that is silent at the newest step has its own last values
    beside its cluster's newest ones, until the ttl is over.
    """

    services: tuple[str, ...]
    names: tuple[str, ...]
    values: FloatArray
    timestamps: NDArray[np.datetime64]
    status: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """Return one row per service: key, moment, status and every feature."""
        keys = pd.DataFrame(
            {
                SERVICE: self.services,
                TIMESTAMP: pd.DatetimeIndex(self.timestamps, tz="UTC"),
                "status": self.status,
            }
        )
        return keys.join(pd.DataFrame(self.values.T, columns=list(self.names)))

    def require_fresh(self) -> OnlineFeatures:
        """Return the features if every service was served fresh ones.

        Raises StoreError: names the first service that was not, and why.
        """
        for service, status, moment in zip(
            self.services, self.status, self.timestamps, strict=True
        ):
            if status != FRESH:
                raise StoreError(
                    f"service {service}",
                    seen=f"{status} features" + ("" if status == UNKNOWN else f" of {moment}Z"),
                    allowed="a service that is stored, with values younger than store.ttl",
                    fix="correct the name, or run `python flows/features.py` on newer telemetry",
                )
        return self


class OnlineReader:
    """Reads ``realtime_fs`` and derives the rest, from one open connection.

    ``version``: version of the features that a model was trained on (the tag ``feature_version`` of
    its registered version); another one in the store is refused.

    Notes
    -----
    A service's cluster is part of the key, so the reader remembers it; each answer says which
    cluster the service is in now, and one that has moved is read again.
    """

    def __init__(self, store: FeatureStore, version: str | None = None) -> None:
        if version is not None:
            store.require_version(version)
        self._store = store
        self._homes: dict[str, str] = {}

    @cached_property
    def _service(self) -> Any:
        return attempt(lambda: self._store.feast.get_feature_service(REALTIME), "registry")

    @cached_property
    def _place(self) -> dict[str, int]:
        return {spec.name: index for index, spec in enumerate(self._store.schema.specs)}

    @cached_property
    def _witnesses(self) -> dict[str, list[str]]:
        """One feature per view, by scope: all of a view are written together."""
        found: dict[str, list[str]] = {"service": [HOME], "cluster": []}
        for view, specs in self._store.schema.views.items():
            found[self._store.schema.scope(view)].append(specs[0].name)
        return found

    def read(
        self, services: Sequence[str], now: pd.Timestamp, *, allow_stale: bool = False
    ) -> OnlineFeatures:
        """Return the features of some services.

        Raises StoreError: the registry or the online store cannot be reached; ConfigError: no
        service or a text instead of a list, or ``now`` without a time zone.
        """
        _check_question(services, now)
        names = tuple(dict.fromkeys(services))
        response = self._fetch(names)
        homes = _texts(response, HOME)
        moved = {s: h for s, h in zip(names, homes, strict=True) if h and h != self._homes.get(s)}
        if moved:
            self._homes |= moved
            response = self._fetch(names)
        witnesses = chain.from_iterable(self._witnesses.values())
        times = {name: read_times(response, name) for name in witnesses}
        values = self._values(response, len(names))
        moments = times[HOME]
        status = self._judge(times, now)
        served = [s == FRESH or (s == STALE and allow_stale) for s in status]
        values[:, ~np.array(served)] = np.nan
        order = [names.index(service) for service in services]
        return OnlineFeatures(
            tuple(services),
            tuple(self._place),
            values[:, order],
            moments[order],
            tuple(status[i] for i in order),
        )

    def _fetch(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Return Feast's answer by feature name."""
        unknown = [name for name in names if name not in self._homes]
        if unknown:
            found = self._store.ask([f"{MEMBERSHIP}:{HOME}"], {SERVICE: unknown})
            homes = dict(zip(unknown, _texts(found, HOME), strict=True))
            self._homes |= {name: home for name, home in homes.items() if home}
        clusters = [self._homes.get(name, "") for name in names]
        return self._store.ask(self._service, {SERVICE: list(names), CLUSTER: clusters})

    def _values(self, response: dict[str, Any], n: int) -> FloatArray:
        """Return stored and derived values, shape ``(n_features, n_services)``."""
        values = np.full((len(self._place), n), np.nan, dtype=np.float32)
        for name, index in self._place.items():
            vector = response.get(name)
            if vector is not None:
                _fill_row(values[index], vector.values)
        derived = derive_features(
            self._store.schema.derived, lambda name: values[self._place[name]]
        )
        for name, column in derived:
            values[self._place[name]] = column
        return values

    def _judge(self, times: dict[str, NDArray[np.datetime64]], now: pd.Timestamp) -> list[str]:
        """Return each service's status."""
        own = np.stack([times[name] for name in self._witnesses["service"]])
        oldest = (now - self._store.ttl).tz_convert("UTC").tz_localize(None).to_datetime64()
        mixed = (own != own[0]).any(axis=0)
        for name in self._witnesses["cluster"]:
            mixed |= ~(times[name] >= own[0])  # a cluster goes on while a service is silent
        latest = np.max([*own, *(times[name] for name in self._witnesses["cluster"])], axis=0)
        ahead = latest > now.tz_convert("UTC").tz_localize(None).to_datetime64()
        unknown = np.isnat(own).all(axis=0)
        stale = own[0] < oldest
        choices = [UNKNOWN, AHEAD, MIXED, STALE]
        return [str(s) for s in np.select([unknown, ahead, mixed, stale], choices, FRESH)]


def _check_question(services: Sequence[str], now: pd.Timestamp) -> None:
    """Raise unless services are a list of ids and now is a moment of a time zone."""
    if isinstance(services, str) or len(services) == 0:
        raise ConfigError(
            "services",
            seen=repr(services),
            allowed="a list of one id or more",
            fix='write ["web-02"] for one service',
        )
    if getattr(now, "tzinfo", None) is None:
        raise ConfigError(
            "now",
            seen=repr(now),
            allowed="a pandas.Timestamp with a time zone",
            fix='write pd.Timestamp("2025-04-01", tz="UTC") or pd.Timestamp.now("UTC")',
        )


def _fill_row(row: FloatArray, answers: Any) -> None:
    """Write Feast's floats into a row of values.

    A NaN was stored as no value at all, which reads 0.0 and has the status PRESENT nevertheless.
    """
    row[:] = [answer.float_val for answer in answers]
    for place in np.flatnonzero(row == 0):
        if not answers[place].HasField("float_val"):
            row[place] = np.nan


def _texts(response: dict[str, Any], name: str) -> list[str]:
    return [value.string_val for value in response[name].values]


def read_times(response: dict[str, Any], name: str) -> NDArray[np.datetime64]:
    """Return a feature's moments, NaT where it has none."""
    stamps = response[name].event_timestamps
    micros = np.array([s.seconds * 1_000_000 + s.nanos // 1000 for s in stamps], dtype=np.int64)
    return np.where(micros > 0, micros.astype("datetime64[us]"), NEVER)


def check_online(store: FeatureStore, end: pd.Timestamp) -> None:
    """Read services of the newest step back from the online store.

    Raises StoreError: a service is not there with fresh values, or a view has none though it was
    stored with some.
    """
    query = f"""
        SELECT {SERVICE} FROM read_parquet('{view_pattern(store.directory, MEMBERSHIP)}')
        WHERE {TIMESTAMP} = $1 ORDER BY 1 LIMIT {SAMPLE}
    """  # noqa: S608 - every part is our own
    with duckdb.connect() as connection:
        rows = connection.execute(query, [end.to_pydatetime()]).fetchall()
    found = OnlineReader(store).read([row[0] for row in rows], end)
    wrong = sorted({status for status in found.status if status != FRESH})
    arrived = [bool(np.isfinite(row).any()) for row in found.values]
    known = dict(zip(found.names, arrived, strict=True))
    empty = [
        view
        for view, specs in store.schema.views.items()
        if not any(known[spec.name] for spec in specs)
        and has_values(store.directory, store.schema, view, end, end)
    ]
    if wrong or empty:
        raise StoreError(
            f"online store of {store.project}",
            seen=f"{', '.join(wrong) or 'no'} services, views without a value: "
            f"{', '.join(empty) or 'none'}",
            allowed=f"fresh values of all services that have a row at {end.isoformat()}",
            fix="run `python flows/features.py` again",
        )
