"""The same hour of earlier days, aimed at the hour to come."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd

from optimizer.columns import CPU, METRICS
from optimizer.durations import parse_duration
from optimizer.errors import ConfigError
from optimizer.features.base import Array, Block, Compute, Feature, FeatureGroup, Layout, shift
from optimizer.ranges import require_count


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
                    if lag == 0:
                        continue  # the value now, which the group workload has
                    spec = self.spec(f"{metric}_{self.label}_{day}d", unit, f"{day}d", (metric,))
                    found.append(Feature(spec, self._one(metric, lag)))
            for kind, reduce in (("mean", _mean), ("max", _max)):
                spec = self.spec(
                    f"{metric}_{self.label}_{kind}_{self.days}d", unit, f"{self.days}d", (metric,)
                )
                found.append(Feature(spec, reduce(metric, lags)))
        return found

    def _lag(self, layout: Layout, day: int) -> int:
        """Return the lag of a day in steps, never negative: the future stays closed."""
        return max(0, day * layout.steps("24h") - layout.steps(self.lead))

    def _one(self, metric: str, lag: int) -> Compute:
        return lambda block: shift(block.metric(metric), lag)


def _mean(metric: str, lags: list[int]) -> Compute:
    """Return the mean of the observed days, float32."""

    def compute(block: Block) -> Array:
        total = np.zeros(block.shape, dtype=np.float32)
        count = np.zeros(block.shape, dtype=np.float32)
        for lag in lags:
            known = max(0, block.shape[1] - lag)
            total[:, lag:] += block.filled(metric)[:, :known]
            count[:, lag:] += block.seen(metric)[:, :known]
        return total / count

    return compute


def _max(metric: str, lags: list[int]) -> Compute:
    """Return the maximum of the observed days."""

    def compute(block: Block) -> Array:
        result = np.full(block.shape, np.nan, dtype=np.float32)
        for lag in lags:
            known = block.metric(metric)[:, : max(0, block.shape[1] - lag)]
            np.fmax(result[:, lag:], known, out=result[:, lag:])
        return result

    return compute
