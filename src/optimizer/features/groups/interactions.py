"""Combinations of features that trees find only with many splits; derived on demand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from optimizer.core.schema import CPU, MEMORY
from optimizer.features.base import (
    Array,
    Derive,
    Derived,
    Feature,
    FeatureGroup,
    Layout,
    Planned,
    divide,
)
from optimizer.features.table import ON_DEMAND_VIEW

FitConfig = tuple[str, str, tuple[str, ...], Derive]
"""Name, unit, inputs, function."""


@dataclass(frozen=True)
class Interactions(FeatureGroup):
    """Scale-free position of CPU in its own history, and products and ratios of metrics.

    All are derived from features of the groups ``workload`` and ``rolling`` of the same row, so
    the store keeps none of them. Information at time t: the steps in ``(t - lookback, t]``.

    Parameters
    ----------
    short, long : str
        The two windows that positions and ratios refer to; the group ``rolling`` must have
        CPU's mean, standard deviation, minimum and maximum over both.
    """

    short: str = "24h"
    long: str = "7d"
    name: ClassVar[str] = "interactions"
    view: ClassVar[str] = ON_DEMAND_VIEW

    def __post_init__(self) -> None:
        """Check the settings."""
        self.check_durations("short", self.short)
        self.check_durations("long", self.long)

    def features(self, layout: Layout) -> Planned:
        """Return the features whose metrics the telemetry has."""
        found: list[Feature | Derived] = []
        if layout.available([CPU]):
            for window in (self.short, self.long):
                found += [self.derived(n, u, window, (CPU,), i, f) for n, u, i, f in _own(window)]
            for name, unit, inputs, derive in _room(self.short):
                found.append(self.derived(name, unit, self.short, (CPU,), inputs, derive))
        for name, unit, inputs, derive in PAIRS:
            if len(layout.available(inputs)) == len(inputs):
                found.append(self.derived(name, unit, "0h", inputs, inputs, derive))
        return found


def _own(window: str) -> list[FitConfig]:
    """Return where CPU stands in a window of its own history."""
    mean, std, low, high = (f"{CPU}_{kind}_{window}" for kind in ("mean", "std", "min", "max"))
    return [
        (f"cpu_zscore_{window}", "std", (CPU, mean, std), _zscore),
        (f"cpu_range_position_{window}", "fraction", (CPU, low, high), _position),
        (f"cpu_to_mean_{window}", "ratio", (CPU, mean), partial(divide, floor=1e-2)),
        (f"cpu_variation_{window}", "ratio", (std, mean), partial(divide, floor=1e-2)),
    ]


def _room(window: str) -> list[FitConfig]:
    """Return how near CPU is to its recent peak, and to full."""
    peak, std = f"{CPU}_max_{window}", f"{CPU}_std_{window}"
    return [
        (f"cpu_below_peak_{window}", "fraction", (peak, CPU), lambda high, now: high - now),
        (f"cpu_peak_headroom_{window}", "fraction", (peak,), _headroom),
        (f"cpu_headroom_in_std_{window}", "std", (CPU, std), lambda x, s: divide(1 - x, s)),
    ]


def _zscore(now: Array, mean: Array, std: Array) -> Array:
    return divide(now - mean, std)


def _position(now: Array, low: Array, high: Array) -> Array:
    return divide(now - low, high - low)


def _headroom(now: Array) -> Array:
    return 1 - now


def _product(first: Array, second: Array) -> Array:
    return first * second


NET = ("network_in_mbps", "network_out_mbps")
DISK = ("disk_read_mbps", "disk_write_mbps")
RATE, LATENCY, CORES = "request_rate", "latency_ms", "cpu_capacity_cores"
PAIRS: tuple[FitConfig, ...] = (
    ("cpu_headroom", "fraction", (CPU,), _headroom),
    ("cpu_squared", "fraction", (CPU,), lambda now: now**2),
    ("cpu_times_memory", "fraction", (CPU, MEMORY), _product),
    ("cpu_to_memory", "ratio", (CPU, MEMORY), partial(divide, floor=1e-2)),
    ("memory_headroom", "fraction", (MEMORY,), _headroom),
    ("network_total_mbps", "Mbit/s", NET, lambda received, sent: received + sent),
    ("network_in_to_out", "ratio", NET, partial(divide, floor=1e-3)),
    ("disk_read_to_write", "ratio", DISK, partial(divide, floor=1e-3)),
    ("cpu_times_latency", "ms", (CPU, LATENCY), _product),
    ("requests_per_core", "requests/s", (RATE, CORES), partial(divide, floor=1e-2)),
    ("cpu_per_request", "1/(requests/s)", (CPU, RATE), partial(divide, floor=1.0)),
    ("cpu_cores_used", "cores", (CPU, CORES), _product),
)
"""Products and ratios of the metrics at step t."""
