"""Whether a policy keeps its promises: exceedance, and bounds around the coming peak."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.features.panel import FloatArray
from optimizer.rightsizing.base import Usage
from optimizer.rightsizing.replay_intervals import FloatMatrix, Window
from optimizer.rightsizing.replay_metrics import ratio

ALL = "all"
"""Name of the row of the whole fleet."""


def exceedance_table(
    promised: NDArray[np.floating] | float,
    request: FloatArray,
    usage: Usage,
    cutoffs: NDArray[np.int64],
    groups: NDArray[np.generic] | None = None,
) -> pd.DataFrame:
    """Return how often usage exceeded the request, beside how often that was promised.

    Parameters
    ----------
    promised : numpy.ndarray or float
        Probability that a step of the coming interval exceeds the request, shape ``(n_cutoffs,
        n_services)`` or one for all; NaN where nothing was promised.
    request : numpy.ndarray
        Shape ``(n_cutoffs, n_services)``.
    usage : Usage
        What was used.
    cutoffs : numpy.ndarray
        int64, ascending.
    groups : numpy.ndarray, optional
        Shape ``(n_services,)``: for example archetypes, or the services themselves.

    Returns
    -------
    pandas.DataFrame
        Index ``group``, ``"all"`` first. ``steps``: observed under a promise; ``promised``: mean
        over these; ``realised``: share of them above the request; ``difference``: realised minus
        promised.
    """
    window = Window.of(usage, cutoffs)
    promise = np.broadcast_to(np.asarray(promised, dtype=np.float64), request.shape)
    given = ~np.isnan(promise)
    steps = window.observed() * given
    hits = window.total(window.used > window.held(request)) * given
    totals = _grouped([steps, steps * np.nan_to_num(promise), hits], groups)
    return pd.DataFrame(
        {
            "steps": totals[:, 0].astype(np.int64),
            "promised": ratio(totals[:, 1], totals[:, 0]),
            "realised": ratio(totals[:, 2], totals[:, 0]),
            "difference": ratio(totals[:, 2] - totals[:, 1], totals[:, 0]),
        },
        index=_index(groups),
    )


def coverage_table(
    lower_bound: FloatArray,
    upper_bound: FloatArray,
    usage: Usage,
    cutoffs: NDArray[np.int64],
    groups: NDArray[np.generic] | None = None,
) -> pd.DataFrame:
    """Return how often the peak of the coming interval lay within its bounds.

    Parameters
    ----------
    lower_bound, upper_bound : numpy.ndarray
        Shape ``(n_cutoffs, n_services)``; NaN where there are none.
    usage : Usage
        What was used.
    cutoffs : numpy.ndarray
        int64, ascending.
    groups : numpy.ndarray, optional
        Shape ``(n_services,)``.

    Returns
    -------
    pandas.DataFrame
        Index ``group``, ``"all"`` first. ``intervals``: with an observed peak and bounds;
        ``coverage``: share of them with the peak within the bounds, ends included; ``below`` and
        ``above``: share with the peak outside; ``width``: mean width over mean peak.
    """
    peaks = Window.of(usage, cutoffs).peaks()
    known = ~np.isnan(peaks + lower_bound + upper_bound)
    below, above = (peaks < lower_bound) & known, (peaks > upper_bound) & known
    width = np.where(known, upper_bound - lower_bound, 0.0)
    totals = _grouped([known, below, above, width, np.where(known, peaks, 0.0)], groups)
    count = totals[:, 0]
    return pd.DataFrame(
        {
            "intervals": count.astype(np.int64),
            "coverage": ratio(count - totals[:, 1] - totals[:, 2], count),
            "below": ratio(totals[:, 1], count),
            "above": ratio(totals[:, 2], count),
            "width": ratio(totals[:, 3], totals[:, 4]),
        },
        index=_index(groups),
    )


def _grouped(cells: list[NDArray[np.generic]], groups: NDArray[np.generic] | None) -> FloatMatrix:
    """Return sums of cells ``(n_cutoffs, n_services)`` per group, ``(1 + n_groups, n_cells)``."""
    added = np.stack([cell.sum(axis=0, dtype=np.float64) for cell in cells], axis=1)
    whole = added.sum(axis=0, keepdims=True)
    if groups is None:
        return np.asarray(whole)
    names, member = np.unique(groups.astype(str), return_inverse=True)
    return np.vstack([whole, (np.arange(len(names))[:, None] == member) @ added])


def _index(groups: NDArray[np.generic] | None) -> pd.Index:
    names = [] if groups is None else np.unique(groups.astype(str)).tolist()
    return pd.Index([ALL, *names], name="group")
