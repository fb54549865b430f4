"""What the past of a service says at a cutoff: scale-free features, and reference levels.

Every figure reads ``usage.values[:, :cutoff]`` only, at most the last 14 days of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import count_steps
from optimizer.core.panel import FloatArray
from optimizer.demand.usage import Usage
from optimizer.models.exceedance.past import DecayedHistory, rank_values, trailing

WINDOWS = ("1h", "3h", "6h", "12h", "24h", "3d", "7d", "14d")
HALFLIVES = ("12h", "24h", "72h")
SHARES = {"max": 1.0, "p99": 0.99, "p95": 0.95, "p90": 0.9, "p50": 0.5}
REFERENCES = (
    *("max 1h", "max 6h", "max 24h", "max 3d", "max 7d", "max 14d", "p99 24h", "p99 7d"),
    *("p99 14d", "p95 6h", "p95 24h", "p95 7d", "p90 24h", "p90 7d", "p50 24h", "p50 7d"),
    *("last", "same part of day max", "same part of day median", "decayed p98"),
)
"""Names of the levels that a request is measured against."""

Named = dict[str, FloatArray]


@dataclass(frozen=True)
class Clock:
    """Durations in steps of one usage."""

    step: pd.Timedelta
    interval: int

    def steps(self, duration: str) -> int:
        """Return how many steps a duration takes."""
        return count_steps(pd.Timedelta(duration), self.step)


@dataclass(frozen=True)
class SurfaceTable:
    """Features and references of all services at some cutoffs.

    ``cutoffs``: int64, ascending, shape ``(n_cutoffs,)``. ``features``: float32, shape
    ``(n_cutoffs, n_services, n_features)``; NaN where unknown. ``references``: float32, shape
    ``(n_cutoffs, n_services, n_references)``, in the resource's unit.
    """

    cutoffs: NDArray[np.int64]
    features: FloatArray
    references: FloatArray
    names: tuple[str, ...]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether a service has any past, shape ``(n_cutoffs, n_services)``."""
        return np.isfinite(self.references[:, :, REFERENCES.index("max 14d")])

    def part(self, cutoffs: NDArray[np.int64]) -> SurfaceTable:
        """Return the table of some of its cutoffs."""
        rows = np.searchsorted(self.cutoffs, cutoffs)
        return SurfaceTable(cutoffs, self.features[rows], self.references[rows], self.names)


def describe(
    usage: Usage, cutoffs: NDArray[np.int64], interval: int, *, calendar: bool = False
) -> SurfaceTable:
    """Return the features and references of every service at every cutoff.

    - ``usage``: the usage; a cutoff reads the 14 days before it and nothing later.
    - ``cutoffs``: int64, ascending, shape ``(n_cutoffs,)``.
    - ``interval``: steps that a request holds: the part of the day that seasonal figures look at.
    - ``calendar``: whether to add the time of the day and of the week; an anonymised trace has
      none.
    """
    clock = Clock(usage.step, interval)
    features, references = [], []
    names: tuple[str, ...] = ()
    for cutoff in cutoffs.tolist():
        past = trailing(usage.values, cutoff, clock.steps(WINDOWS[-1]))
        named, levels = _describe_past(past, usage.capacity, clock)
        if calendar:
            named |= _calendar(usage, cutoff)
        features.append(np.stack(list(named.values()), axis=1).astype(np.float32))
        references.append(np.stack([levels[name] for name in REFERENCES], axis=1))
        names = tuple(named)
    return SurfaceTable(cutoffs, np.stack(features), np.stack(references), names)


def _describe_past(past: FloatArray, capacity: FloatArray, clock: Clock) -> tuple[Named, Named]:
    """Return the features and levels of one cutoff, each of shape ``(n_services,)``."""
    decayed = DecayedHistory(past, [clock.steps("24h")])
    levels = _window_levels(past, decayed, clock)
    slots = _slots(past, clock)
    levels |= {
        "last": _last(past),
        "same part of day max": np.fmax.reduce(slots, axis=1),
        "same part of day median": _row_median(slots),
        "decayed p98": decayed.percentile(0.98, 0),
    }
    scale = np.fmax(levels["p99 7d"], 1e-4 * capacity)
    features = {name: _log_ratio(level, scale) for name, level in levels.items()}
    features |= {f"day {day + 1}": _log_ratio(slots[:, day], scale) for day in range(7)}
    features |= _blocks(past, scale, clock)
    features |= _trends(past, scale, clock)
    features |= _shares(past, scale, capacity, clock)
    features["p99 7d"] = _log_ratio(scale, capacity)
    return features, levels


def _window_levels(past: FloatArray, decayed: DecayedHistory, clock: Clock) -> Named:
    """Return maximum, percentiles, mean and spread of each window, in the resource's unit."""
    levels: Named = {}
    for window in WINDOWS:
        steps = clock.steps(window)
        part = past[:, -steps:]
        whole = steps >= past.shape[1]
        ordered = decayed.ordered if whole else np.sort(part, axis=1)
        seen = ~np.isnan(part)
        count = np.sum(seen, axis=1)
        ranked = rank_values(ordered, count, list(SHARES.values()))
        levels |= {f"{name} {window}": ranked[:, i] for i, name in enumerate(SHARES)}
        filled = np.where(seen, part, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.sum(filled, axis=1, dtype=np.float64) / count
            squares = np.where(seen, part - mean[:, None], 0.0) ** 2
            spread = np.sqrt(np.sum(squares, axis=1) / count)
        levels[f"mean {window}"] = mean.astype(np.float32)
        levels[f"std {window}"] = spread.astype(np.float32)
    return levels


def _slots(past: FloatArray, clock: Clock) -> FloatArray:
    """Return the maximum of the coming part of the day on each of the last seven days."""
    day = clock.steps("24h")
    length = min(clock.interval, day)
    starts = [past.shape[1] - number * day for number in range(1, 8)]
    maxima = [np.fmax.reduce(past[:, start : start + length], axis=1) for start in starts]
    return np.stack(maxima, axis=1)


def _blocks(past: FloatArray, scale: FloatArray, clock: Clock) -> Named:
    """Return how high the peaks of past intervals were, over the last seven days."""
    length = min(clock.interval, clock.steps("7d"))
    number = clock.steps("7d") // length
    part = past[:, -number * length :].reshape(len(past), number, length)
    peaks = np.fmax.reduce(part, axis=2)
    count = np.sum(~np.isnan(peaks), axis=1)
    ranked = rank_values(np.sort(peaks, axis=1), count, (0.25, 0.5, 0.75, 0.9))
    ratios = _log_ratio(ranked, scale[:, None])
    named = {f"peaks p{share}": ratios[:, i] for i, share in enumerate((25, 50, 75, 90))}
    with np.errstate(invalid="ignore"):
        named["last peak's rank"] = np.mean(peaks < peaks[:, -1:], axis=1, dtype=np.float32)
    return named


def _trends(past: FloatArray, scale: FloatArray, clock: Clock) -> Named:
    """Return the mean of a window over that of the window before it."""
    named: Named = {}
    for window in ("1h", "6h", "24h", "7d"):
        steps = clock.steps(window)
        newer, older = past[:, -steps:], past[:, -2 * steps : -steps]
        named[f"trend {window}"] = _log_ratio(_mean(newer), scale) - _log_ratio(_mean(older), scale)
        named[f"peak trend {window}"] = _log_ratio(
            np.fmax.reduce(newer, axis=1), scale
        ) - _log_ratio(np.fmax.reduce(older, axis=1), scale)
    return named


def _shares(past: FloatArray, scale: FloatArray, capacity: FloatArray, clock: Clock) -> Named:
    """Return shares of idle, busy and missing steps, the age, and how old the last peak is."""
    named: Named = {}
    seen = ~np.isnan(past)
    marks = {
        "idle": past < 0.02 * capacity[:, None],
        "low": past < 0.1 * scale[:, None],
        "high": past > 0.8 * scale[:, None],
    }
    for window in ("24h", "7d"):
        steps = clock.steps(window)
        count = np.maximum(np.sum(seen[:, -steps:], axis=1), 1)
        for name, mark in marks.items():
            named[f"{name} {window}"] = (np.sum(mark[:, -steps:], axis=1) / count).astype(
                np.float32
            )
    day = clock.steps("24h")
    named["observed 24h"] = np.mean(seen[:, -day:], axis=1, dtype=np.float32)
    named["age"] = np.log1p(np.argmax(seen, axis=1) * -1.0 + past.shape[1])
    named["since high"] = np.log1p(np.argmax(marks["high"][:, ::-1], axis=1)).astype(np.float32)
    above = past > scale[:, None]
    named["since p99"] = np.log1p(np.argmax(above[:, ::-1], axis=1)).astype(np.float32)
    return named


def _calendar(usage: Usage, cutoff: int) -> Named:
    """Return the time of the day and of the week at which the coming interval begins."""
    start = pd.Timestamp(usage.timestamps[cutoff - 1])
    hours = start.hour + start.minute / 60
    turns = {"day": hours / 24, "week": (start.dayofweek + hours / 24) / 7}
    named: Named = {}
    for name, turn in turns.items():
        for wave in (np.sin, np.cos):
            value = float(wave(2 * np.pi * turn))
            named[f"{wave.__name__} {name}"] = np.full(usage.n_services, value, dtype=np.float32)
    return named


def _last(past: FloatArray) -> FloatArray:
    """Return the newest sample that was observed, NaN if none was."""
    back = np.argmax(~np.isnan(past[:, ::-1]), axis=1)
    last: FloatArray = past[np.arange(len(past)), past.shape[1] - 1 - back]
    return last


def _row_median(values: FloatArray) -> FloatArray:
    """Return the lower median of each row's observed values."""
    count = np.sum(~np.isnan(values), axis=1)
    return rank_values(np.sort(values, axis=1), count, (0.5,))[:, 0]


def _mean(values: FloatArray) -> FloatArray:
    seen = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean = np.sum(np.where(seen, values, 0.0), axis=1, dtype=np.float64) / np.sum(seen, axis=1)
    out: FloatArray = mean.astype(np.float32)
    return out


def _log_ratio(level: FloatArray, scale: FloatArray) -> FloatArray:
    """Return log((level + scale / 1000) / scale): finite for a level of 0."""
    return np.log(np.maximum(level, 0.0) / scale + np.float32(1e-3))


def log_levels(levels: FloatArray, references: FloatArray) -> FloatArray:
    """Return log(level ÷ reference), clipped to a factor of a thousand.

    float32, shape ``(n, n_levels, n_references)``. ``levels``: positive, shape ``(n, n_levels)``.
    ``references``: shape ``(n, n_references)``; NaN where unknown.
    """
    logs = np.log(levels.astype(np.float32))[:, :, None]
    logs = logs - np.log(np.maximum(references, np.float32(1e-9)))[:, None, :]
    return np.clip(logs, -7.0, 7.0)
