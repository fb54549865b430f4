"""Requests against what was used, as sums per service: every figure is a ratio of two of them.

Sums add up. Those of a group, of the fleet, or of a bootstrap resample are the same few numbers
weighted and added, so that the telemetry is read once per knob setting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray
from optimizer.demand.bounds import RequestBounds
from optimizer.demand.intervals import FloatMatrix, IntVector, Window
from optimizer.demand.usage import MEMORY, Usage

SUMS = (
    "requested", "peak", "static", "unit_hours", "intervals", "violated_intervals",
    "steps", "violated_steps", "exceedance", "unused", "unmet", "demand",
    "services", "violated_services", "changes", "change_days", "kills", "weeks",
)  # fmt: skip
CHANGED = 1e-6
"""A request that differs by more than this share of the one before is a change."""


@dataclass(frozen=True)
class ReplaySums:
    """Sums over the replay, per knob setting and service (or group, or resample).

    ``resource``: ``"cpu"`` or ``"memory"``. ``values``: float64, shape ``(n_sums, n_knobs,
    n_rows)``, in the order of ``SUMS``; see :func:`replay_sums`. A row is a service, or whatever
    services were added up to.
    """

    resource: str
    values: NDArray[np.float64]

    def __getitem__(self, name: str) -> FloatMatrix:
        """Return one sum, shape ``(n_knobs, n_rows)``, a view."""
        found: FloatMatrix = self.values[SUMS.index(name)]
        return found

    def weighted(self, weights: NDArray[np.number]) -> ReplaySums:
        """Return weighted sums over the rows.

        ``weights``: shape ``(n_out, n_rows)``: how often each resample draws each service, or which
        services belong to each group.
        """
        added = self.values @ np.asarray(weights, dtype=np.float64).T
        return ReplaySums(self.resource, added)

    def pooled(self) -> ReplaySums:
        """Return the sums over all rows, as a single row."""
        return ReplaySums(self.resource, self.values.sum(axis=2, keepdims=True))


def replay_sums(
    requests: FloatArray, usage: Usage, cutoffs: IntVector, floor: float = RequestBounds.floor
) -> ReplaySums:
    """Return the sums of each knob setting and service.

    An interval counts if any of its steps was observed, a step if it was observed. ``requested``,
    ``peak``, ``static``: over intervals, the request, the highest usage (what the peak oracle
    requests) and the present capacity; ``unit_hours``: request times length of its interval in
    hours. ``intervals``, ``steps``, ``services``: how many there are, and ``violated_*`` those with
    usage above the request at any step. Over steps, ``exceedance`` and ``unused``: usage above and
    below the request, as a share of the request; ``unmet``: usage above the request; ``demand``:
    usage. ``changes`` between successive intervals that both count, and ``change_days``, the length
    of the later ones. ``kills`` (memory only): runs of violated steps, those of each interval
    counted anew; ``weeks`` of observed steps.

    - ``requests``: float32, shape ``(n_knobs, n_cutoffs, n_services)``, > 0: from
      ``Replay.requests``.
    - ``usage``: what was used.
    - ``cutoffs``: int64, ascending: where each request begins to hold.
    - ``floor``: least request of the replay, for the requests of the peak oracle and of today.

    Notes
    -----
    Usage is what was measured under the capacity of the time. What a service would have done
    under a lower request, slow down or be killed and start anew, no replay can tell.
    """
    window = Window.of(usage, cutoffs)
    fixed = _fixed(window, usage.capacity, floor)
    out = np.empty((len(SUMS), len(requests), usage.n_services))
    for knob, request in enumerate(requests):
        cells = fixed | _of_request(request, window, fixed, usage.resource == MEMORY)
        for index, name in enumerate(SUMS):
            out[index, knob] = cells[name].sum(axis=0)
    return ReplaySums(usage.resource, out)


def _fixed(window: Window, capacity: FloatArray, floor: float) -> dict[str, FloatMatrix]:
    """Return what no request changes, by interval or for the whole, ``(n, n_services)``."""
    steps = window.observed()
    counts = (steps > 0).astype(np.float64)
    peak = np.nan_to_num(np.fmax(window.peaks(), np.float32(floor))) * counts
    days = window.lengths[:, None] * (window.step / pd.Timedelta("1D"))
    pair = counts[1:] * counts[:-1]
    return {
        "peak": peak,
        "static": counts * np.maximum(capacity, np.float32(floor)).astype(np.float64),
        "intervals": counts,
        "days": days * counts,
        "steps": steps,
        "demand": window.total(np.nan_to_num(window.used)),
        "services": counts.max(axis=0, keepdims=True),
        "pair": pair,
        "change_days": pair * days[1:],
        "weeks": steps * (window.step / pd.Timedelta("7D")),
    }


def _of_request(
    request: FloatArray, window: Window, fixed: Mapping[str, FloatMatrix], kills: bool
) -> dict[str, FloatMatrix]:
    """Return what depends on a request ``(n_cutoffs, n_services)``, by interval."""
    above = np.fmax(window.used - window.held(request), np.float32(0.0))
    violated = above > 0
    hits, unmet = window.total(violated), window.total(above)
    asked = request.astype(np.float64)
    counts = fixed["intervals"]
    unused = fixed["steps"] * asked - fixed["demand"] + unmet
    moved = np.abs(np.diff(asked, axis=0)) > CHANGED * asked[:-1]
    struck = (hits > 0).astype(np.float64)
    return {
        "requested": asked * counts,
        "unit_hours": asked * fixed["days"] * 24.0,
        "violated_intervals": struck,
        "violated_steps": hits,
        "exceedance": unmet / asked,
        "unused": np.maximum(unused, 0.0) / asked,
        "unmet": unmet,
        "violated_services": struck.max(axis=0, keepdims=True),
        "changes": moved * fixed["pair"],
        "kills": _runs(violated, window) if kills else np.zeros((1, request.shape[1])),
    }


def _runs(violated: NDArray[np.bool_], window: Window) -> FloatMatrix:
    """Return the runs of violated steps of each interval."""
    begun = violated.copy()
    begun[:, 1:] &= ~violated[:, :-1]
    begun[:, window.starts] = violated[:, window.starts]
    return window.total(begun)
