"""Which rows and cells cannot be trusted, and why, before any statistic is taken.

A broken key takes its row out, a broken value only itself: it is missing from then on, so that
nothing invented reaches a model. Everything is vectorised over the columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import format_duration
from optimizer.core.panel import BoolArray, infer_step
from optimizer.core.schema import CLUSTER, CPU, METRICS, SERVICE, TIMESTAMP, metrics_of

Codes = NDArray[np.int64]
REASON = "reason"
_NAT = np.iinfo(np.int64).min
MOST_SERVICES = 5


FEW_ROWS, FEW_SERVICES = 0.01, 0.1
"""Rows that stand alone in time are at most these shares of the rows and of the services."""


@dataclass(frozen=True)
class RowSplit:
    """The rows of a frame, sorted into kept and quarantined.

    Parameters
    ----------
    kept : pandas.DataFrame
        Rows with a sound key, in order of arrival; broken values are NaN.
    quarantined : pandas.DataFrame
        Rows that lost a value or are not kept, as they came, with all columns and ``reason``.
    counts : dict of str to int
        Rows per reason.
    services : dict of str to dict of str to int
        Per reason the services with most such rows, and how many.
    lost : int
        Rows that are not kept, or that lost their CPU.
    step : pandas.Timedelta
        Length of a step of the grid.
    """

    kept: pd.DataFrame
    quarantined: pd.DataFrame
    counts: dict[str, int]
    services: dict[str, dict[str, int]]
    lost: int
    step: pd.Timedelta


def split_rows(
    frame: pd.DataFrame, step: pd.Timedelta | None = None, *, on_grid: bool = True
) -> RowSplit:
    """Separate the rows that break a rule, and take out the values that do.

    The rules for rows: an id or the timestamp is missing; the timestamp is off the grid, or
    stands alone far before or after those of the fleet; the key appeared again later (of rows
    with one key that break no other rule the last stays). Those for values: a metric is infinite,
    or outside :data:`optimizer.core.schema.METRICS`.

    The grid has the step's length and the phase of most rows; sources bring services whose
    clocks differ in phase onto one grid before.

    Parameters
    ----------
    frame : pandas.DataFrame
        Canonical long frame, shape ``(n_rows, n_columns)``.
    step : pandas.Timedelta, optional
        Length of a step; inferred from the rows if absent.
    on_grid : bool
        Quarantine rows off the grid; not wanted where rows are about to be resampled.
    """
    step = step or infer_step(frame[TIMESTAMP], frame[SERVICE])
    codes, clock = service_codes(frame), clock_of(frame)
    size = int(step / pd.Timedelta(1, unit="us"))
    values = _broken_values(frame)
    rows = _broken_keys(frame, clock)
    rows[f"alone, far from the other rows: {TIMESTAMP}"] = stand_alone(codes, clock, size)
    if on_grid:
        off_grid = (clock % size != _modal_phase(clock % size)) & (clock != _NAT)
        rows[f"off grid of {format_duration(step)}: {TIMESTAMP}"] = off_grid
    out, harmed = _any(rows, len(frame)), _any(values, len(frame))
    repeated = np.zeros(len(frame), dtype=bool)
    order = np.argsort(~harmed[~out], kind="stable")  # harmed rows first: a sound one stays
    twice = _duplicated(codes[~out][order], clock[~out][order], "last")
    repeated[np.flatnonzero(~out)[order]] = twice
    rows[f"duplicate key: {SERVICE}, {TIMESTAMP}"] = repeated
    keep = ~(out | repeated)
    broken = rows | values
    cpu = values.get(f"infinite: {CPU}", False) | values.get(f"out of range: {CPU}", False)
    return RowSplit(
        kept=_without(frame, values, keep),
        quarantined=_with_reason(frame, broken),
        counts={why: int(mask.sum()) for why, mask in broken.items() if mask.any()},
        services={why: _most(frame, mask) for why, mask in broken.items() if mask.any()},
        lost=int(np.count_nonzero(~keep | cpu)),
        step=step,
    )


def stand_alone(codes: Codes, clock: Codes, size: int) -> BoolArray:
    """Return the rows beyond the fleet's first or last run of times that few rows share.

    A run of times ends where no service has a row for three times what is usual between two
    times of the fleet (its 99th percentile, a step at least). Outer runs are alone if they hold
    at most a hundredth of the rows of the largest run, and are of a tenth of the services (of
    one at least) or further away than the largest run is long. One row so never moves the
    fleet's newest time.

    Parameters
    ----------
    codes, clock : numpy.ndarray
        int64, shape ``(n_rows,)``: service of each row, -1 unknown, and its time.
    size : int
        Step in microseconds.

    Returns
    -------
    numpy.ndarray
        bool, shape ``(n_rows,)``.
    """
    alone = np.zeros(len(clock), dtype=bool)
    times, rows = np.unique(clock[clock != _NAT], return_counts=True)
    gaps = np.diff(times)
    if len(gaps) == 0:
        return alone
    usual = max(size, int(np.quantile(gaps, 0.99, method="lower")))
    first = np.append(0, np.flatnonzero(gaps > 3 * usual) + 1)
    if len(first) == 1:
        return alone
    last = np.append(first[1:], len(times)) - 1
    held = np.add.reduceat(rows, first)
    bulk = int(held.argmax())
    length = int(times[last[bulk]] - times[first[bulk]])
    few = max(1, int(FEW_SERVICES * len(np.unique(codes))))
    for runs in (range(bulk), range(len(first) - 1, bulk, -1)):
        for run in runs:
            inside = (clock >= times[first[run]]) & (clock <= times[last[run]])
            away = min(abs(int(times[first[run]] - times[last[bulk]])),
                       abs(int(times[first[bulk]] - times[last[run]])))  # fmt: skip
            services = len(np.unique(codes[inside]))
            if held[run] > FEW_ROWS * held[bulk] or (services > few and away <= length):
                break
            alone |= inside
    return alone


def service_codes(frame: pd.DataFrame) -> Codes:
    """Return one integer per service, shape ``(n_rows,)``, -1 where the id is missing."""
    column = frame[SERVICE]
    if isinstance(column.dtype, pd.CategoricalDtype):
        return np.asarray(column.cat.codes, dtype=np.int64)
    return np.asarray(pd.factorize(column)[0], dtype=np.int64)


def clock_of(frame: pd.DataFrame) -> Codes:
    """Return the timestamps as microseconds since 1970 UTC, int64, shape ``(n_rows,)``."""
    return frame[TIMESTAMP].to_numpy("datetime64[us]").astype(np.int64)


def values_of(frame: pd.DataFrame, name: str) -> NDArray[np.floating]:
    """Return a metric as floats, shape ``(n_rows,)``, NaN where missing."""
    column = frame[name]
    if isinstance(column.dtype, np.dtype) and column.dtype.kind == "f":
        return column.to_numpy()
    return column.to_numpy(np.float64, na_value=np.nan)


def _broken_keys(frame: pd.DataFrame, clock: Codes) -> dict[str, BoolArray]:
    missing = {name: frame[name].isna().to_numpy() for name in (SERVICE, CLUSTER)}
    return {f"missing: {name}": mask for name, mask in missing.items()} | {
        f"missing: {TIMESTAMP}": clock == _NAT
    }


def _broken_values(frame: pd.DataFrame) -> dict[str, BoolArray]:
    broken = {}
    for name in metrics_of(frame):
        values, metric = values_of(frame, name), METRICS[name]
        infinite = np.isinf(values)
        outside = (values < metric.lower) | (values > metric.upper)
        broken[f"infinite: {name}"] = infinite
        broken[f"out of range: {name}"] = outside & ~infinite
    return broken


def _any(broken: dict[str, BoolArray], n_rows: int) -> BoolArray:
    found = np.zeros(n_rows, dtype=bool)
    for mask in broken.values():
        found |= mask
    return found


def _duplicated(codes: Codes, clock: Codes, keep: Literal["first", "last"]) -> BoolArray:
    keys = pd.DataFrame({"service": codes, "clock": clock}, copy=False)
    return keys.duplicated(keep=keep).to_numpy()


def _without(frame: pd.DataFrame, broken: dict[str, BoolArray], keep: BoolArray) -> pd.DataFrame:
    """Return the rows kept, without their broken values."""
    kept = frame if keep.all() else frame[keep]
    for name in metrics_of(frame):
        mask = (broken[f"infinite: {name}"] | broken[f"out of range: {name}"])[keep]
        if mask.any():
            kept = kept.assign(**{name: kept[name].mask(mask)})
    return kept


def _most(frame: pd.DataFrame, mask: BoolArray) -> dict[str, int]:
    """Return the services with most rows of the mask."""
    counts = frame[SERVICE][mask].dropna().astype(str).value_counts().head(MOST_SERVICES)
    return {str(name): int(count) for name, count in counts.items()}


def _modal_phase(phases: Codes) -> int:
    """Return the phase of most rows; the earliest among equals."""
    if len(phases) == 0 or np.all(phases == phases[0]):
        return int(phases[0]) if len(phases) else 0
    values, counts = np.unique(phases, return_counts=True)
    return int(values[np.argmax(counts)])


def _with_reason(frame: pd.DataFrame, broken: dict[str, BoolArray]) -> pd.DataFrame:
    """Return the broken rows; each set of reasons is put into words once, not once a row."""
    rows = np.flatnonzero(_any(broken, len(frame)))
    names = list(broken)
    code = np.zeros(len(rows), dtype=np.int64)
    for bit, mask in enumerate(broken.values()):
        code |= mask[rows].astype(np.int64) << bit
    patterns, which = np.unique(code, return_inverse=True)
    text = np.array(
        ["; ".join(n for bit, n in enumerate(names) if pattern >> bit & 1) for pattern in patterns],
        dtype=object,
    )
    return frame.iloc[rows].assign(**{REASON: text[which]})
