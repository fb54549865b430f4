"""What following a policy would have saved, and how sure that is given the days seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optimizer.core.errors import ConfigError
from optimizer.core.validation import require_between, require_count
from optimizer.decisions.pricing.catalogue import HOURS_PER_MONTH

FloatVector = NDArray[np.float64]
TAIL = 0.1
"""Share of resamples outside either end: P10 to P90."""
SERVICES_AT_ONCE = 4096
"""Bounds the memory that resamples take."""


@dataclass(frozen=True)
class Savings:
    """Monthly savings, in the currency of the price; negative where a policy costs more.

    ``mean``, ``p10``, ``p90``: float64, shape ``(n_services,)``: over the days seen, and the
    interval of that mean; NaN where the present request is unknown. ``total``, ``total_p10``,
    ``total_p90``: savings of all services whose present request is known; NaN where there is none.
    """

    mean: FloatVector
    p10: FloatVector
    p90: FloatVector
    total: float
    total_p10: float
    total_p90: float


def monthly_savings(
    current: ArrayLike,
    targets: ArrayLike,
    price_hour: ArrayLike,
    days: NDArray[np.integer],
    seed: int,
    *,
    n_resamples: int = 400,
    mean_block: float = 2.0,
) -> Savings:
    """Return what a month would have saved had the recommendations been followed.

    Per service and in total. The total's interval is that of the sum itself: services that save on
    different days even out, so that it is narrower than the sum of theirs. With one day seen there
    are no intervals (NaN). Raises ConfigError: no cutoff, shapes that do not belong together, or a
    setting out of its range.

    - ``current``: shape ``(n_services,)``: what is requested today, in cores or GiB; NaN if
      unknown.
    - ``targets``: shape ``(n_cutoffs, n_services)``: what the policy requested at past cutoffs,
      same unit. NaN keeps the present request and saves nothing, as a policy means it.
    - ``price_hour``: price of a unit by the hour, one number or shape ``(n_services,)``. To get the
      total over cores and memory put both side by side, each column with its own price.
    - ``days``: integer, shape ``(n_cutoffs,)``: day of each cutoff.
    - ``n_resamples``: number of resamples, at least 1.
    - ``mean_block``: mean length in days of what is drawn together, at least 1.

    Notes
    -----
    Saving is ``(current - mean target) * price_hour * 730``, each cutoff counting the same.
    Requests of one day are alike and days resemble their neighbours, so that whole runs of days
    are drawn, of random length (the stationary bootstrap of Politis and Romano, 1994); all
    services share the draws. The interval tells how far the mean depends on the days seen. It
    knows nothing of days unlike those.
    """
    require_count("savings.n_resamples", n_resamples, 1, fix=400)
    require_between("savings.mean_block", mean_block, 1.0, fix=2.0)
    now, saved = _saved(current, targets, price_hour, days)
    place = np.unique(days, return_inverse=True)[1]
    cutoffs = np.bincount(place).astype(np.float64)
    sums = np.zeros((len(cutoffs), len(now)))
    np.add.at(sums, place, saved)
    counts = resample_days(len(cutoffs), n_resamples, mean_block, seed)
    drawn = counts @ cutoffs  # days need not hold the same number of cutoffs
    known = ~np.isnan(now)
    ends = np.full((2, len(now)), np.nan)
    for start in range(0, len(now), SERVICES_AT_ONCE):
        part = slice(start, start + SERVICES_AT_ONCE)
        ends[:, part] = _interval(counts @ sums[:, part] / drawn[:, None])
    total, low, high = np.nan, np.nan, np.nan
    if known.any():
        fleet = sums[:, known].sum(axis=1, keepdims=True)
        total = float(fleet.sum() / cutoffs.sum())
        low, high = _interval(counts @ fleet / drawn[:, None])[:, 0]
    if len(cutoffs) == 1:
        ends[:], low, high = np.nan, np.nan, np.nan
    mean = sums.sum(axis=0) / cutoffs.sum()
    return Savings(mean, ends[0], ends[1], total, float(low), float(high))


def resample_days(
    n_days: int, n_resamples: int, mean_block: float, seed: int
) -> NDArray[np.float64]:
    """Return how often each day is drawn in each resample.

    float64 whole numbers, shape ``(n_resamples, n_days)``; each row sums to ``n_days``. ``n_days``:
    days seen, at least 1. ``mean_block``: mean length of a run of consecutive days, at least 1; 1
    draws single days.

    Notes
    -----
    The stationary bootstrap: a draw goes on with the next day (the first after the last) or, with
    probability ``1 / mean_block``, starts anew at any day. Politis and Romano, "The stationary
    bootstrap", Journal of the American Statistical Association 89 (1994).
    """
    rng = np.random.default_rng(seed)
    shape = (n_resamples, n_days)
    anew = rng.random(shape) < 1.0 / mean_block
    anew[:, 0] = True
    starts = rng.integers(n_days, size=shape)
    step = np.broadcast_to(np.arange(n_days), shape)
    begun = np.maximum.accumulate(np.where(anew, step, 0), axis=1)
    day = (np.take_along_axis(starts, begun, axis=1) + step - begun) % n_days
    row = np.arange(n_resamples)[:, None]
    counts = np.bincount((row * n_days + day).ravel(), minlength=n_resamples * n_days)
    return counts.reshape(shape).astype(np.float64)


def _interval(resampled: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return P10 and P90 over resamples, shape ``(2, n_services)``."""
    return np.asarray(np.quantile(resampled, (TAIL, 1.0 - TAIL), axis=0))


def _saved(
    current: ArrayLike, targets: ArrayLike, price_hour: ArrayLike, days: NDArray[np.integer]
) -> tuple[FloatVector, NDArray[np.float64]]:
    """Return present requests and what each cutoff saves a month, or raise on their shapes."""
    now = np.asarray(current, dtype=np.float64)
    wanted = np.asarray(targets, dtype=np.float64)
    price = np.asarray(price_hour, dtype=np.float64)
    fits = wanted.shape == (len(days), *now.shape) and price.shape in {(), now.shape}
    if now.ndim != 1 or not fits or not len(days):
        raise ConfigError(
            "targets",
            seen=f"shapes {now.shape}, {wanted.shape}, {price.shape} and {len(days)} days",
            allowed="current (n_services,), targets (n_cutoffs, n_services), a day per cutoff",
            fix="give the requests of at least one cutoff",
        )
    lower = np.where(np.isnan(wanted), 0.0, now - wanted)
    return now, np.where(np.isnan(now), np.nan, lower) * price * HOURS_PER_MONTH
