"""Groups of services: named by a pattern of their ids, or by how their usage behaves."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from optimizer.core.durations import count_steps, parse_duration
from optimizer.core.errors import ConfigError
from optimizer.demand.usage import Usage

_Matrix = NDArray[np.float64]
IDLE, STEADY, DAILY, BURSTY, MIXED, NEW = "idle", "steady", "daily", "bursty", "mixed", "new"
IDLE_BELOW = 0.02
"""Mean usage as a share of capacity."""
STEADY_BELOW = 0.25
"""Standard deviation as a share of the mean."""
DAILY_ABOVE = 0.5
"""Correlation of usage with that of the day before."""
BURSTY_ABOVE = 4.0
"""P99 as a multiple of the mean."""


def group_services(usage: Usage, before: int, pattern: str | None = None) -> tuple[str, ...]:
    """Return the name of each service's group.

    Raises ConfigError: the pattern is no regular expression, or matches nothing in some id.

    - ``usage``: the steps before ``before`` tell how a service behaves; nothing later is read.
    - ``before``: the first cutoff of a replay.
    - ``pattern``: regular expression; what it matches in a service's id is its group. By default
      the group is the first that fits: ``new`` (nothing observed yet), ``idle`` (mean below 2 % of
      capacity), ``steady`` (standard deviation below a quarter of the mean), ``daily`` (correlates
      with the day before by more than 0.5), ``bursty`` (P99 above four times the mean), ``mixed``.
    """
    if pattern is not None:
        return tuple(_match(pattern, service) for service in usage.services)
    past = usage.values[:, :before].astype(np.float64)
    seen = ~np.isnan(past)
    count = seen.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(seen, past, 0.0).sum(axis=1) / count
        squares = np.where(seen, past - mean[:, None], 0.0) ** 2
        spread = np.sqrt(squares.sum(axis=1) / count) / mean
        idle = mean / usage.capacity < IDLE_BELOW
    day = count_steps(parse_duration("1d", "archetype"), usage.step)
    tests = {
        NEW: count == 0,
        IDLE: idle,
        STEADY: spread < STEADY_BELOW,
        DAILY: _correlate(past, day) > DAILY_ABOVE,
        BURSTY: _high(past, count) > BURSTY_ABOVE * mean,
    }
    return tuple(np.select(list(tests.values()), list(tests), MIXED).tolist())


def _match(pattern: str, service: str) -> str:
    try:
        found = re.search(pattern, service)
    except re.error as error:
        raise ConfigError(
            "backtest.group",
            seen=repr(pattern),
            allowed="a regular expression",
            fix=f"correct it ({error}), for example '^[a-z]+'",
        ) from error
    if found is None or not found.group():
        raise ConfigError(
            "backtest.group",
            seen=f"{pattern!r}, which matches nothing in {service!r}",
            allowed="a pattern that matches in every service_id",
            fix="widen it, or leave backtest.group out",
        )
    return found.group()


def _correlate(past: _Matrix, lag: int) -> _Matrix:
    """Return each row's correlation with itself ``lag`` steps before, NaN if unknown."""
    if past.shape[1] <= lag:
        return np.full(len(past), np.nan)
    now, then = past[:, lag:], past[:, :-lag]
    both = ~(np.isnan(now) | np.isnan(then))
    count = np.maximum(both.sum(axis=1, keepdims=True), 1)
    pair = [np.where(both, part, 0.0) for part in (now, then)]
    pair = [np.where(both, part - part.sum(axis=1, keepdims=True) / count, 0.0) for part in pair]
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.sqrt((pair[0] ** 2).sum(axis=1) * (pair[1] ** 2).sum(axis=1))
        found: _Matrix = (pair[0] * pair[1]).sum(axis=1) / size
    return found


def _high(past: _Matrix, count: NDArray[np.int64]) -> _Matrix:
    """Return P99 of each row's observed values."""
    rank = np.maximum(np.ceil(0.99 * count).astype(np.int64) - 1, 0)
    return np.take_along_axis(np.sort(past, axis=1), rank[:, None], axis=1)[:, 0]
