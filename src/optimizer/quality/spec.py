"""The words of the quality step: checks with their severity, limits, and one expectation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from optimizer.quality.report import Severity

SEVERITIES: dict[str, Severity] = {
    "percent_suspected": "error",
    "row_count": "error",
    "types": "error",
    "grid": "error",
    "quarantined": "error",
    "broken_values": "error",
    "service_count": "error",
    "unique_keys": "error",
    "ids_present": "error",
    "cpu_observed": "error",
    "value_range": "error",
    "above_capacity": "warning",
    "missing": "warning",
    "gaps": "warning",
    "absent_rows": "warning",
    "staleness": "warning",
}
"""Every check and its severity unless configured; failures are told in this order."""


@dataclass(frozen=True)
class Limits:
    """What is allowed, resolved from the configuration.

    Parameters
    ----------
    max_quarantined, max_missing : float
        Shares in [0, 1].
    max_gap, max_staleness : pandas.Timedelta
        Durations.
    max_steps : int
        Longest grid.
    percent_suspected_above : float
        Limit of the 99th percentile of a fraction.
    min_services : int
        Smallest fleet.
    """

    max_quarantined: float
    max_missing: float
    max_gap: pd.Timedelta
    max_staleness: pd.Timedelta
    max_steps: int
    percent_suspected_above: float
    min_services: int


@dataclass(frozen=True)
class Expectation:
    """One expectation before any library sees it.

    Parameters
    ----------
    check : str
        A name of :data:`SEVERITIES`.
    asset : str
        The frame it looks at: ``schema``, ``fleet``, ``telemetry`` or ``services``.
    kind : str
        Class name in ``great_expectations.expectations``.
    arguments : dict
        Its arguments.
    subject : str
        Column or thing it is about, for the message.
    allowed, fix : str
        What passes, and what to do otherwise.
    """

    check: str
    asset: str
    kind: str
    arguments: dict[str, Any] = field(default_factory=dict)
    subject: str = "rows"
    allowed: str = ""
    fix: str = ""
