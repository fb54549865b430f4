"""Usage at its limit is a lower bound of demand: which steps those are, and what to put there.

What a service would have used above its limit is never observed. A rule that takes such steps at
their word asks for less each time its own request has clipped the usage it learns from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from optimizer.core.panel import BoolArray
from optimizer.core.validation import require_between
from optimizer.demand.usage import MEMORY, Usage

BUMP, BUMP_RATIO = 100.0 / 1024.0, 1.2
"""After an out-of-memory kill VPA adds at least 100 MiB (here in GiB) and at least a fifth."""
NEAR = 0.98
"""Share of the limit from which on a step is taken as clipped: metrics average over a step."""
PINNED = 1.0 - 1e-4
"""Share of the limit from which on there is no doubt that a step was clipped."""
GOLDEN = 0.5 * (5.0**0.5 - 1.0)
"""Multiples of it, modulo 1, fill (0, 1) evenly however many there are."""
EVENTS = 5
"""With fewer uncensored steps in its tail a service says nothing of its shape."""

PERIOD = 2**20
"""Steps after which the spread starts again: more lose digits."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Censoring:
    """What counts as clipped, and how far above the limit demand may be put.

    Parameters
    ----------
    near : float
        Share of the limit in force from which on a step is censored, in (0, 1].
    tail : float
        Share of a service's uncensored steps that lies below its tail, in [0, 1).
    least : float
        Least mean excess of a censored step as a share of its limit, > 0: what a service gets
        that was clipped throughout.
    most : float
        Largest multiple of the limit that a censored step is put at, > 1: demand further up is
        reached over several rounds.
    """

    near: float = NEAR
    tail: float = 0.9
    least: float = 0.05
    most: float = 2.0

    def __post_init__(self) -> None:
        """Check the settings."""
        require_between("simulate.censoring.near", self.near, 0.0, 1.0, fix=NEAR, open_low=True)
        require_between("simulate.censoring.tail", self.tail, 0.0, 1.0, fix=0.9, open_high=True)
        require_between("simulate.censoring.least", self.least, 0.0, fix=0.05, open_low=True)
        require_between("simulate.censoring.most", self.most, 1.0, fix=2.0, open_low=True)


def censor(usage: Usage, limits: ArrayLike, near: float = NEAR) -> BoolArray:
    """Return which observed steps reached their limit: usage >= near * limit.

    bool, shape ``(n_services, n_steps)``; False where nothing was observed. ``limits``: limit in
    force at every step, in the resource's unit, shape ``(n_services, n_steps)``, or ``(n_services,
    1)`` where it never changed; infinite, NaN or 0 where none is known.
    """
    limit = np.asarray(limits, dtype=np.float64)
    return np.asarray((usage.values >= near * limit) & (limit > 0.0), dtype=bool)


def uncensor(usage: Usage, limits: ArrayLike, settings: Censoring | None = None) -> Usage:
    """Return usage whose censored steps are spread over the tail above their limits.

    Each censored step goes to a quantile of what the service does above that level; the quantiles
    of a service's censored steps fill (0, 1) evenly, in order of time, so that the treated usage
    has the tail of demand and not a lump at its mean. Of two estimates the lower counts:

    - the tail that continues what was seen below the limit. CPU: an exponential one, whose
      mean excess is the maximum-likelihood estimate from censored data, in shares of the limit:
      the excess of all steps over the threshold, the censored ones up to where they were clipped,
      per uncensored step above it. Memory, whose step ended in a kill: the autoscaler's bump,
      a fifth and at least 100 MiB more.
    - the service's own usage above that level at times when its limit was higher: Kaplan and
      Meier's survival function given that level, which redistributes censored steps to the right.
      Unknown (infinite) beyond the largest uncensored step; see :func:`touching` for a limit
      right at that one.

    A step's value never falls. Without a censored step usage comes back as it was. ``usage``:
    observed usage; all of it counts as evidence, so give no step that must not be known.
    ``limits``: see :func:`censor`. ``settings``: the defaults if absent.

    References
    ----------
    Tobin, Estimation of relationships for limited dependent variables, Econometrica 1958;
    Kaplan and Meier, Nonparametric estimation from incomplete observations, JASA 1958;
    Efron, The two sample problem with censored data, 1967 (redistribution to the right);
    ``RecordOOM`` in ``model/container.go`` of the vertical pod autoscaler.
    """
    settings = settings or Censoring()
    clipped = censor(usage, limits, settings.near)
    rows = np.flatnonzero(clipped.any(axis=1))
    if not len(rows):
        return usage
    limit = np.broadcast_to(np.asarray(limits, dtype=np.float64), usage.values.shape)[rows]
    limit = np.where(limit > 0.0, limit, np.inf)
    seen, mark = usage.values[rows].astype(np.float64), clipped[rows]
    finite = np.where(mark, limit, 0.0)
    quantile = np.where(mark, spread(usage)[rows], 0.0)
    if usage.resource == MEMORY:
        above = np.maximum(seen * BUMP_RATIO, seen + BUMP)
    else:
        mean = mean_excess(seen / limit, mark, settings)
        above = seen - np.log1p(-quantile) * mean[:, None] * finite
    above = np.minimum(above, settings.most * finite)
    beyond = mark & (seen >= PINNED * limit) & (quantile >= touching(seen, limit)[:, None])
    above = np.minimum(above, survivors(seen, mark, beyond, quantile))
    values = usage.values.copy()
    values[rows] = np.where(mark, np.maximum(above, seen), seen)
    return replace(usage, values=values)


def spread(usage: Usage) -> Floats:
    """Return a number in (0, 1) per service and step, evenly spread over the steps of a service.

    It depends on the row and the time alone: a step that is treated again gets the same one, so
    that requests do not move because other steps were clipped since. Shape ``(n_services,
    n_steps)``.
    """
    size = usage.step // pd.Timedelta(1, "us")
    turns = usage.timestamps.astype("datetime64[us]").astype(np.int64) // size % PERIOD
    shift = np.arange(usage.n_services)[:, None] * 2.0**0.5
    return np.asarray((GOLDEN * turns + shift + 0.5) % 1.0)


def mean_excess(shares: Floats, censored: BoolArray, settings: Censoring) -> Floats:
    """Return how far a service's tail exceeds its threshold on average, in shares of the limit.

    float64, shape ``(n_services,)``: Σ (share - threshold)⁺ over all steps ÷ uncensored steps above
    the threshold, at least ``least``.

    - ``shares``: usage over the limit in force, shape ``(n_services, n_steps)``; NaN in gaps, 0
      where no limit was in force.
    - ``censored``: bool, same shape.
    - ``settings``: gives the threshold and the least mean.
    """
    usable = (shares > 0.0) & np.isfinite(shares)
    known = np.where(usable & ~censored, shares, np.nan)
    ordered = np.sort(known, axis=1)
    count = np.sum(np.isfinite(ordered), axis=1)
    place = np.maximum(np.ceil(settings.tail * count).astype(np.int64) - 1, 0)
    threshold = np.take_along_axis(ordered, place[:, None], axis=1)
    over = np.where(usable, np.maximum(shares - threshold, 0.0), 0.0)
    events = np.sum(known > threshold, axis=1)
    mean = np.nansum(over, axis=1) / np.maximum(events, 1)
    return np.where(events >= EVENTS, np.maximum(mean, settings.least), settings.least)


def touching(values: Floats, limits: Floats) -> Floats:
    """Return the share of steps at a service's highest limit that demand may just have touched.

    Where a request is the highest usage of the past (a maximum without a buffer, the cap of all
    requests), demand that comes back reaches the limit exactly and would exceed it never. How
    often usage was at that level while the limit was higher tells how often that is.

    float64 in [0, 1], shape ``(n_services,)``: how often the level was reached freely ÷ how often
    it was reached at the limit, each per step with such a limit; 0 where it was never reached
    freely. ``values``, ``limits``: observed usage and the limit in force, shape ``(n_services,
    n_steps)``.
    """
    at_limit = values >= PINNED * limits
    top = np.max(np.where(at_limit, values, -np.inf), axis=1, keepdims=True)
    level = np.abs(values - top) <= (1.0 - PINNED) * np.abs(top)
    free = ~at_limit & (limits > top / PINNED)
    held = ~np.isnan(values) & (limits <= top / PINNED)
    open_ = ~np.isnan(values) & (limits > top / PINNED)
    freely = np.sum(level & free, axis=1) / np.maximum(np.sum(open_, axis=1), 1)
    pinned = np.sum(level & at_limit, axis=1) / np.maximum(np.sum(held, axis=1), 1)
    return np.asarray(np.minimum(freely / np.where(pinned > 0.0, pinned, np.inf), 1.0))


def survivors(values: Floats, censored: BoolArray, beyond: BoolArray, quantile: Floats) -> Floats:
    """Return quantiles of what is above each censored value, by Kaplan and Meier's estimate.

    float64, same shape; infinite where the survival function does not fall so far.

    - ``values``: shape ``(n_services, n_steps)``, NaN in gaps.
    - ``censored``: bool, same shape.
    - ``beyond``: bool, same shape: the censored ones that exceed an equal value seen freely, by the
      usual convention. The others, near a limit or touching it, may be no more than that.
    - ``quantile``: in [0, 1), same shape: the least value x with S(x) <= (1 - quantile) * S(value).
    """
    n_rows, n_steps = values.shape
    tie = np.where(censored, np.where(beyond, 2, 0), 1)
    order = np.lexsort((tie, values), axis=1)  # NaN last
    ordered = np.take_along_axis(values, order, axis=1)
    event = ~np.take_along_axis(censored, order, axis=1) & np.isfinite(ordered)
    left = np.sum(np.isfinite(values), axis=1)[:, None] - np.arange(n_steps)
    survival = np.cumprod(1.0 - event / np.maximum(left, 1), axis=1)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(n_steps), order.shape), axis=1)
    wanted = np.take_along_axis(survival, rank, axis=1) * (1.0 - quantile)
    offset = 2.0 * np.arange(n_rows)[:, None]  # one ascending array, so that one search does all
    keys = (offset + 1.0 - survival).ravel()
    found = np.searchsorted(keys, (offset + 1.0 - wanted - 1e-12).ravel()).reshape(values.shape)
    found -= n_steps * np.arange(n_rows)[:, None]
    inside = np.take_along_axis(ordered, np.minimum(found, n_steps - 1), axis=1)
    return np.where((found < n_steps) & np.isfinite(inside), inside, np.inf)


def clipped_share(usage: Usage, limits: ArrayLike, near: float = NEAR) -> Floats:
    """Return each service's share of observed steps at the limit, shape ``(n_services,)``.

    0 for a service that was never observed. See :func:`censor` for the arguments.
    """
    seen = np.sum(~np.isnan(usage.values), axis=1)
    hits = np.sum(censor(usage, limits, near), axis=1)
    return np.asarray(hits / np.maximum(seen, 1), dtype=np.float64)


def clipped_services(
    usage: Usage, limits: ArrayLike, share: float = 0.05, near: float = NEAR
) -> tuple[str, ...]:
    """Return the services at their limit in more than a share of their steps, the worst first."""
    found = clipped_share(usage, limits, near)
    order = np.argsort(-found, kind="stable")
    return tuple(usage.services[row] for row in order if found[row] > share)


def format_clipped(services: Sequence[str], shown: int = 5) -> str:
    """Return one plain sentence that names clipped services; empty if there is none.

    ``services``: from :func:`clipped_services`. ``shown``: how many are named; the rest are
    counted.
    """
    if not services:
        return ""
    named = ", ".join(services[:shown])
    rest = len(services) - shown
    more = f" and {rest} more" if rest > 0 else ""
    return f"usage clipped at the limit: {named}{more}; their demand is higher than observed"
