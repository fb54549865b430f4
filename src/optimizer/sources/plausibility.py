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
            scale = _judge_fraction(frame, name, codes, units.get(kind) == AUTO, file)
            if scale is not None:
                frame = frame.assign(**{name: values * scale[codes]})
        elif name in LARGEST:
            _judge_capacity(name, kind, values, file)
        elif name == "latency_ms" and 0 < _median(values) < SHORTEST_MS:
            _doubt(file, name, _median(values), "seconds", f"data.units.{kind}=s, or ms")
    return frame


def _judge_fraction(
    frame: pd.DataFrame, name: str, codes: NDArray[np.integer], auto: bool, file: str
) -> NDArray[np.float32] | None:
    """Return what to multiply each service's values by if told from them, else None."""
    services, kind = frame[SERVICE].cat.categories, KINDS[name]
    table = frame[name].where(np.isfinite(frame[name])).groupby(codes)
    stats = pd.DataFrame({"median": table.median(), "high": table.quantile(0.99)}).dropna()
    stats = stats[stats.index >= 0]
    if name == "error_rate":
        odd = stats["high"] > 1.0
        if not odd.any() and (stats["median"] > FEW_ERRORS).mean() > MOST:
            _doubt(
                file,
                name,
                stats["median"].max(),
                "percent",
                f"data.units.{kind}=percent, or fraction",
            )
    else:
        odd = (stats["median"] > SURE) | (stats["high"] > PERCENT_SUSPECTED_ABOVE)
        above = stats["median"] > 1.0
        if len(stats) > 1 and above.mean() > MOST:
            odd |= above
        if (above & ~odd).any():
            worst = int(stats["median"].where(above & ~odd).argmax())
            _log.warning(
                "%s: %s of service %s has a median of %.3g, above its whole capacity (%d of %d "
                "services): believed, as its peaks are few times that; if it is no fraction, set "
                "data.units.%s",
                file, name, services[stats.index[worst]], stats["median"].iloc[worst],
                (above & ~odd).sum(), len(stats), kind,
            )  # fmt: skip
    if not odd.any():
        return None
    if auto:
        scale = np.ones(len(services) + 1, dtype=np.float32)
        scale[stats.index[odd]] = 0.01
        _log.info(
            "%s: %s of %d of %d services read as percent, for example %s (data.units.%s=auto)",
            file, name, odd.sum(), len(stats), services[stats.index[odd][0]], kind,
        )  # fmt: skip
        return scale
    worst = int(stats["median"].where(odd).argmax())
    median, high = stats.iloc[worst]
    rows = frame[codes == stats.index[worst]]
    seen, unit = _looks_like(rows, name, median, high)
    everyone = odd.all()
    share = "all services" if everyone else f"{odd.sum()} of {len(stats)} services"
    if unit == "percent" and not everyone:
        fix = f"set data.units.{kind}={AUTO}, which judges each file and service"
    else:
        fix = f"set data.units.{kind}={unit}"
    raise SchemaError(
        f"{file}: column {name} of service {services[stats.index[worst]]} ({share})",
        seen=f"a median of {median:.4g}, a 99th percentile of {high:.4g}: it looks like {seen}",
        allowed=f"{METRICS[name].unit}",
        fix=f"{fix}, or data.units.{kind}=fraction if it is one",
    )


def _looks_like(rows: pd.DataFrame, name: str, median: float, high: float) -> tuple[str, str]:
    """Return in words and as a unit what the values of one service look like."""
    values = rows.sort_values(TIMESTAMP)[name].to_numpy(np.float64)
    values = values[np.isfinite(values)]
    change = np.diff(values)
    if len(values) >= COUNTED and (change < 0).mean() < 0.01 and (change > 0).mean() > 0.5:
        return "a counter that only rises", "cpu_seconds" if name == CPU else "bytes"
    capacity = rows[CAPACITIES[name]].median() if CAPACITIES.get(name) in rows else np.nan
    if name == CPU:
        if capacity > 1.0 and high <= 1.2 * capacity and capacity < 20:
            return f"cores of {capacity:g}, or percent", "cores"
        return ("percent", "percent") if high <= 110 else ("millicores", "millicores")
    if name == MEMORY:
        if median > 1e6:
            return "bytes", "bytes"
        if high > 110:
            return "MiB", "mib"
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
