"""Units of files and the column names that are recognised without a map."""

from __future__ import annotations

from collections.abc import Mapping

from optimizer.core.errors import ConfigError
from optimizer.core.schema import CANONICAL, TIMESTAMP

START_COLUMN = "timestamp"
"""A file's column of this name marks the START of a slot."""

UNITS: dict[str, dict[str, float]] = {
    "cpu": {"fraction": 1.0, "percent": 0.01},
    "memory": {"fraction": 1.0, "percent": 0.01},
    "network": {"bytes_per_s": 8e-6, "kb_per_s": 8e-3, "mbit_per_s": 1.0},
    "disk": {"bytes_per_s": 8e-6, "kb_per_s": 8e-3, "mbit_per_s": 1.0},
}
"""Per kind of metric and unit the factor to the canonical unit; 1 KB is 1000 bytes."""

KINDS = {
    "cpu_utilization": "cpu",
    "memory_utilization": "memory",
    "network_in_mbps": "network",
    "network_out_mbps": "network",
    "disk_read_mbps": "disk",
    "disk_write_mbps": "disk",
}

RECOGNISED: dict[str, tuple[str, float]] = {
    START_COLUMN: (TIMESTAMP, 1.0),
    "network_in": ("network_in_mbps", 8e-3),
    "network_out": ("network_out_mbps", 8e-3),
    "disk_read": ("disk_read_mbps", 8e-3),
    "disk_write": ("disk_write_mbps", 8e-3),
    "cpu_capacity": ("cpu_capacity_cores", 1.0),
    "memory_capacity_gb": ("memory_capacity_gib", 1.0),
    "requests": ("request_rate", 1.0),
    "is_anomaly_window": ("is_anomaly", 1.0),
}
"""A file's column to its canonical name and factor; throughputs of these names are in KB/s."""


def check_units(units: Mapping[str, str | None]) -> None:
    """Check ``data.units``.

    Raises
    ------
    ConfigError
        A kind or unit is unknown.
    """
    for kind, unit in units.items():
        if kind not in UNITS:
            raise ConfigError(
                f"data.units.{kind}", seen=unit, allowed=", ".join(UNITS), fix="use one of these"
            )
        if unit is not None and unit not in UNITS[kind]:
            allowed = ", ".join(UNITS[kind])
            raise ConfigError(
                f"data.units.{kind}",
                seen=unit,
                allowed=f"{allowed} or null",
                fix=f"set data.units.{kind} to one of these",
            )


def check_columns(columns: Mapping[str, str | None]) -> None:
    """Check the keys of ``data.columns``.

    Raises
    ------
    ConfigError
        A key is no canonical name.
    """
    for name, column in columns.items():
        if name not in CANONICAL:
            raise ConfigError(
                f"data.columns.{name}",
                seen=column,
                allowed=", ".join(CANONICAL),
                fix="write data.columns.<canonical name>=<column of the file>",
            )


def match_columns(available: list[str], columns: Mapping[str, str | None]) -> dict[str, str]:
    """Return the file's column of each canonical name, in canonical order.

    The user's map comes first, then a column of the canonical name itself, then a recognised
    name.

    Parameters
    ----------
    available : list of str
        Columns of the file.
    columns : mapping
        ``data.columns``: canonical name to the file's column, or None.
    """
    found: dict[str, str] = {}
    for name in CANONICAL:
        aliases = [alias for alias, (target, _) in RECOGNISED.items() if target == name]
        wanted = columns.get(name)
        candidates = [wanted] if wanted is not None else [name, *aliases]
        column = next((c for c in candidates if c in available), None)
        if column is not None:
            found[name] = column
    return found


def factor_of(name: str, column: str, units: Mapping[str, str | None]) -> float:
    """Return what to multiply a file's column by to reach the canonical unit.

    Parameters
    ----------
    name : str
        Canonical name.
    column : str
        The file's column.
    units : mapping
        ``data.units``; a kind that is None goes by the recognised column name.
    """
    kind = KINDS.get(name)
    unit = units.get(kind) if kind is not None else None
    if kind is not None and unit is not None:
        return UNITS[kind][unit]
    target, factor = RECOGNISED.get(column, (name, 1.0))
    return factor if target == name else 1.0
