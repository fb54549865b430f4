"""The expectation suite of a telemetry schema, as plain values: built without any library.

A suite follows the columns that are there: a metric that is absent has no expectations, one
without a single value has only those about missing values.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from optimizer.core.durations import format_duration
from optimizer.core.schema import CLUSTER, CPU, IDS, MEMORY, METRICS, REQUIRED, SERVICE, TIMESTAMP
from optimizer.quality.spec import SEVERITIES, Expectation, Limits

NUMBERS = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")
TEXT = ("category", "object", "str", "string")
CELLS_PER_ROW = 200
"""A grid that is emptier than this was stretched by rows that do not belong to it."""
UNIT_KINDS = {CPU: "cpu", MEMORY: "memory"}
"""Keys of ``data.units`` that accept percent."""


def build_suite(
    columns: tuple[str, ...], with_values: tuple[str, ...], limits: Limits
) -> tuple[Expectation, ...]:
    """Return the expectations for telemetry with these columns, in order of severity.

    Parameters
    ----------
    columns : tuple of str
        Columns of the canonical frame.
    with_values : tuple of str
        Those metrics among them that have at least one finite value.
    limits : Limits
        What is allowed.
    """
    metrics = tuple(name for name in METRICS if name in columns)
    groups = (
        _percent(tuple(m for m in metrics if m in with_values), limits),
        _types(columns),
        _fleet(limits),
        _keys(),
        _ranges(tuple(m for m in metrics if m in with_values)),
        _broken(metrics, limits),
        _missing(metrics, limits),
        _services(limits),
    )
    found = [expectation for group in groups for expectation in group]
    order = list(SEVERITIES)
    return tuple(sorted(found, key=lambda expectation: order.index(expectation.check)))


def _percent(metrics: tuple[str, ...], limits: Limits) -> list[Expectation]:
    above = limits.percent_suspected_above
    return [
        Expectation(
            check="percent_suspected",
            asset="fleet",
            kind="ExpectColumnMaxToBeBetween",
            arguments={"column": f"p99_{name}", "max_value": above},
            subject=name,
            allowed=f"a 99th percentile of at most {above:g} as {METRICS[name].unit}",
            fix=f"the column looks like percent: {_unit_fix(name)}, or raise "
            "quality.percent_suspected_above",
        )
        for name in metrics
        if METRICS[name].unit.startswith("fraction")
    ]


def _unit_fix(name: str) -> str:
    kind = UNIT_KINDS.get(name)
    return f"set data.units.{kind}=percent" if kind else f"divide {name} by 100 in the source"


def _types(columns: tuple[str, ...]) -> list[Expectation]:
    def dtypes_of(name: str) -> tuple[str, ...]:
        if name == TIMESTAMP:
            return ("datetime64[us, UTC]",)
        return TEXT if name in IDS else NUMBERS

    return [
        Expectation(
            check="types",
            asset="schema",
            kind="ExpectColumnValuesToBeInSet",
            arguments={"column": name, "value_set": list(dtypes_of(name))},
            subject=name,
            allowed=f"dtype {', '.join(dtypes_of(name))}",
            fix="convert the column in the telemetry source or map another one to it",
        )
        for name in dict.fromkeys((*REQUIRED, *columns))
    ]


def _fleet(limits: Limits) -> list[Expectation]:
    share, services = limits.max_quarantined, limits.min_services
    return [
        Expectation(
            check="row_count",
            asset="fleet",
            kind="ExpectColumnMinToBeBetween",
            arguments={"column": "rows", "min_value": 1},
            allowed="at least 1 row",
            fix="point data.path at telemetry that has rows",
        ),
        Expectation(
            check="quarantined",
            asset="fleet",
            kind="ExpectColumnMaxToBeBetween",
            arguments={"column": "quarantined_share", "max_value": share},
            allowed=f"at most {share:.2%} of the rows (quality.max_quarantined)",
            fix="look at quarantine.parquet. One service and time with different values: merge "
            "replicas of a collector (data.merge=mean), or name the column that "
            "tells two services apart (data.columns.cluster_id, data.columns.service_id=[a,b]). "
            "An irregular clock: set data.freq. Else repair the rows, or raise "
            "quality.max_quarantined",
        ),
        Expectation(
            check="grid",
            asset="fleet",
            kind="ExpectColumnMaxToBeBetween",
            arguments={"column": "grid_steps", "max_value": limits.max_steps},
            allowed=f"at most {limits.max_steps:,} steps from the first row to the last "
            "(quality.max_steps)",
            fix="remove rows far from the others, or set a longer data.freq",
        ),
        Expectation(
            check="grid",
            asset="fleet",
            kind="ExpectColumnMaxToBeBetween",
            arguments={"column": "grid_per_row", "max_value": CELLS_PER_ROW},
            subject="services",
            allowed=f"at most {CELLS_PER_ROW} steps and services of the grid for each row",
            fix="remove rows far from the others, or set a longer data.freq",
        ),
        Expectation(
            check="service_count",
            asset="fleet",
            kind="ExpectColumnMinToBeBetween",
            arguments={"column": "services", "min_value": services},
            subject=SERVICE,
            allowed=f"at least {services} services",
            fix="point data.path at the telemetry of more services",
        ),
    ]


def _keys() -> list[Expectation]:
    unique = Expectation(
        check="unique_keys",
        asset="telemetry",
        kind="ExpectCompoundColumnsToBeUnique",
        arguments={"column_list": [SERVICE, TIMESTAMP]},
        subject=f"{SERVICE}, {TIMESTAMP}",
        allowed="one row per key",
        fix="remove the repeated rows from the source",
    )
    present = [
        Expectation(
            check="ids_present",
            asset="telemetry",
            kind="ExpectColumnValuesToNotBeNull",
            arguments={"column": name},
            subject=name,
            allowed="a value in every row",
            fix="fill or drop the rows without it in the source",
        )
        for name in (SERVICE, CLUSTER, TIMESTAMP)
    ]
    return [unique, *present]


def _ranges(metrics: tuple[str, ...]) -> list[Expectation]:
    bounds = (("Min", "min_value", "lower"), ("Max", "max_value", "upper"))
    return [
        Expectation(
            check="value_range",
            asset="telemetry",
            kind=f"ExpectColumn{side}ToBeBetween",
            arguments={"column": name, argument: getattr(METRICS[name], attribute)},
            subject=name,
            allowed=f"{side.lower()} within [{METRICS[name].lower:g}, {METRICS[name].upper:g}] "
            f"{METRICS[name].unit}",
            fix=f"check the unit of {name} in the source",
        )
        for name in metrics
        for side, argument, attribute in bounds
    ]


def _broken(metrics: tuple[str, ...], limits: Limits) -> list[Expectation]:
    return [
        Expectation(
            check="broken_values",
            asset="fleet",
            kind="ExpectColumnMaxToBeBetween",
            arguments={"column": f"broken_{name}", "max_value": limits.max_missing},
            subject=name,
            allowed=f"at most {limits.max_missing:g} of the values infinite or outside "
            f"[{METRICS[name].lower:g}, {METRICS[name].upper:g}] {METRICS[name].unit}",
            fix=f"check the unit of {name} (data.units), or say which values mean that nothing "
            "was measured (data.missing)",
        )
        for name in metrics
    ]


def _missing(metrics: tuple[str, ...], limits: Limits) -> list[Expectation]:
    def share(check: str, name: str, least: dict[str, Any], allowed: str) -> Expectation:
        return Expectation(
            check=check,
            asset="telemetry",
            kind="ExpectColumnProportionOfNonNullValuesToBeBetween",
            arguments={"column": name, **least},
            subject=name,
            allowed=allowed,
            fix=f"check the source of {name}, or leave the column out",
        )

    present = 1.0 - limits.max_missing
    wording = f"at least {present:.4g} of the values present (quality.max_missing)"
    shares = [share("missing", name, {"min_value": present}, wording) for name in metrics]
    least = {"min_value": 0.0, "strict_min": True}
    return [share("cpu_observed", CPU, least, "at least one value"), *shares]


def _services(limits: Limits) -> list[Expectation]:
    def most(check: str, column: str, limit: float, allowed: str, fix: str) -> Expectation:
        return Expectation(
            check=check,
            asset="services",
            kind="ExpectColumnValuesToBeBetween",
            arguments={"column": column, "max_value": limit},
            subject=column,
            allowed=allowed,
            fix=fix,
        )

    gap, stale = limits.max_gap, limits.max_staleness
    return [
        most(
            "above_capacity",
            "above_capacity",
            0.5,
            "at most half of a service's values above 1, its whole capacity",
            "find out whether it is starved, or set the unit of the column (data.units)",
        ),
        most(
            "gaps",
            "largest_gap_hours",
            gap / pd.Timedelta("1h"),
            f"no absence above {format_duration(gap)} (quality.max_gap)",
            "expect features that look across the gap to be missing",
        ),
        most(
            "absent_rows",
            "absent_share",
            limits.max_missing,
            f"at most {limits.max_missing:g} of a service's steps absent (quality.max_missing)",
            "resample to a coarser data.freq if the coverage is too thin",
        ),
        most(
            "staleness",
            "staleness_hours",
            stale / pd.Timedelta("1h"),
            f"last row within {format_duration(stale)} of the newest (quality.max_staleness)",
            "check whether the service was retired",
        ),
    ]
