"""The same hour of earlier days, aimed at the hour to come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import pandas as pd

from optimizer.core.durations import parse_duration
from optimizer.core.errors import ConfigError
from optimizer.core.schema import CPU, METRICS
from optimizer.core.validation import require_count
from optimizer.features.base import Array, Block, Compute, Feature, FeatureGroup, Layout, Planned

Reduce = Callable[[Block, str, int, int, int], Array]
REDUCE: dict[str, Reduce] = {
    "mean": lambda block, metric, lag, day, days: block.mean_of_days(metric, lag, day, days),
    "max": lambda block, metric, lag, day, days: block.max_of_days(metric, lag, day, days),
}


@dataclass(frozen=True)
class Seasonal(FeatureGroup):
    """Values of the coming step one to seven days ago, their mean and their maximum.

    The value for day k lies at ``t + lead - k * 24h``, which is at or before t for every k,
    since ``lead <= 24h``. Information at time t: steps up to t.

    Parameters
    ----------
    metrics : list of str
        Metrics; each gets the mean and maximum over the days, CPU each day too.
    days : int
        How many days back.
    lead : str
        How far ahead of t the hour lies that the earlier days are asked for.
    label : str
        What the features are called, so that two leads can stand side by side.
    """

    metrics: list[str] = field(default_factory=lambda: [CPU])
    days: int = 7
    lead: str = "1h"
    label: str = "same_hour"
    name: ClassVar[str] = "seasonal"
    view: ClassVar[str] = "seasonal_features"

    def __post_init__(self) -> None:
        """Check the settings."""
        self.check_metrics("metrics", self.metrics)
        require_count("features.groups.seasonal.days", self.days, 1, fix=7)
        lead = parse_duration(self.lead, "features.groups.seasonal.lead")
        if lead > pd.Timedelta("24h"):
            raise ConfigError(
                "features.groups.seasonal.lead",
                seen=self.lead,
                allowed="at most 24h: beyond it the day before has not happened yet",
                fix="set features.groups.seasonal.lead=1h",
            )

    def features(self, layout: Layout) -> Planned:
        """Return one feature per day for CPU, and mean and maximum for every metric."""
        found = []
        for metric in layout.available(self.metrics):
            unit = METRICS[metric].unit
            day, lead = layout.steps("24h"), layout.steps(self.lead)
            if metric == CPU:
                for k in range(1, self.days + 1):
                    if k * day == lead:
                        continue  # the value now, which the group workload has
                    spec = self.spec(f"{metric}_{self.label}_{k}d", unit, f"{k}d", (metric,))
                    found.append(Feature(spec, _one(metric, k * day - lead)))
            for kind, reduce in REDUCE.items():
                name = f"{metric}_{self.label}_{kind}_{self.days}d"
                spec = self.spec(name, unit, f"{self.days}d", (metric,))
                found.append(Feature(spec, self._many(metric, day, day - lead, reduce)))
        return found

    def _many(self, metric: str, day: int, lag: int, reduce: Reduce) -> Compute:
        return lambda block: reduce(block, metric, lag, day, self.days)


def _one(metric: str, lag: int) -> Compute:
    return lambda block: block.earlier(metric, lag)
