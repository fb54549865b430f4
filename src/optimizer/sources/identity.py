"""What a row is about: ids without outer spaces, joined from columns, told apart by cluster."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.schema import CLUSTER, SERVICE, TIMESTAMP

_log = logging.getLogger(__name__)
_SAFE = "bcdfghjklmnpqrstvwxz2456789"  # letters of names that Kubernetes makes up (util/rand)
Ids: TypeAlias = "pd.Categorical[Any]"
POD = re.compile(rf"^(?P<workload>.+?)(?:-[{_SAFE}a-f0-9]{{6,10}})?-[{_SAFE}]{{5}}$")
"""A pod of a Deployment (template hash and suffix), or of a DaemonSet or Job (suffix)."""


def read_ids(columns: Sequence[pd.Series], *, fold_pods: bool = False) -> Ids:
    """Return one id per row; -1 as code, that is missing, where a part of it is missing.

    Outer spaces go; a whole number is spelled without a decimal point; several columns are
    joined by ``/``.

    Parameters
    ----------
    columns : sequence of pandas.Series
        Columns of one file that make the id up, in order.
    fold_pods : bool
        Whether the names of pods become their workload's, as Kubernetes makes them up.
    """
    parts = [_spelled(column, fold_pods) for column in columns]
    if len(parts) == 1:
        return parts[0]
    codes = np.zeros(len(columns[0]), dtype=np.int64)
    missing = np.zeros(len(columns[0]), dtype=bool)
    for part in parts:
        codes = codes * len(part.categories) + part.codes
        missing |= part.codes < 0
    kinds, first, inverse = np.unique(
        np.where(missing, -1, codes), return_index=True, return_inverse=True
    )
    names = ["/".join(str(part[row]) for part in parts) for row in first]
    found = pd.Categorical.from_codes(inverse, pd.RangeIndex(len(kinds)))
    return _named(
        found, ["" if kind < 0 else name for kind, name in zip(kinds, names, strict=True)]
    )


def _spelled(column: pd.Series, fold_pods: bool) -> Ids:
    held = pd.Categorical(column)
    names = []
    for value in held.categories:
        whole = isinstance(value, float) and value.is_integer()
        name = str(int(value) if whole else value).strip()
        pod = POD.match(name) if fold_pods else None
        names.append(pod["workload"] if pod else name)
    return _named(held, names)


def _named(held: Ids, names: Sequence[str]) -> Ids:
    """Return categories under new names, equal ones made one; an empty name is missing."""
    kept = sorted({name for name in names if name})
    place = {name: code for code, name in enumerate(kept)}
    target = np.array([*(place.get(name, -1) for name in names), -1], dtype=np.int32)
    return pd.Categorical.from_codes(target[held.codes], pd.Index(kept, dtype=object))


def tell_apart(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with a service that is in several clusters at once told apart by cluster.

    Such a service becomes ``cluster/service``. One that moves, so that its times in one cluster
    end before those in the next begin, stays one service.

    Parameters
    ----------
    frame : pandas.DataFrame
        Canonical names, services and times known; ``service_id`` and ``cluster_id`` categorical.
    """
    service, cluster = frame[SERVICE].cat, frame[CLUSTER].cat
    n_clusters = len(cluster.categories)
    pair = service.codes.to_numpy(np.int64) * n_clusters + cluster.codes.to_numpy()
    known = cluster.codes.to_numpy() >= 0
    if n_clusters < 2:
        return frame
    pairs = pd.unique(pair[known])
    several = np.flatnonzero(np.bincount(pairs // n_clusters, minlength=1) > 1)
    if len(several) == 0:
        return frame
    known &= np.isin(service.codes, several)
    together = _overlapping(pair[known], frame[TIMESTAMP][known], n_clusters)
    if len(together) == 0:
        return frame
    names = service.categories[together]
    _log.info(
        "%d services are in several clusters at once and told apart as cluster/service, for "
        "example %s",
        len(together),
        names[0],
    )
    split = known & np.isin(service.codes, together)
    kinds, inverse = np.unique(pair[split], return_inverse=True)
    fresh = [
        f"{cluster.categories[kind % n_clusters]}/{service.categories[kind // n_clusters]}"
        for kind in kinds
    ]
    codes = service.codes.to_numpy(np.int64).copy()
    codes[split] = len(service.categories) + inverse
    held = pd.Categorical.from_codes(codes, pd.RangeIndex(len(service.categories) + len(kinds)))
    return frame.assign(**{SERVICE: _named(held, [*service.categories, *fresh])})


def _overlapping(pair: NDArray[np.int64], times: pd.Series, n_clusters: int) -> NDArray[np.int64]:
    """Return the services whose ranges of time in two clusters overlap."""
    ranges = times.groupby(pair).agg(["min", "max"])
    ranges["service"] = ranges.index // n_clusters
    ranges = ranges.sort_values(["service", "min"])
    ends = ranges.groupby("service")["max"].cummax().shift()
    same = ranges["service"] == ranges["service"].shift()
    return np.unique(ranges["service"][same & (ranges["min"] <= ends)].to_numpy(np.int64))
