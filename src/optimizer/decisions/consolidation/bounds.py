"""Pods and nodes in whole units, a packing that is good at once and a bound it cannot beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.core.errors import ConfigError, DataQualityError
from optimizer.decisions.policies.wrappers import SLACK
from optimizer.decisions.pricing.catalogue import Instance

IntMatrix = NDArray[np.int64]
UNITS = np.array([1000.0, 1024.0])
"""Millicores in a core and MiB in a GiB: the grain that requests are written with."""


@dataclass(frozen=True)
class Pods:
    """Pods of one fleet, like ones together.

    ``sizes``: int64, shape ``(n_shapes, 3)``: millicores, MiB and 1 pod; no two rows alike.
    ``counts``: int64, shape ``(n_shapes,)``: how many there are of each, at least 1. ``node``:
    int64, shape ``(3,)``: what a node offers of each.
    """

    sizes: IntMatrix
    counts: NDArray[np.int64]
    node: NDArray[np.int64]


@dataclass(frozen=True)
class Fill:
    """A packing.

    ``placed``: tuples ``(shape, nodes, counts)``: how many pods of a shape lie on which nodes.
    """

    n_nodes: int
    placed: tuple[tuple[int, NDArray[np.int64], NDArray[np.int64]], ...]


def offer(node: Instance, reserve: float, max_pods: int) -> NDArray[np.int64]:
    """Return what a node offers to pods: millicores, MiB and pods, int64 of shape ``(3,)``.

    Raises ConfigError: nothing is left of a resource.
    """
    whole = np.array([node.cores, node.memory_gib]) * UNITS * (1.0 - reserve)
    left = np.floor(whole * (1.0 + SLACK**2)).astype(np.int64)  # 4 cores less 6 % are 3760
    if (left < 1).any():
        raise ConfigError(
            f"prices.instances.{node.name}",
            seen=f"{left[0]} millicores and {left[1]} MiB beside the reserve",
            allowed="some of both",
            fix="name a larger instance or lower packing.reserve",
        )
    return np.append(left, np.int64(max_pods))


def pods_of(
    cores: NDArray[np.floating],
    memory_gib: NDArray[np.floating],
    node: NDArray[np.int64],
    replicas: NDArray[np.integer] | None = None,
) -> Pods:
    """Return the pods of services.

    A service of which a pod is larger than a node is split into the least number of equal pods that
    fit. Sizes are rounded up to a millicore and a MiB. Raises DataQualityError: a request is
    unknown or negative.

    - ``cores``, ``memory_gib``: shape ``(n_services,)``: total requests, at least 0.
    - ``node``: from :func:`offer`.
    - ``replicas``: integer, shape ``(n_services,)``: equal pods of each service; one by default.
    """
    asked = np.stack([cores, memory_gib], axis=-1).astype(np.float64)
    wrong: NDArray[np.bool_] = ~np.all(np.isfinite(asked) & (asked >= 0.0), axis=-1)
    if wrong.any():
        raise DataQualityError(
            "requests",
            seen=f"{int(wrong.sum())} of {len(wrong)} services with unknown or negative requests",
            allowed="known cores and GiB, at least 0",
            fix="leave these services out",
        )
    total = np.ceil(asked * UNITS * (1.0 - SLACK)).astype(np.int64)
    least = np.ones(len(total), dtype=np.int64) if replicas is None else np.maximum(replicas, 1)
    split = np.maximum(least, _parts(total, node[:2]).max(axis=-1))
    each = np.column_stack([_parts(total, split[:, None]), np.ones(len(total), dtype=np.int64)])
    sizes, place = np.unique(each, axis=0, return_inverse=True)
    counts = np.bincount(place.ravel(), weights=split, minlength=len(sizes)).astype(np.int64)
    return Pods(sizes, counts, node)


def lower_bound(pods: Pods) -> int:
    """Return how many nodes any packing takes at least.

    Notes
    -----
    The bound L2 of Martello and Toth, "Lower bounds and reduction procedures for the bin packing
    problem" (Discrete Applied Mathematics 28, 1990), the largest over cores, memory and pods. It
    is never below total over size, and knows that two pods of more than half a node never share
    one.
    """
    if not len(pods.sizes):
        return 0
    dimensions = zip(pods.sizes.T, pods.node, strict=True)
    return max(_bound(sizes, pods.counts, int(node)) for sizes, node in dimensions)


def first_fit(pods: Pods) -> Fill:
    """Return the best of four first-fit-decreasing packings.

    Notes
    -----
    Pods go, largest first, to the first node that has room; like ones at once, which gives the
    same as one by one. "Large" is the largest share of a node, the sum of the shares, cores or
    memory: in two dimensions none is best everywhere.
    """
    shares = pods.sizes / pods.node
    keys = (shares.max(axis=1), shares[:, :2].sum(axis=1), shares[:, 0], shares[:, 1])
    orders = (np.lexsort((-shares.sum(axis=1), -key)) for key in keys)
    return min((_fill(pods, order) for order in orders), key=lambda fill: fill.n_nodes)


def _fill(pods: Pods, order: NDArray[np.int64]) -> Fill:
    """Return the first-fit packing of shapes in an order."""
    free = np.empty((int(pods.counts.sum()), len(pods.node)), dtype=np.int64)
    opened, placed = 0, []
    for shape in order:
        size, count = pods.sizes[shape], int(pods.counts[shape])
        room = _fitting(free[:opened], size)
        before = np.cumsum(room) - room
        put = np.clip(count - before, 0, room)
        rest = count - int(put.sum())
        if rest:
            most = int(_fitting(pods.node[None], size)[0])
            new = -(-rest // most)
            free[opened : opened + new] = pods.node
            put = np.append(put, np.minimum(most, rest - most * np.arange(new)))
            opened += new
        at = np.flatnonzero(put)
        free[at] -= put[at, None] * size
        placed.append((int(shape), at, put[at]))
    return Fill(opened, tuple(placed))


def _fitting(free: IntMatrix, size: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many pods of a size have room on each node."""
    taken = size > 0
    room: NDArray[np.int64] = (free[:, taken] // size[taken]).min(axis=1)
    return room


def _parts(total: NDArray[np.int64], size: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return total over size, rounded up."""
    return -(-total // size)


def _bound(sizes: NDArray[np.int64], counts: NDArray[np.int64], node: int) -> int:
    """Return the bound of one dimension, the best over every size up to half a node."""
    order = np.argsort(sizes)
    size, count = sizes[order], counts[order]
    number = np.append(0, np.cumsum(count))
    volume = np.append(0, np.cumsum(count * size))
    half = np.searchsorted(size, node // 2, side="right")
    small = np.append(0, size[:half])  # pods below this are left out of account
    first = np.searchsorted(size, small, side="left")
    # Larger than this they share a node with none that counts.
    alone = np.maximum(np.searchsorted(size, node - small, side="right"), half)
    middle = number[alone] - number[half]
    rest = volume[half] - volume[first] - (middle * node - (volume[alone] - volume[half]))
    nodes = number[-1] - number[half] + np.maximum(0, -(-rest // node))
    return int(nodes.max())
