"""Steps of telemetry: how often each service reports, and coarser steps.

A coarser step is the mean of a slot, if at least half of it was measured.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import format_duration, parse_duration
from optimizer.core.errors import ConfigError
from optimizer.core.schema import IDS, LABELS, SERVICE, TIMESTAMP, metrics_of
from optimizer.sources.clock import Micros, micros_of, modes, to_utc

SECOND = 1_000_000
REPLICAS = 3
PATTERN_ROWS = 12
"""A fleet scraped by up to so many collectors is recognised by the pattern of its distances, in
services with at least so many rows."""
SHARE = 0.95
"""The step of a fleet is that of its slowest service, this share of the fleet considered."""
SLOW = 3_600 * SECOND
"""A service that reports less often than this, and than half of the fleet, has gaps instead."""
REGULAR = 0.75
JITTERS = 0.4
"""The share of the most frequent distance: of a regular clock above, of one that jitters below."""
ROUND = np.array([1, 2, 5, 10, 15, 20, 30, *(60 * np.array([1, 2, 3, 5, 10, 15, 20, 30])),
                  *(3_600 * np.array([1, 2, 3, 4, 6, 8, 12, 24]))]) * SECOND  # fmt: skip
"""Steps that a clock which jitters may mean, in microseconds."""
_log = logging.getLogger(__name__)
SUMMED = ("cost_usd",)
"""Metrics counted per step: a slot holds the mean times the number of native steps in it."""


@dataclass(frozen=True)
class Cadence:
    """Steps of a fleet.

    Parameters
    ----------
    steps : numpy.ndarray
        int64 microseconds, shape ``(n_services,)`` by category: how often each reports; 0 for
        one with a single row.
    step : pandas.Timedelta
        Step that the fleet is read at.
    merged : bool
        Whether services report more often than that, so that slots have to be made.
    """

    steps: Micros
    step: pd.Timedelta
    merged: bool


def tell_cadence(frame: pd.DataFrame) -> Cadence:
    """Return how often the services of a frame report.

    A service's step is its most frequent distance of a second or more between two rows, the
    shortest among equals. Where most services repeat a pattern of two or three unequal distances
    (replicas of a collector with clocks of their own), it is the length of that pattern.

    Parameters
    ----------
    frame : pandas.DataFrame
        Sorted by service, then time, both known; ``service_id`` categorical.
    """
    codes = frame[SERVICE].cat.codes.to_numpy().astype(np.int64)
    clock = micros_of(frame[TIMESTAMP])
    again = (np.diff(codes) == 0) & (np.diff(clock) == 0)
    if again.any():
        fresh = np.append(True, ~again)
        codes, clock = codes[fresh], clock[fresh]
    n = len(frame[SERVICE].cat.categories)
    closest, shares = _modal_distance(codes, clock, n, 1)
    steps = _pattern_length(codes, clock, closest, shares)
    regular = steps[steps > 0]
    if len(regular) == 0:
        return Cadence(steps, pd.Timedelta("1h"), False)
    regular = regular[regular <= max(SLOW, np.median(regular))]
    slowest = int(np.quantile(regular, SHARE, method="higher"))
    faster = (closest > 0) & (closest < slowest) & (shares > JITTERS) & (steps <= slowest)
    return Cadence(steps, pd.Timedelta(slowest, unit="us"), bool(faster.any()))


def _pattern_length(
    codes: Micros, clock: Micros, closest: Micros, shares: NDArray[np.float64]
) -> Micros:
    """Return each service's step, given its most frequent distance and that one's share."""
    seen = (closest > 0) & (np.bincount(codes, minlength=len(closest)) >= PATTERN_ROWS)
    if not seen.any() or np.median(shares[seen]) > REGULAR:
        return _without_jitter(closest, shares, codes, clock)
    for lag in range(2, REPLICAS + 1):
        longer, regular = _modal_distance(codes, clock, len(closest), lag)
        if np.median(regular[seen]) > REGULAR:
            return longer
    return _without_jitter(closest, shares, codes, clock)


def _without_jitter(
    steps: Micros, shares: NDArray[np.float64], codes: Micros, clock: Micros
) -> Micros:
    """Return the steps; where distances vary, the round one within a tenth of their median."""
    loose = np.flatnonzero((steps > 0) & (shares < JITTERS))
    if len(loose) == 0:
        return steps
    distance = pd.Series(np.diff(clock)[np.diff(codes) == 0])
    median = distance.groupby(codes[1:][np.diff(codes) == 0]).median().reindex(loose).to_numpy()
    nearest = ROUND[np.abs(median[:, None] - ROUND).argmin(axis=1)]
    fits = np.abs(nearest - median) <= 0.1 * nearest
    found = steps.copy()
    found[loose] = np.where(fits, nearest, median).astype(np.int64)
    return found


def _modal_distance(
    codes: Micros, clock: Micros, n: int, lag: int
) -> tuple[Micros, NDArray[np.float64]]:
    """Return each service's most frequent distance over ``lag`` rows, and its share of them."""
    distance = clock[lag:] - clock[:-lag]
    usable = (codes[lag:] == codes[:-lag]) & (distance >= SECOND)
    return modes(codes[lag:][usable], distance[usable], n)


def common_step(frame: pd.DataFrame) -> str | None:
    """Return the step at which services that report at different ones meet; None if all do.

    Parameters
    ----------
    frame : pandas.DataFrame
        Canonical long frame sorted by service, then time.
    """
    cadence = tell_cadence(frame[frame[SERVICE].notna() & frame[TIMESTAMP].notna()])
    if not cadence.merged:
        return None
    told = [
        f"{format_duration(pd.Timedelta(int(step), unit='us'))}: {n}"
        for step, n in zip(*np.unique(cadence.steps, return_counts=True), strict=True)
        if step > 0
    ]
    step = format_duration(cadence.step)
    _log.info("services by step (%s): all are read at %s (data.freq)", ", ".join(told), step)
    return step


def resample(frame: pd.DataFrame, freq: str) -> pd.DataFrame:
    """Return one row per service and slot of ``freq`` on the UTC grid.

    The slot that ends at T holds the samples that end in ``(T - freq, T]``, so that nothing
    after T is used. Its value is their mean if at least half of the samples that its service has
    in most slots are there, else NaN; labels take the maximum of what there is. A slot without
    any row stays absent.

    Parameters
    ----------
    frame : pandas.DataFrame
        Canonical long frame sorted by service, then time; validated, so that keys are unique
        and values finite.
    freq : str
        Step wanted, ``data.freq``.

    Returns
    -------
    pandas.DataFrame
        Canonical long frame, metrics float32.

    Raises
    ------
    ConfigError
        ``freq`` is finer than the native step of every service.
    """
    size = parse_duration(freq, "data.freq")
    steps = tell_cadence(frame).steps
    step = pd.Timedelta(int(min(steps[steps > 0], default=0)), unit="us")
    if size < step:
        raise ConfigError(
            "data.freq",
            seen=freq,
            allowed=f"the native step of the data, {format_duration(step)}, or longer",
            fix=f"set data.freq={format_duration(step)}, a longer step, or null",
        )
    codes = frame[SERVICE].cat.codes.to_numpy().astype(np.int64)
    micros = size.value // 1000
    ends = micros_of(frame[TIMESTAMP])
    slot = -(-ends // micros)
    fresh = (np.diff(codes) != 0) | (np.diff(slot) != 0)
    first = np.concatenate([[0], np.flatnonzero(fresh) + 1])
    last = np.append(first[1:], len(frame)) - 1
    out = frame[list(IDS)].iloc[last].reset_index(drop=True)
    out = out.assign(**{TIMESTAMP: to_utc(slot[last] * micros)})
    expected = _samples_per_slot(codes[first], np.diff(np.append(first, len(frame))))
    for name in metrics_of(frame):
        cells = frame[name].to_numpy(np.float64, na_value=np.nan)
        out[name] = _reduce(name, cells, first, expected).astype(np.float32)
    return out


def _samples_per_slot(codes: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each slot how many samples the median slot of its service has."""
    order = np.lexsort((counts, codes))
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    slots = np.diff(np.append(starts, len(codes)))
    middle = counts[order][starts + slots // 2]
    return np.repeat(middle, slots)[np.argsort(order)]


def _reduce(
    name: str,
    cells: NDArray[np.float64],
    first: NDArray[np.int64],
    expected: NDArray[np.int64],
) -> NDArray[np.float64]:
    known = ~np.isnan(cells)
    count = np.add.reduceat(known, first, dtype=np.int64)
    if name in LABELS:
        highest = np.maximum.reduceat(np.where(known, cells, -np.inf), first)
        return np.where(count > 0, highest, np.nan)
    total = np.add.reduceat(np.where(known, cells, 0.0), first)
    mean = total / np.maximum(count, 1)
    if name in SUMMED:
        mean = mean * expected
    return np.where((count > 0) & (2 * count >= expected), mean, np.nan)
