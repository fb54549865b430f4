"""Whether values can be what their unit says, judged for each file, column and service.

A unit that the user sets in ``data.units`` is believed; one that is not set is doubted.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.errors import SchemaError
from optimizer.core.panel import BoolArray
from optimizer.core.schema import CPU, MEMORY, METRICS, PERCENT_SUSPECTED_ABOVE, SERVICE, TIMESTAMP
from optimizer.sources.units import AUTO, CAPACITIES, KINDS

_log = logging.getLogger(__name__)
Floats = NDArray[np.floating]
SURE = 3.0
"""A service whose median is above so many times its capacity is in another unit."""
MOST = 0.8
"""A file in which this share of the services has a median above capacity is in another unit."""
LARGEST = {"cpu_capacity_cores": 512.0, "memory_capacity_gib": 1536.0}
"""Median capacities above these are in another unit, or need to be said."""
RARE = 0.01
FEW_ERRORS = 0.05
SHORTEST_MS = 1.0
COUNTED = 20
"""A column rises without an end if it does so over at least so many rows of a service."""


def judge_units(frame: pd.DataFrame, units: Mapping[str, str | None], file: str) -> pd.DataFrame:
    """Return the rows of one file with fractions of unit ``auto`` told; refuse unlikely units.

    Parameters
    ----------
    frame : pandas.DataFrame
        Canonical names and, as far as it is known, canonical units; ``service_id`` categorical.
    units : mapping
        ``data.units``, with the units of recognised columns filled in.
    file : str
        The file, for messages.

    Raises
    ------
    SchemaError
        Values that cannot be what they are said to be, with the unit that they look like.
    """
    codes = frame[SERVICE].cat.codes.to_numpy()
    for name in METRICS:
        kind = KINDS.get(name)
        if name not in frame or kind is None or units.get(kind) not in (None, AUTO):
            continue
        values = frame[name].to_numpy()
        if name in (CPU, MEMORY, "error_rate"):
            in_percent = _judge_fraction(frame, name, codes, units.get(kind) == AUTO, file)
            if in_percent is not None:
                scale = np.where(in_percent, np.float32(0.01), np.float32(1.0))
                frame = frame.assign(**{name: values * scale[codes]})
        elif name in LARGEST:
            _judge_capacity(name, kind, values, file)
        elif name == "latency_ms" and 0 < (median := _median(values)) < SHORTEST_MS:
            _doubt(file, name, median, "seconds", f"data.units.{kind}=s, or ms")
    return frame


def _judge_fraction(
    frame: pd.DataFrame, name: str, codes: NDArray[np.integer], auto: bool, file: str
) -> BoolArray | None:
    """Return which services are in percent if that is told from their values, else None."""
    values = frame[name].to_numpy()
    if not (values > (FEW_ERRORS if name == "error_rate" else 1.0)).any():
        return None
    n = len(frame[SERVICE].cat.categories)
    own = codes >= 0
    codes = codes[own]
    values = np.where(np.isinf(values[own]), np.float32(np.nan), values[own])
    rows = np.bincount(codes, ~np.isnan(values), minlength=n)
    seen = rows > 0
    rows = np.maximum(rows, 1)

    def beyond(limit: float) -> Floats:
        """Return the share of each service's values above a limit: a median is at half."""
        return np.bincount(codes, values > limit, minlength=n) / rows

    high = beyond(1.0)
    if name == "error_rate":
        odd, above = high > RARE, beyond(FEW_ERRORS) > 0.5
    else:
        above = high > 0.5
        odd = (beyond(SURE) > 0.5) | (beyond(PERCENT_SUSPECTED_ABOVE) > RARE)
        if seen.sum() > 1 and above[seen].mean() > MOST:
            odd |= above
    worst = int(np.where(odd if odd.any() else above, high, -1.0).argmax())
    service = str(frame[SERVICE].cat.categories[worst])
    its = values[codes == worst]
    its = its[np.isfinite(its)]
    if not odd.any():
        if (name != "error_rate" and above.any()) or above[seen].mean() > MOST:
            _doubt_fraction(file, name, service, _median(its), f"{above.sum()} of {seen.sum()}")
        return None
    looks, unit = _looks_like(frame[frame[SERVICE] == service], name)
    share = "all services" if odd[seen].all() else f"{odd.sum()} of {seen.sum()} services"
    if auto and unit == "percent":
        _log.info("%s: %s of %s read as percent, for example %s", file, name, share, service)
        return odd
    mixed = unit == "percent" and not odd[seen].all()
    fix = f"{AUTO}, which judges each file and service" if mixed else unit
    raise SchemaError(
        f"{file}: column {name} of service {service} ({share})",
        seen=f"a median of {_median(its):.4g}, a 99th percentile of "
        f"{np.quantile(its, 0.99):.4g}: it looks like {looks}",
        allowed=METRICS[name].unit,
        fix=f"set data.units.{KINDS[name]}={fix}, or data.units.{KINDS[name]}=fraction if it is "
        "one",
    )


def _doubt_fraction(file: str, name: str, service: str, median: float, share: str) -> None:
    kind = KINDS[name]
    if name == "error_rate":
        _doubt(file, name, median, "percent", f"data.units.{kind}=percent, or fraction")
        return
    _log.warning(
        "%s: %s of service %s has a median of %.3g, above its whole capacity (%s services): "
        "believed, as its peaks are few times that; if it is no fraction, set data.units.%s",
        file, name, service, median, share, kind,
    )  # fmt: skip


def _looks_like(rows: pd.DataFrame, name: str) -> tuple[str, str]:
    """Return in words and as a unit what the values of one service look like."""
    values = rows.sort_values(TIMESTAMP)[name].to_numpy(np.float64)
    values = values[np.isfinite(values)]
    high = float(np.quantile(values, 0.99))
    if name == MEMORY and high > 110:
        return ("bytes", "bytes") if _median(values) > 1e6 else ("MiB", "mib")
    if name == CPU:
        change = np.diff(values)
        if len(change) >= COUNTED and (change < 0).mean() < 0.01 and (change > 0).mean() > 0.5:
            return "a counter of seconds, which only rises", "cpu_seconds"
        capacity = float(rows[CAPACITIES[CPU]].median()) if CAPACITIES[CPU] in rows else np.nan
        if 1.0 < capacity < 20 and high <= 1.2 * capacity:
            return f"cores of {capacity:g}, or percent", "cores"
        if high > 110:
            return "millicores", "millicores"
    return "percent", "percent"


def _judge_capacity(name: str, kind: str, values: Floats, file: str) -> None:
    median = _median(values)
    if not median > LARGEST[name]:
        return
    if name == "cpu_capacity_cores":
        seen, unit, own = "millicores", "millicores", "cores"
    elif median > 1e6:
        seen, unit, own = "bytes", "bytes", "gib"
    else:
        seen, unit, own = "MiB", "mib", "gib"
    raise SchemaError(
        f"{file}: column {name}",
        seen=f"a median of {median:,.6g}, which looks like {seen}",
        allowed=METRICS[name].unit,
        fix=f"set data.units.{kind}={unit}, or data.units.{kind}={own} if it is that large",
    )


def _doubt(file: str, name: str, median: float, seen: str, fix: str) -> None:
    _log.warning(
        "%s: column %s has a median of %.3g %s, which looks like %s: set %s, to settle it",
        file, name, median, METRICS[name].unit, seen, fix,
    )  # fmt: skip


def _median(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else 0.0
