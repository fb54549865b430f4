"""Coarser steps for telemetry: the mean of a slot, if at least half of it was measured."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import format_duration, parse_duration
from optimizer.core.errors import ConfigError
from optimizer.core.panel import infer_step
from optimizer.core.schema import IDS, LABELS, SERVICE, TIMESTAMP, metrics_of
from optimizer.sources.clock import micros_of, to_utc

SUMMED = ("cost_usd",)
"""Metrics counted per step: a slot holds the mean times the number of native steps in it."""


def resample(frame: pd.DataFrame, freq: str) -> pd.DataFrame:
    """Return one row per service and slot of ``freq`` on the UTC grid.

    The slot that ends at T holds the samples that end in ``(T - freq, T]``, so that nothing
    after T is used. Its value is their mean if at least half of the samples that the native
    step promises are there, else NaN; labels take the maximum of what there is. A slot without
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
        ``freq`` is finer than the native step.
    """
    size = parse_duration(freq, "data.freq")
    step = infer_step(frame[TIMESTAMP], frame[SERVICE])
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
    expected = size / step
    for name in metrics_of(frame):
        cells = frame[name].to_numpy(np.float64, na_value=np.nan)
        out[name] = _reduce(name, cells, first, expected).astype(np.float32)
    return out


def _reduce(
    name: str, cells: NDArray[np.float64], first: NDArray[np.int64], expected: float
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
