"""Promised against realised: levels that 1 % of the steps shall exceed, and the share that did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.demand.history import peak
from optimizer.demand.usage import CPU, MEMORY, Usage
from optimizer.models.conformal.predictive import PredictiveDistribution
from optimizer.models.exceedance.outcomes import count_hits

SHARES = (0.005, 0.01, 0.02, 0.05)
"""Promised shares of steps above a level; of memory, of peaks."""
COUNTED = {CPU: "steps", MEMORY: "peaks"}
"""What the shares are of: one step of memory above its limit kills."""
ALL = "all"
BAND = (0.5, 1.5)
"""Multiples of a promise within which it counts as kept."""


def tabulate_promises(
    outlook: PredictiveDistribution,
    usage: Usage,
    cutoffs: NDArray[np.int64],
    interval: int,
    groups: Sequence[str],
) -> pd.DataFrame:
    """Return how often the promised levels were exceeded, for the fleet and each group.

    Of memory it is the intervals that count whose peak was above, as they do for a kill. ``group``
    (``all`` first), ``promised``, ``realised`` (shares of ``COUNTED``), ``ratio`` of the two,
    ``steps`` (steps, or peaks, observed with a promise).

    - ``outlook``: at the cutoffs.
    - ``usage``: what happened after them.
    - ``cutoffs``: int64, shape ``(n_cutoffs,)``.
    - ``groups``: group of each service.
    """
    peaks = usage.resource == MEMORY
    levels = outlook.levels_at(SHARES, peaks=peaks)
    hits, steps = count_hits(usage, cutoffs, interval, levels, peaks=peaks)
    rows = []
    for name, chosen in by_group(groups):
        number = int(steps[:, chosen].sum())
        realised = hits[:, :, chosen].sum(axis=(1, 2)) / max(number, 1)
        for promised, share in zip(SHARES, realised.tolist(), strict=True):
            told = share if number else np.nan
            rows.append((name, promised, told, told / promised, number))
    return pd.DataFrame(rows, columns=["group", "promised", "realised", "ratio", "steps"])


def tabulate_bounds(
    outlook: PredictiveDistribution,
    usage: Usage,
    cutoffs: NDArray[np.int64],
    interval: int,
    groups: Sequence[str],
) -> pd.DataFrame:
    """Return how often the peak of an interval lay between its bounds, by group.

    ``group``, ``covered``, ``below`` and ``above`` (shares of intervals; 90 %, 5 % and 5 % are
    promised), ``intervals``. ``outlook``, ``usage``, ``cutoffs``, ``interval``, ``groups``: passed
    on to :func:`tabulate_promises`.
    """
    lower, upper = outlook.bounds()
    peaks = np.full(lower.shape, np.nan, dtype=np.float32)
    for index, cutoff in enumerate(cutoffs.tolist()):
        peaks[index] = peak(usage.values[:, cutoff : cutoff + interval])
    known = ~(np.isnan(peaks) | np.isnan(lower))
    rows = []
    for name, chosen in by_group(groups):
        number = int(known[:, chosen].sum())
        below, above = (
            float((side & known)[:, chosen].sum()) / number if number else np.nan
            for side in (peaks < lower, peaks > upper)
        )
        rows.append((name, 1.0 - below - above, below, above, number))
    return pd.DataFrame(rows, columns=["group", "covered", "below", "above", "intervals"])


def format_promises(promises: pd.DataFrame) -> str:
    """Return in one sentence what came of promises, from :func:`tabulate_promises`."""
    ratio = promises["ratio"].dropna()
    kept = int(ratio.between(*BAND).sum())
    within = "{:g} to {:g} times".format(*BAND)
    return f"{kept} of {len(ratio)} promises came true within {within} what was promised."


def format_bounds(bounds: pd.DataFrame) -> str:
    """Return in one sentence what came of bounds, from :func:`tabulate_bounds`."""
    columns = (bounds[key].tolist() for key in ("group", "covered", "intervals"))
    told = [
        f"{name} {share:.1%} of {number:,}" for name, share, number in zip(*columns, strict=True)
    ]
    return f"Peaks within P5 and P95, where 90% were promised: {', '.join(told)}."


def by_group(groups: Sequence[str]) -> list[tuple[str, NDArray[np.bool_]]]:
    """Return each group's name and which services are in it, the whole fleet first."""
    names = np.asarray(groups)
    whole = (ALL, np.ones(len(names), dtype=np.bool_))
    return [whole, *((name, names == name) for name in sorted({*groups}))]
