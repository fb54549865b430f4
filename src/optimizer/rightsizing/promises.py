"""Promised against realised: levels that 1 % of the steps shall exceed, and the share that did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.rightsizing.base import Usage
from optimizer.rightsizing.history import peak
from optimizer.rightsizing.outlook import Outlook
from optimizer.rightsizing.surface_outcomes import count_hits

SHARES = (0.005, 0.01, 0.02, 0.05)
"""Promised shares of steps above a level."""
ALL = "all"


def tabulate_promises(
    outlook: Outlook, usage: Usage, cutoffs: NDArray[np.int64], interval: int, groups: Sequence[str]
) -> pd.DataFrame:
    """Return how often the promised levels were exceeded, for the fleet and each group.

    Parameters
    ----------
    outlook : Outlook
        At the cutoffs.
    usage : Usage
        What happened after them.
    cutoffs : numpy.ndarray
        int64, shape ``(n_cutoffs,)``.
    interval : int
        Steps that a request holds.
    groups : sequence of str
        Group of each service.

    Returns
    -------
    pandas.DataFrame
        ``group`` (``all`` first), ``promised``, ``realised`` (shares of steps), ``ratio`` of the
        two, ``steps`` (observed, with a promise).
    """
    hits, steps = count_hits(usage, cutoffs, interval, outlook.levels_at(SHARES))
    rows = []
    for name, chosen in _by_group(groups):
        number = int(steps[:, chosen].sum())
        realised = hits[:, :, chosen].sum(axis=(1, 2)) / max(number, 1)
        for promised, share in zip(SHARES, realised.tolist(), strict=True):
            told = share if number else np.nan
            rows.append((name, promised, told, told / promised, number))
    return pd.DataFrame(rows, columns=["group", "promised", "realised", "ratio", "steps"])


def tabulate_bounds(
    outlook: Outlook, usage: Usage, cutoffs: NDArray[np.int64], interval: int, groups: Sequence[str]
) -> pd.DataFrame:
    """Return how often the peak of an interval lay between its bounds, by group.

    Parameters
    ----------
    outlook, usage, cutoffs, interval, groups
        As of :func:`tabulate_promises`.

    Returns
    -------
    pandas.DataFrame
        ``group``, ``covered``, ``below`` and ``above`` (shares of intervals; 90 %, 5 % and 5 % are
        promised), ``intervals``.
    """
    lower, upper = outlook.bounds()
    peaks = np.stack([peak(usage.values[:, c : c + interval]) for c in cutoffs.tolist()])
    known = ~(np.isnan(peaks) | np.isnan(lower))
    rows = []
    for name, chosen in _by_group(groups):
        number = int(known[:, chosen].sum())
        below, above = (
            float((side & known)[:, chosen].sum()) / number if number else np.nan
            for side in (peaks < lower, peaks > upper)
        )
        rows.append((name, 1.0 - below - above, below, above, number))
    return pd.DataFrame(rows, columns=["group", "covered", "below", "above", "intervals"])


def _by_group(groups: Sequence[str]) -> list[tuple[str, NDArray[np.bool_]]]:
    """Return each group's name and which services are in it, the whole fleet first."""
    names = np.asarray(groups)
    whole = (ALL, np.ones(len(names), dtype=np.bool_))
    return [whole, *((name, names == name) for name in sorted({*groups}))]
