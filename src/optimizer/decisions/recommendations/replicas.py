"""How many replicas of which size: for services that scale out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optimizer.core.errors import ConfigError
from optimizer.core.validation import require_count
from optimizer.decisions.policies.wrappers import SLACK

FloatMatrix = NDArray[np.float64]
TIE = 1e-9
"""Share by which costs may differ and still be the same: rounding errors."""


@dataclass(frozen=True)
class Split:
    """Replicas and their size.

    - ``replicas``: int64, shape ``(n_services,)``; 0 where the target is unknown or nothing allowed
      holds it.
    - ``size``: float64, shape ``(n_services, n_resources)``: request of one replica; NaN where
      there is none.
    - ``hour``: float64, shape ``(n_services,)``: price of all replicas by the hour; NaN where there
      is none.
    """

    replicas: NDArray[np.int64]
    size: FloatMatrix
    hour: NDArray[np.float64]


def split_by_step(
    target: ArrayLike,
    typical: ArrayLike | None,
    step: ArrayLike,
    unit_hour: ArrayLike,
    *,
    min_replicas: int = 1,
    max_replicas: int = 10,
) -> Split:
    """Return the cheapest replicas whose size is a multiple of a step.

    Least total price; of equally cheap ones the fewest replicas. Raises ConfigError: shapes that do
    not belong together, or a value out of its range.

    - ``target``: shape ``(n_services, n_resources)``: total request, for example cores and GiB.
    - ``typical``: same shape: load, for example P50, that the other replicas must still hold when
      one is lost. Without it nothing is asked of the loss of a replica.
    - ``step``: shape ``(n_resources,)``: sizes are multiples of this, above 0.
    - ``unit_hour``: shape ``(n_resources,)``: price of a unit by the hour, above 0.
    - ``min_replicas``, ``max_replicas``: fewest and most replicas, at least 1.

    Notes
    -----
    ``n`` replicas of size ``s`` hold the target if ``n * s >= target`` and outlast the loss of
    one if ``(n - 1) * s >= typical``. For each ``n`` the least size is
    ``ceil(max(target / n, typical / (n - 1)) / step) * step``, at least one step. Load is
    treated as evenly spread over the replicas: skew, sessions bound to a replica, and memory
    that every replica holds in full (caches, a runtime) need more than this says.
    """
    wanted, after_loss = _loads(target, typical)
    steps, price = _row("step", step, wanted), _row("unit_hour", unit_hour, wanted)
    replicas = _candidates(min_replicas, max_replicas)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):  # a typical load of 0 needs no other
        rest = np.where(after_loss[:, None] > 0.0, after_loss[:, None] / (replicas - 1), 0.0)
    need = np.maximum(wanted[:, None] / replicas, rest)  # services by candidates by resources
    sizes = np.maximum(np.ceil(need / steps * (1.0 - SLACK)), 1.0) * steps
    hour = replicas[:, 0] * (sizes @ price)
    best = _cheapest(hour, np.broadcast_to(replicas[:, 0], hour.shape))
    row = np.arange(len(wanted))
    return _split(hour[row, best], replicas[best, 0], sizes[row, best])


def desired_replicas(load: ArrayLike, size: ArrayLike) -> FloatMatrix:
    """Return how many replicas of a size a total load needs: whole numbers, NaN if unknown.

    ``load``, ``size``: arrays of shapes that broadcast, in the same unit.

    Notes
    -----
    ``ceil(load / size)``, the horizontal pod autoscaler's formula with
    ``load = currentReplicas * currentMetric``; without its tolerance of 10 %, within which it
    leaves a number as it is.
    """
    share = np.asarray(load, dtype=np.float64) / np.asarray(size, dtype=np.float64)
    return np.asarray(np.ceil(share * (1.0 - SLACK)))


def _cheapest(hour: FloatMatrix, replicas: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the candidate of least price, then fewest replicas; 0 where none is allowed."""
    price = np.where(np.isnan(hour), np.inf, hour)
    ties = price <= price.min(axis=1, keepdims=True) * (1.0 + TIE)
    best: NDArray[np.int64] = np.argmin(np.where(ties, replicas, np.inf), axis=1)
    return best


def _split(hour: NDArray[np.float64], replicas: NDArray[np.float64], size: FloatMatrix) -> Split:
    """Return what was chosen, nothing where its price is not finite."""
    allowed = np.isfinite(hour)
    return Split(
        replicas=np.where(allowed, replicas, 0.0).astype(np.int64),
        size=np.where(allowed[:, None], size, np.nan),
        hour=np.where(allowed, hour, np.nan),
    )


def _candidates(min_replicas: int, max_replicas: int) -> NDArray[np.float64]:
    """Return the numbers of replicas allowed, ascending."""
    require_count("replicas.min_replicas", min_replicas, 1, fix=1)
    require_count("replicas.max_replicas", max_replicas, min_replicas, fix=max(10, min_replicas))
    return np.arange(min_replicas, max_replicas + 1, dtype=np.float64)


def _loads(target: ArrayLike, typical: ArrayLike | None) -> tuple[FloatMatrix, FloatMatrix]:
    """Return targets and what must outlast a loss; a service that lacks one value is unknown."""
    wanted = np.asarray(target, dtype=np.float64)
    rest = np.zeros_like(wanted) if typical is None else np.asarray(typical, dtype=np.float64)
    if wanted.ndim != 2 or rest.shape != wanted.shape:
        raise ConfigError(
            "target",
            seen=f"shapes {wanted.shape} and {rest.shape}",
            allowed="target and typical of shape (n_services, n_resources)",
            fix="give one column per resource",
        )
    if (wanted < 0.0).any() or (rest < 0.0).any():
        raise ConfigError("target", seen="a negative load", allowed="at least 0", fix="correct it")
    unknown = ~np.all(np.isfinite(wanted) & np.isfinite(rest), axis=1, keepdims=True)
    return np.where(unknown, np.nan, wanted), np.where(unknown, 0.0, rest)


def _row(key: str, values: ArrayLike, wanted: FloatMatrix) -> NDArray[np.float64]:
    """Return one positive value per resource, or raise."""
    row = np.asarray(values, dtype=np.float64)
    _require(key, row, row.shape == wanted.shape[1:])
    return row


def _require(key: str, values: NDArray[np.float64], fits: bool) -> None:
    """Raise unless the shape fits and all values are finite and above 0."""
    if not fits or not (np.isfinite(values) & (values > 0.0)).all():
        raise ConfigError(
            f"replicas.{key}",
            seen=values.tolist(),
            allowed="finite numbers above 0, one per resource",
            fix="correct their number and values",
        )
