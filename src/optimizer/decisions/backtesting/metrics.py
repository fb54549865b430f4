"""The figures of a replay, each a ratio of two sums; NaN where nothing was observed.

The same function serves the fleet, its groups, its services and bootstrap resamples: what the
rows of the sums are is what the rows of the figures are.
"""

from __future__ import annotations

import numpy as np

from optimizer.decisions.backtesting.accounting import ReplaySums
from optimizer.demand.intervals import FloatMatrix
from optimizer.demand.usage import CPU, MEMORY

RATIOS: dict[str, tuple[str, str]] = {
    "cost_vs_static": ("requested", "static"),
    "cost_vs_oracle": ("requested", "peak"),
    "violation_rate": ("violated_steps", "steps"),
    "severity": ("exceedance", "violated_steps"),
    "unmet_share": ("unmet", "demand"),
    "violated_intervals_share": ("violated_intervals", "intervals"),
    "violated_services_share": ("violated_services", "services"),
    "slack": ("unused", "steps"),
    "changes_per_service_day": ("changes", "change_days"),
}
"""Figure to the sums above and below the line."""
HOURS = {CPU: "core_hours", MEMORY: "gib_hours"}


def replay_metrics(sums: ReplaySums) -> dict[str, FloatMatrix]:
    """Return all figures of each knob setting and row.

    float64 arrays of shape ``(n_knobs, n_rows)``. ``cost_vs_static`` and ``cost_vs_oracle``:
    requests as a multiple of today's capacity and of the peak oracle's requests.
    ``violation_rate``: share of observed steps with usage above the request; ``severity``: mean
    excess of these, as a share of the request; ``unmet_share``: share of all usage that lay above
    the request. ``violated_intervals_share`` and ``violated_services_share``: those with any such
    step. ``slack``: mean unused share of the request. ``changes_per_service_day``. ``core_hours``
    or ``gib_hours``: what the requests amount to. Of memory also ``kills_per_service_week``.
    ``sums``: per service, or of ``sums.pooled()`` or ``sums.weighted(weights)``.

    Notes
    -----
    ``severity`` is 0 where nothing is violated.
    """
    figures = {name: ratio(sums[over], sums[under]) for name, (over, under) in RATIOS.items()}
    figures["severity"] = np.where(
        (sums["steps"] > 0) & (sums["violated_steps"] == 0), 0.0, figures["severity"]
    )
    figures[HOURS[sums.resource]] = sums["unit_hours"].copy()
    if sums.resource == MEMORY:
        figures["kills_per_service_week"] = ratio(sums["kills"], sums["weeks"])
    return figures


def ratio(over: FloatMatrix, under: FloatMatrix) -> FloatMatrix:
    """Return the quotient, NaN where the divisor is 0."""
    return np.divide(over, under, out=np.full_like(over, np.nan), where=under > 0)
