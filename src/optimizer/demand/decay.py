"""Past usage weighted by its age: means and quantiles of all services at once, gaps ignored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray

Floats = NDArray[np.float64]
BLOCK = 400_000
"""Values ranked at a time: they and their weights stay in the processor's cache."""
LEAST_LOAD = 1e-30
"""Load of an idle step, so that a service that was always idle has a quantile: 0."""


def age_weights(n_steps: int, cutoff: int, half_life: float) -> Floats:
    """Return the weight of each step at a cutoff.

    Shape ``(n_steps,)``: ``2 ** -((cutoff - 1 - step) / half_life)``, and 0 from the cutoff on.
    ``n_steps``, ``cutoff``: length of the clock, and the first step that is not known yet.
    ``half_life``: steps after which a weight has halved.
    """
    weights = np.zeros(n_steps)
    weights[:cutoff] = np.exp2(np.arange(1 - cutoff, 1) / half_life)
    return weights


@dataclass(frozen=True)
class Ranked:
    """Usage of each service in ascending order; the unobserved comes last.

    ``values``: float64, shape ``(n_services, n_steps)``; 0 where unobserved. ``steps``: same shape:
    the step that each value was observed at, ``n_steps`` where unobserved.
    """

    values: Floats
    steps: NDArray[np.int64]

    def weigh(self, weights: Floats) -> Floats:
        """Return the weight of each value by its step, 0 where unobserved."""
        return np.append(weights, 0.0)[self.steps]


def rank(values: FloatArray) -> Ranked:
    """Return usage in ascending order, shape ``(n_services, n_steps)``."""
    steps = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, steps, axis=1).astype(np.float64)
    unobserved = np.isnan(ordered)
    ordered[unobserved] = 0.0
    steps[unobserved] = values.shape[1]
    return Ranked(ordered, steps)


def ranked_blocks(values: FloatArray) -> Iterator[tuple[slice, Ranked]]:
    """Yield the services a few at a time, ranked: a service is ranked once for all cutoffs."""
    size = max(1, BLOCK // max(1, values.shape[1]))
    for start in range(0, len(values), size):
        part = slice(start, start + size)
        yield part, rank(values[part])


def ranked_quantiles(values: Floats, weights: Floats, levels: Sequence[float]) -> Floats:
    """Return weighted quantiles of ascending values.

    Shape ``(n_levels, n_services)``: the smallest value up to which the weights add up to at least
    the level's share of their sum; NaN where all weights are 0. ``values``, ``weights``: shape
    ``(n_services, n)``; values ascending, weights of at least 0. ``levels``: in (0, 1].
    """
    reached = np.cumsum(weights, axis=1)
    total = reached[:, -1:]
    place = first_reaching(reached, total * np.asarray(levels))
    found = np.take_along_axis(values, place, axis=1)
    return np.where(total > 0.0, found, np.nan).T


def first_reaching(ascending: Floats, wanted: Floats) -> NDArray[np.int64]:
    """Return the first place of each row that is at least as large as wanted, by bisection.

    Shape ``(n_rows, n_wanted)``; the last place where no value is large enough. ``ascending``:
    shape ``(n_rows, n)``. ``wanted``: shape ``(n_rows, n_wanted)``.
    """
    low = np.zeros(wanted.shape, dtype=np.int64)
    high = np.full(wanted.shape, ascending.shape[1] - 1, dtype=np.int64)
    for _ in range(ascending.shape[1].bit_length()):
        middle = (low + high) // 2
        enough = np.take_along_axis(ascending, middle, axis=1) >= wanted
        low = np.where(enough, low, np.minimum(middle + 1, high))
        high = np.where(enough, middle, high)
    return high


def decayed_quantiles(
    values: FloatArray,
    cutoffs: NDArray[np.int64],
    half_life: float,
    levels: Sequence[float],
    *,
    by_load: bool = False,
) -> FloatArray:
    """Return quantiles of past usage in which old steps count less.

    float32, shape ``(n_levels, n_cutoffs, n_services)``; NaN where nothing was observed.

    - ``values``: float32, shape ``(n_services, n_steps)``, at least 0; NaN in gaps.
    - ``cutoffs``: index of the first step that is not known yet, shape ``(n_cutoffs,)``.
    - ``half_life``: steps after which a weight has halved.
    - ``levels``: in (0, 1].
    - ``by_load``: weigh a step by its usage as well: the level is then a share of the load, not of
      the time.
    """
    known = values[:, : cutoffs.max(initial=1)]
    found = np.empty((len(levels), len(cutoffs), len(values)), dtype=np.float32)
    for part, ranked in ranked_blocks(known):
        for index, cutoff in enumerate(cutoffs):
            weights = ranked.weigh(age_weights(known.shape[1], cutoff, half_life))
            if by_load:
                weights *= np.maximum(ranked.values, LEAST_LOAD)
            found[:, index, part] = ranked_quantiles(ranked.values, weights, levels)
    return found


def decayed_means(values: FloatArray, cutoffs: NDArray[np.int64], half_life: float) -> FloatArray:
    """Return the mean of past usage in which old steps count less.

    float32, shape ``(n_cutoffs, n_services)``; NaN where nothing was observed. ``values``,
    ``cutoffs``, ``half_life``: as for :func:`decayed_quantiles`.
    """
    weights = np.stack([age_weights(values.shape[1], c, half_life) for c in cutoffs])
    seen = ~np.isnan(values)
    total = weights @ seen.T.astype(np.float64)
    load = weights @ np.where(seen, values, 0.0).T.astype(np.float64)
    mean = np.divide(load, total, out=np.full_like(load, np.nan), where=total > 0.0)
    return mean.astype(np.float32)
