"""The guard between raw telemetry and everything that learns from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from optimizer.core.durations import parse_duration
from optimizer.core.errors import ConfigError
from optimizer.core.schema import (
    CLUSTER,
    PERCENT_SUSPECTED_ABOVE,
    SERVICE,
    TIMESTAMP,
    check_frame,
    metrics_of,
)
from optimizer.quality.derive import describe_fleet, describe_schema, describe_services
from optimizer.quality.quarantine import RowSplit, split_rows, values_of
from optimizer.quality.report import Check, QualityReport, Severity
from optimizer.quality.runner import SuiteRun, run_suite
from optimizer.quality.spec import SEVERITIES, Limits
from optimizer.quality.suite import build_suite


@dataclass(frozen=True)
class Inspection:
    """Everything the guard found.

    Parameters
    ----------
    split : RowSplit
        Rows kept and quarantined.
    report : QualityReport
        Outcome of the checks.
    run : SuiteRun
        The library's own results, for the Data Docs.
    """

    split: RowSplit
    report: QualityReport
    run: SuiteRun


@dataclass(frozen=True)
class TelemetryGuard:
    """Quarantines broken rows and holds the telemetry against its expectations.

    Parameters
    ----------
    max_quarantined : float
        Share of rows in [0, 1] that may be taken out, or lose their CPU.
    max_missing : float
        Share in [0, 1] of a metric's values, and of a service's steps, that may be missing.
    max_gap : str
        Longest absence of a service between two of its rows.
    max_staleness : str
        How much older than the newest row of the fleet a service's last row may be. No wall
        clock is read, so that old traces are judged like fresh telemetry.
    max_steps : int
        Longest grid, in steps from the first row to the last, at least 1.
    percent_suspected_above : float
        A 99th percentile of a fraction above this means that it is in percent.
    min_services : int
        Smallest number of services, at least 1.
    severities : mapping of str to str
        ``error`` or ``warning`` by check, for those that differ from
        :data:`optimizer.quality.spec.SEVERITIES`.

    Raises
    ------
    ConfigError
        A value is out of its range, or a check or severity is unknown.
    """

    max_quarantined: float = 0.01
    max_missing: float = 0.2
    max_gap: str = "24h"
    max_staleness: str = "24h"
    max_steps: int = 2_000_000
    percent_suspected_above: float = PERCENT_SUSPECTED_ABOVE
    min_services: int = 1
    severities: Mapping[str, Severity] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the ranges."""
        _require_share("quality.max_quarantined", self.max_quarantined)
        _require_share("quality.max_missing", self.max_missing)
        _require_positive("quality.percent_suspected_above", self.percent_suspected_above)
        _require_positive("quality.min_services", self.min_services)
        _require_positive("quality.max_steps", self.max_steps)
        parse_duration(self.max_gap, "quality.max_gap")
        parse_duration(self.max_staleness, "quality.max_staleness")
        for name, severity in self.severities.items():
            _require_choice("quality.severities", name, tuple(SEVERITIES))
            _require_choice(f"quality.severities.{name}", severity, ("error", "warning"))

    @cached_property
    def limits(self) -> Limits:
        """What is allowed, with durations resolved."""
        return Limits(
            max_quarantined=self.max_quarantined,
            max_missing=self.max_missing,
            max_gap=parse_duration(self.max_gap, "quality.max_gap"),
            max_staleness=parse_duration(self.max_staleness, "quality.max_staleness"),
            max_steps=self.max_steps,
            percent_suspected_above=self.percent_suspected_above,
            min_services=self.min_services,
        )

    def split(
        self, frame: pd.DataFrame, step: pd.Timedelta | None = None
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the rows kept and the rows quarantined, these with their ``reason``.

        See :func:`optimizer.quality.quarantine.split_rows` for the rules.
        """
        found = split_rows(frame, step)
        return found.kept, found.quarantined

    def validate(self, frame: pd.DataFrame, step: pd.Timedelta | None = None) -> QualityReport:
        """Return the report of all checks; nothing is written and nothing raised for data.

        Raises
        ------
        SchemaError
            The frame is not canonical.
        """
        return self.inspect(frame, step).report

    def inspect(
        self, frame: pd.DataFrame, step: pd.Timedelta | None = None, *, on_grid: bool = True
    ) -> Inspection:
        """Apply the row-level rules, then hold what is left against the suite.

        Parameters
        ----------
        frame : pandas.DataFrame
            Canonical long frame, shape ``(n_rows, n_columns)``, in order of arrival.
        step : pandas.Timedelta, optional
            Length of a step; inferred from the rows if absent.
        on_grid : bool
            Quarantine rows off the grid.

        Raises
        ------
        SchemaError
            The frame is not canonical.
        """
        check_frame(frame, "telemetry")
        split = split_rows(frame, step, on_grid=on_grid)
        with_values = tuple(
            name for name in metrics_of(frame) if np.isfinite(values_of(frame, name)).any()
        )
        run = run_suite(
            build_suite(tuple(map(str, frame.columns)), with_values, self.limits),
            {
                "schema": describe_schema(frame),
                "fleet": describe_fleet(frame, split),
                "services": describe_services(split),
                "telemetry": _as_categories(split.kept),
            },
            {**SEVERITIES, **self.severities},
            _newest(frame),
        )
        return Inspection(split, _report(run.checks, split, len(frame)), run)


def _report(checks: tuple[Check, ...], split: RowSplit, n_rows: int) -> QualityReport:
    """Return the report; the share of quarantined rows is told with its reasons."""
    reasons = "".join(f"; {n:,} {why}" for why, n in split.counts.items())
    told = f"{split.lost / max(1, n_rows):.3%} of the rows ({split.lost:,} of {n_rows:,}{reasons})"
    checks = tuple(replace(c, observed=told) if c.name == "quarantined" else c for c in checks)
    return QualityReport(
        success=all(c.passed or c.severity != "error" for c in checks),
        n_rows=n_rows,
        n_quarantined=len(split.quarantined),
        quarantined_by_reason=split.counts,
        quarantined_services=split.services,
        checks=checks,
    )


def _newest(frame: pd.DataFrame) -> pd.Timestamp:
    """Return the newest timestamp, or 1970 if there is none."""
    newest = frame[TIMESTAMP].max()
    return pd.Timestamp(0, tz="UTC") if pd.isna(newest) else newest


def _as_categories(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with ids as categories: counting and hashing text is slow."""
    text = {
        name: frame[name].astype("category")
        for name in (SERVICE, CLUSTER)
        if not isinstance(frame[name].dtype, pd.CategoricalDtype)
    }
    columns = {str(name): text.get(str(name), column) for name, column in frame.items()}
    return pd.DataFrame(columns, copy=False)


def _require_share(key: str, value: float) -> None:
    if not isinstance(value, (int, float)) or not 0.0 <= value <= 1.0:
        raise ConfigError(
            key,
            seen=repr(value),
            allowed="a share between 0 and 1",
            fix=f"set {key}=0.01 for 1 percent",
        )


def _require_positive(key: str, value: float) -> None:
    if not isinstance(value, (int, float)) or not value > 0:
        raise ConfigError(key, seen=repr(value), allowed="a number above 0", fix=f"raise {key}")


def _require_choice(key: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        allowed = ", ".join(choices)
        raise ConfigError(key, seen=repr(value), allowed=allowed, fix="pick one of these")
