"""Row-level rules: which rows cannot be trusted, and why, before any statistic is taken.

Rows are judged whole: a broken value takes its row out instead of being repaired, so that
nothing invented reaches a model. Everything is vectorised over the columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import format_duration
from optimizer.core.panel import BoolArray, infer_step
from optimizer.core.schema import CLUSTER, METRICS, SERVICE, TIMESTAMP, metrics_of

Codes = NDArray[np.int64]
REASON = "reason"
_NAT = np.iinfo(np.int64).min


@dataclass(frozen=True)
class RowSplit:
    """The rows of a frame, sorted into kept and quarantined.

    Parameters
    ----------
    kept : pandas.DataFrame
        Rows that broke no rule, in order of arrival, unchanged.
    quarantined : pandas.DataFrame
        The other rows with all their columns and ``reason``.
    counts : dict of str to int
        Rows per reason.
    step : pandas.Timedelta
        Length of a step of the grid.
    """

    kept: pd.DataFrame
    quarantined: pd.DataFrame
    counts: dict[str, int]
    step: pd.Timedelta


def split_rows(
    frame: pd.DataFrame, step: pd.Timedelta | None = None, *, on_grid: bool = True
) -> RowSplit:
    """Separate the rows that break a row-level rule.

    The rules: an id or the timestamp is missing; a metric is infinite; a metric is outside
    :data:`optimizer.core.schema.METRICS`; the timestamp is off the grid; the key appeared again
    later (of rows with one key that break no other rule the last stays).

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
    broken = _broken_keys(frame, clock) | _broken_values(frame)
    if on_grid:
        off_grid = (clock % size != _modal_phase(clock % size)) & (clock != _NAT)
        broken[f"off grid of {format_duration(step)}: {TIMESTAMP}"] = off_grid
    sound = ~_any(broken, len(frame))
    repeated = np.zeros(len(frame), dtype=bool)
    repeated[sound] = _duplicated(codes[sound], clock[sound], "last")
    broken[f"duplicate key: {SERVICE}, {TIMESTAMP}"] = repeated
    keep = sound & ~repeated
    return RowSplit(
        kept=frame if keep.all() else frame[keep],
        quarantined=_with_reason(frame, broken),
        counts={why: int(mask.sum()) for why, mask in broken.items() if mask.any()},
        step=step,
    )


def service_codes(frame: pd.DataFrame) -> Codes:
    """Return one integer per service, shape ``(n_rows,)``, -1 where the id is missing."""
    column = frame[SERVICE]
    if isinstance(column.dtype, pd.CategoricalDtype):
        return np.asarray(column.cat.codes, dtype=np.int64)
    return np.asarray(pd.factorize(column)[0], dtype=np.int64)


def clock_of(frame: pd.DataFrame) -> Codes:
    """Return the timestamps as microseconds since 1970 UTC, int64, shape ``(n_rows,)``."""
    return frame[TIMESTAMP].to_numpy("datetime64[us]").astype(np.int64)


def count_backward(frame: pd.DataFrame) -> pd.Series[int]:
    """Return how often each service's clock steps back, in the order in which rows arrived.

    Rows whose key occurs more than once are left out: a measurement that was sent again is a
    duplicate, not a clock that runs backwards.

    Returns
    -------
    pandas.Series
        int64 count per service, shape ``(n_services,)``, indexed by the code of
        :func:`service_codes`.
    """
    codes, clock = service_codes(frame), clock_of(frame)
    usable = (codes >= 0) & (clock != _NAT)
    usable[usable] &= ~_duplicated(codes[usable], clock[usable], False)
    codes, clock = codes[usable], clock[usable]
    if np.any(codes[1:] < codes[:-1]):
        order = np.argsort(codes, kind="stable")
        codes, clock = codes[order], clock[order]
    back = (clock[1:] < clock[:-1]) & (codes[1:] == codes[:-1])
    return pd.Series(np.bincount(codes[1:][back], minlength=int(codes.max(initial=-1)) + 1))


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


def _duplicated(codes: Codes, clock: Codes, keep: str | bool) -> BoolArray:
    keys = pd.DataFrame({"service": codes, "clock": clock}, copy=False)
    return keys.duplicated(keep=keep).to_numpy()  # type: ignore[arg-type]


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
