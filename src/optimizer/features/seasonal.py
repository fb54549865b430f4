"""The same hour of earlier days, aimed at the hour to come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd

from optimizer.columns import CPU, METRICS
from optimizer.durations import parse_duration
from optimizer.errors import ConfigError
from optimizer.features.base import Array, Compute, Feature, FeatureGroup, Layout, shift
from optimizer.ranges import require_count

Reduce = Callable[[list[Array]], Array]


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
    """

    metrics: list[str] = field(default_factory=lambda: [CPU])
    days: int = 7
    lead: str = "1h"
    name: ClassVar[str] = "seasonal"

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

    def features(self, layout: Layout) -> list[Feature]:
        """Return one feature per day for CPU, and mean and maximum for every metric."""
        found = []
        for metric in layout.available(self.metrics):
            unit = METRICS[metric].unit
            lags = [self._lag(layout, day) for day in range(1, self.days + 1)]
            if metric == CPU:
                for day, lag in enumerate(lags, start=1):
                    spec = self.spec(f"{metric}_same_hour_{day}d", unit, f"{day}d", (metric,))
                    found.append(Feature(spec, self._one(metric, lag)))
            for kind, reduce in (("mean", _mean), ("max", _max)):
                spec = self.spec(
                    f"{metric}_same_hour_{kind}_{self.days}d", unit, f"{self.days}d", (metric,)
                )
                found.append(Feature(spec, self._many(metric, lags, reduce)))
        return found

    def _lag(self, layout: Layout, day: int) -> int:
        """Return the lag of a day in steps, never negative: the future stays closed."""
        return max(0, day * layout.steps("24h") - layout.steps(self.lead))

    def _one(self, metric: str, lag: int) -> Compute:
        return lambda block: shift(block.metric(metric), lag)

    def _many(self, metric: str, lags: list[int], reduce: Reduce) -> Compute:
        return lambda block: reduce([shift(block.metric(metric), lag) for lag in lags])


def _mean(days: list[Array]) -> Array:
    """Return the mean of the observed days, float32."""
    total = np.zeros_like(days[0])
    count = np.zeros_like(days[0])
    for values in days:
        seen = ~np.isnan(values)
        np.add(total, values, out=total, where=seen)
        count += seen
    return total / np.where(count > 0, count, np.float32(np.nan))


def _max(days: list[Array]) -> Array:
    """Return the maximum of the observed days."""
    result = days[0]
    for values in days[1:]:
        result = np.fmax(result, values)
    return result
