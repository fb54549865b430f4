"""Combinations of metrics and windows that trees find only with many splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from optimizer.columns import CPU, MEMORY
from optimizer.features.base import Array, Block, Compute, Feature, FeatureGroup, Layout, divide

Recipe = tuple[str, str, str, tuple[str, ...], Compute]


@dataclass(frozen=True)
class Interactions(FeatureGroup):
    """Scale-free position of CPU in its own history, and products and ratios of metrics.

    Information at time t: the steps in ``(t - lookback, t]`` of the named metrics.

    Parameters
    ----------
    short, long : str
        The two windows that positions and ratios refer to.
    """

    short: str = "24h"
    long: str = "7d"
    name: ClassVar[str] = "interactions"

    def __post_init__(self) -> None:
        """Check the settings."""
        self.check_durations("short", self.short)
        self.check_durations("long", self.long)

    def features(self, layout: Layout) -> list[Feature]:
        """Return the features whose metrics the telemetry has."""
        short, long = layout.steps(self.short), layout.steps(self.long)
        recipes = [*self._positions(short, long), *self._levels(short), *_pairs()]
        return [
            Feature(self.spec(name, unit, lookback, source), compute)
            for name, unit, lookback, source, compute in recipes
            if len(layout.available(source)) == len(source)
        ]

    def _positions(self, short: int, long: int) -> list[Recipe]:
        """Return where CPU stands in its short and long windows."""
        found: list[Recipe] = []
        for window, w in ((self.short, short), (self.long, long)):
            found += [
                (f"cpu_zscore_{window}", "std", window, (CPU,), _zscore(w)),
                (f"cpu_range_position_{window}", "fraction", window, (CPU,), _position(w)),
                (f"cpu_to_mean_{window}", "ratio", window, (CPU,), _to_mean(w)),
                (f"cpu_variation_{window}", "ratio", window, (CPU,), _variation(w)),
            ]
        return found

    def _levels(self, short: int) -> list[Recipe]:
        """Return how near CPU is to full, and to its recent peak."""
        w, window = short, self.short

        def below_peak(block: Block) -> Array:
            return block.max(CPU, w) - block.metric(CPU)

        def peak_headroom(block: Block) -> Array:
            return 1 - block.max(CPU, w)

        def headroom_in_std(block: Block) -> Array:
            return divide(1 - block.metric(CPU), block.std(CPU, w))

        return [
            ("cpu_headroom", "fraction", "0h", (CPU,), lambda b: 1 - b.metric(CPU)),
            ("cpu_squared", "fraction", "0h", (CPU,), lambda b: b.metric(CPU) ** 2),
            (f"cpu_below_peak_{window}", "fraction", window, (CPU,), below_peak),
            (f"cpu_peak_headroom_{window}", "fraction", window, (CPU,), peak_headroom),
            (f"cpu_headroom_in_std_{window}", "std", window, (CPU,), headroom_in_std),
        ]


def _pairs() -> list[Recipe]:
    """Return products and ratios of two metrics at step t."""

    def ratio(upper: str, lower: str, floor: float) -> Compute:
        return lambda b: divide(b.metric(upper), b.metric(lower), floor)

    def product(first: str, second: str) -> Compute:
        return lambda b: b.metric(first) * b.metric(second)

    def traffic(block: Block) -> Array:
        return block.metric("network_in_mbps") + block.metric("network_out_mbps")

    net = ("network_in_mbps", "network_out_mbps")
    disk = ("disk_read_mbps", "disk_write_mbps")
    rate, latency, cores = "request_rate", "latency_ms", "cpu_capacity_cores"
    return [
        ("cpu_times_memory", "fraction", "0h", (CPU, MEMORY), product(CPU, MEMORY)),
        ("cpu_to_memory", "ratio", "0h", (CPU, MEMORY), ratio(CPU, MEMORY, 1e-2)),
        ("memory_headroom", "fraction", "0h", (MEMORY,), lambda b: 1 - b.metric(MEMORY)),
        ("network_total_mbps", "Mbit/s", "0h", net, traffic),
        ("network_in_to_out", "ratio", "0h", net, ratio(*net, 1e-3)),
        ("disk_read_to_write", "ratio", "0h", disk, ratio(*disk, 1e-3)),
        ("cpu_times_latency", "ms", "0h", (CPU, latency), product(CPU, latency)),
        ("requests_per_core", "requests/s", "0h", (rate, cores), ratio(rate, cores, 1e-2)),
        ("cpu_per_request", "1/(requests/s)", "0h", (CPU, rate), ratio(CPU, rate, 1.0)),
        ("cpu_cores_used", "cores", "0h", (CPU, cores), product(CPU, cores)),
    ]


def _zscore(steps: int) -> Compute:
    return lambda b: divide(b.wide(CPU) - b.mean(CPU, steps), b.std(CPU, steps))


def _position(steps: int) -> Compute:
    def compute(block: Block) -> Array:
        low = block.min(CPU, steps)
        return divide(block.metric(CPU) - low, block.max(CPU, steps) - low)

    return compute


def _to_mean(steps: int) -> Compute:
    return lambda b: divide(b.metric(CPU), b.mean(CPU, steps), 1e-2)


def _variation(steps: int) -> Compute:
    return lambda b: divide(b.std(CPU, steps), b.mean(CPU, steps), 1e-2)
