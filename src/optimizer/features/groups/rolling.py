"""Statistics of trailing windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from optimizer.core.errors import ConfigError
from optimizer.core.schema import METRICS
from optimizer.features.base import Array, Block, Feature, FeatureGroup, Layout, Planned

STATISTICS: dict[str, Callable[[Block, str, int], Array]] = {
    "mean": lambda block, metric, steps: block.mean(metric, steps),
    "std": lambda block, metric, steps: block.std(metric, steps),
    "min": lambda block, metric, steps: block.min(metric, steps),
    "max": lambda block, metric, steps: block.max(metric, steps),
    "median": lambda block, metric, steps: block.median(metric, steps),
}


@dataclass(frozen=True)
class Rolling(FeatureGroup):
    """Mean, std, min, max and median over trailing windows, per metric.

    Information at time t: the steps in ``(t - window, t]``.

    Parameters
    ----------
    windows : list of str
        Durations.
    statistics : dict
        Metric name to the statistics wanted of it.
    """

    windows: list[str] = field(default_factory=lambda: ["6h", "24h", "7d"])
    statistics: dict[str, list[str]] = field(default_factory=dict)
    name: ClassVar[str] = "rolling"
    view: ClassVar[str] = "rolling_features"

    def __post_init__(self) -> None:
        """Check the windows and the names of metrics and statistics."""
        self.check_durations("windows", *self.windows)
        self.check_metrics("statistics", self.statistics)
        for metric, wanted in self.statistics.items():
            unknown = sorted(set(wanted) - set(STATISTICS))
            if unknown:
                raise ConfigError(
                    f"features.groups.rolling.statistics.{metric}",
                    seen=", ".join(unknown),
                    allowed=", ".join(STATISTICS),
                    fix="correct the name",
                )

    def features(self, layout: Layout) -> Planned:
        """Return one feature per metric, window and statistic."""
        return [
            Feature(
                self.spec(f"{metric}_{kind}_{window}", METRICS[metric].unit, window, (metric,)),
                partial(_window, kind, metric, layout.steps(window)),
            )
            for metric in layout.available(tuple(self.statistics))
            for window in self.windows
            for kind in self.statistics[metric]
        ]


def _window(kind: str, metric: str, steps: int, block: Block) -> Array:
    return STATISTICS[kind](block, metric, steps)
