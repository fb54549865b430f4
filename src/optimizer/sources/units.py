"""Units of files and the column names that are recognised without a map."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from optimizer.core.errors import ConfigError, SchemaError
from optimizer.core.schema import CANONICAL, CPU, MEMORY, SERVICE, TIMESTAMP

START_COLUMN = "timestamp"
"""A file's column of this name marks the START of a slot."""
GIB = float(1 << 30)
AUTO = "auto"
"""Unit of a fraction that is told for each file and service from its values."""

UNITS: dict[str, dict[str, float]] = {
    "cpu": {
        "fraction": 1.0, "percent": 0.01, AUTO: 1.0,
        "cores": 1.0, "millicores": 1e-3, "nanocores": 1e-9, "cpu_seconds": 1.0,
    },
    "memory": {
        "fraction": 1.0, "percent": 0.01, AUTO: 1.0,
        "gib": 1.0, "mib": 1 / 1024, "kib": 1 / 1024**2, "bytes": 1 / GIB,
    },
    "network": {"bytes_per_s": 8e-6, "kb_per_s": 8e-3, "mbit_per_s": 1.0, "bytes": 8e-6},
    "disk": {"bytes_per_s": 8e-6, "kb_per_s": 8e-3, "mbit_per_s": 1.0, "bytes": 8e-6},
    "request_rate": {"per_s": 1.0, "per_min": 1 / 60, "requests": 1.0},
    "latency": {"ms": 1.0, "s": 1e3, "us": 1e-3},
    "error_rate": {"fraction": 1.0, "percent": 0.01, AUTO: 1.0},
    "cost": {"usd": 1.0, "cents": 0.01},
    "cpu_capacity": {"cores": 1.0, "millicores": 1e-3},
    "memory_capacity": {
        "gib": 1.0, "gb": 1e9 / GIB, "mib": 1 / 1024, "kib": 1 / 1024**2, "bytes": 1 / GIB,
    },
}  # fmt: skip
"""Per kind of metric and unit the factor to the canonical unit; 1 KB is 1000 bytes."""
ABSOLUTE = {
    "cpu": ("cores", "millicores", "nanocores", "cpu_seconds"),
    "memory": ("gib", "mib", "kib", "bytes"),
}
"""Units that a capacity turns into a fraction."""
COUNTERS = {("cpu", "cpu_seconds"), ("network", "bytes"), ("disk", "bytes"),
            ("request_rate", "requests")}  # fmt: skip
"""Units that only rise; what is kept is how much they rise in a second."""

KINDS = {
    CPU: "cpu",
    MEMORY: "memory",
    "network_in_mbps": "network",
    "network_out_mbps": "network",
    "disk_read_mbps": "disk",
    "disk_write_mbps": "disk",
    "request_rate": "request_rate",
    "latency_ms": "latency",
    "error_rate": "error_rate",
    "cost_usd": "cost",
    "cpu_capacity_cores": "cpu_capacity",
    "memory_capacity_gib": "memory_capacity",
}
CAPACITIES = {CPU: "cpu_capacity_cores", MEMORY: "memory_capacity_gib"}

RECOGNISED: dict[str, tuple[str, str | None]] = {
    START_COLUMN: (TIMESTAMP, None),
    "time": (TIMESTAMP, None),
    "datetime": (TIMESTAMP, None),
    "network_in": ("network_in_mbps", "kb_per_s"),
    "network_out": ("network_out_mbps", "kb_per_s"),
    "disk_read": ("disk_read_mbps", "kb_per_s"),
    "disk_write": ("disk_write_mbps", "kb_per_s"),
    "cpu_usage": (CPU, "cores"),
    "cpu_usage_cores": (CPU, "cores"),
    "memory_usage": (MEMORY, "bytes"),
    "memory_usage_bytes": (MEMORY, "bytes"),
    "memory_usage_gib": (MEMORY, "gib"),
    "cpu_capacity": ("cpu_capacity_cores", None),
    "cpu_limit": ("cpu_capacity_cores", None),
    "memory_capacity_gb": ("memory_capacity_gib", None),
    "memory_limit": ("memory_capacity_gib", "bytes"),
    "requests": ("request_rate", None),
    "is_anomaly_window": ("is_anomaly", None),
}
"""A file's column to its canonical name and unit; throughputs of these names are in KB/s."""


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


def check_columns(columns: Mapping[str, object]) -> None:
    """Check the keys of ``data.columns``; a list of columns is allowed for ``service_id`` alone.

    Raises
    ------
    ConfigError
        A key is no canonical name, or names several columns.
    """
    for name, column in columns.items():
        if name not in CANONICAL:
            close = difflib.get_close_matches(name, CANONICAL, 1)
            raise ConfigError(
                f"data.columns.{name}",
                seen=column,
                allowed=", ".join(CANONICAL),
                fix=f"write data.columns.{close[0] if close else '<canonical name>'}=<column>",
            )
        if column is not None and not isinstance(column, str) and name != SERVICE:
            raise ConfigError(
                f"data.columns.{name}",
                seen=column,
                allowed="one column; a list of columns for service_id only",
                fix=f"set data.columns.{name} to one column",
            )


def check_unique(available: list[str], file: str) -> None:
    """Refuse a file with two columns of one name.

    Raises
    ------
    SchemaError
        A name occurs twice.
    """
    twice = [column for column in dict.fromkeys(available) if available.count(column) > 1]
    if twice:
        raise SchemaError(
            f"{file}: column {twice[0]}",
            seen=f"{available.count(twice[0])} columns of that name",
            allowed="one column for each name",
            fix="rename one in the file",
        )


def plain_name(column: str) -> str:
    """Return a column's name in lower case, outer spaces cut, inner ones as underscores."""
    return re.sub(r"[\s\-]+", "_", column.strip().lower())


def match_columns(
    available: list[str], columns: Mapping[str, str | list[str] | None], file: str
) -> dict[str, list[str]]:
    """Return the file's columns of each canonical name, in canonical order.

    The user's map comes first, then a column of the canonical name itself, then a recognised
    name; case and outer spaces do not count. Only ``service_id`` can have several columns.

    Parameters
    ----------
    available : list of str
        Columns of the file.
    columns : mapping
        ``data.columns``: canonical name to the file's column, or None.
    file : str
        The file, for the message.

    Raises
    ------
    SchemaError
        Two columns of the file have one name, or a column that was named is not there.
    """
    spelled: dict[str, list[str]] = {}
    for column in available:
        spelled.setdefault(plain_name(column), []).append(column)
    found: dict[str, list[str]] = {}
    for name in CANONICAL:
        aliases = [alias for alias, (target, _) in RECOGNISED.items() if target == name]
        wanted = columns.get(name)
        if wanted is not None:
            several = [wanted] if isinstance(wanted, str) else list(wanted)
            found[name] = [_find(column, spelled, available, name, file) for column in several]
            continue
        given = next((c for c in (name, *aliases) if c in spelled), None)
        if given is not None:
            found[name] = [_find(given, spelled, available, name, file)]
    return found


def _find(
    column: str, spelled: Mapping[str, list[str]], available: list[str], name: str, file: str
) -> str:
    """Return the column of the file that is meant."""
    if available.count(column) == 1:
        return column
    alike = spelled.get(plain_name(column), [])
    if len(alike) == 1:
        return alike[0]
    if len(alike) > 1:
        raise SchemaError(
            f"{file}: column {column}",
            seen=f"{len(alike)} columns of that name: {', '.join(map(repr, alike))}",
            allowed="one column for each name",
            fix=f"rename one in the file, or set data.columns.{name} to the one that is meant",
        )
    raise SchemaError(
        f"data.columns.{name}",
        seen=f"{column}, which {file} lacks",
        allowed=", ".join(available),
        fix=f"set data.columns.{name} to a column of the file",
    )


def unit_of(name: str, column: str, units: Mapping[str, str | None]) -> str | None:
    """Return the unit that a file's column is in, or None for the canonical one.

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
    said = units.get(kind) if kind is not None else None
    if said is not None:
        return said
    target, unit = RECOGNISED.get(plain_name(column), (name, None))
    return unit if target == name else None
