"""Aggregates over the services of a cluster at each step."""

from __future__ import annotations

import numpy as np

from optimizer.core.panel import FloatArray, IntArray
from optimizer.features.base import Array

BUSY = 0.8


def aggregate_clusters(values: FloatArray, clusters: IntArray, n_clusters: int) -> dict[str, Array]:
    """Return a metric's aggregates per cluster and step.

    ``count``, ``mean``, ``max``, ``std`` and ``above_80``, each float64 of shape ``(n_clusters,
    n_steps)``; NaN where no service of the cluster was observed. ``values``: float32, shape
    ``(n_services, n_steps)``; NaN in a gap. ``clusters``: same shape: the cluster that each service
    belongs to at each step, -1 for none.
    """
    kinds = ("count", "mean", "max", "std", "above_80")
    out = {kind: np.full((n_clusters, values.shape[1]), np.nan) for kind in kinds}
    for code in range(n_clusters):
        inside = clusters == code
        members = inside.any(axis=1)
        for kind, row in _aggregate(values[members], inside[members]).items():
            out[kind][code] = row
    return out


def _aggregate(values: FloatArray, inside: Array) -> dict[str, Array]:
    """Return the aggregates over all rows where they are inside; the values are used up."""
    if not inside.all():
        values[~inside] = np.nan
    gaps = np.isnan(values)
    highest = np.fmax.reduce(values, axis=0, initial=np.nan)
    busy = _count(values >= BUSY)
    np.copyto(values, 0, where=gaps)
    count = len(values) - _count(gaps)
    known = np.where(count > 0, count, np.nan)
    wide = values.astype(np.float64)
    mean = wide.sum(axis=0) / known
    # float32 squares are exact in float64: equal values have no spread, to the last digit
    variance = np.square(wide, out=wide).sum(axis=0) / known - mean * mean
    return {
        "count": count,
        "mean": mean,
        "max": highest,
        "std": np.sqrt(np.maximum(variance, 0)),
        "above_80": busy / known,
    }


def _count(flags: Array) -> Array:
    """Return how many rows are set in each column: narrow integers add up many at a time."""
    narrow = flags.astype(np.min_scalar_type(len(flags)))
    count: Array = narrow.sum(axis=0, dtype=narrow.dtype).astype(np.float64)
    return count
