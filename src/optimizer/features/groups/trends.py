"""Differences and exponential means: which way a metric is going."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from optimizer.core.schema import METRICS
from optimizer.features.base import RESOLVED, Compute, Feature, FeatureGroup, Layout, Planned

FORGOTTEN = 10
"""Half-lives after which a sample weighs below 0.1 %: the lookback of an exponential mean."""


@dataclass(frozen=True)
class Trends(FeatureGroup):
    """Differences over one step and over durations; exponentially weighted means.

    The exponential mean has the weights of ``pandas.ewm(halflife=…, adjust=True,
    ignore_na=False)``. Information at time t: for a difference the steps t and t - duration;
    for a mean all steps up to t (after ten half-lives a sample weighs below 0.1 %). A gap repeats
    the last mean until no sample of the last ten half-lives is left.

    Parameters
    ----------
    differences : dict
        Metric name to durations.
    halflives : dict
        Metric name to half-lives as durations; each also yields the value minus the mean.
    """

    differences: dict[str, list[str]] = field(default_factory=dict)
    halflives: dict[str, list[str]] = field(default_factory=dict)
    name: ClassVar[str] = "trends"
    view: ClassVar[str] = "trend_features"

    def __post_init__(self) -> None:
        """Check the settings."""
        for argument in ("differences", "halflives"):
            chosen: dict[str, list[str]] = getattr(self, argument)
            self.check_metrics(argument, chosen)
            for metric, durations in chosen.items():
                for duration in durations:
                    self.check_durations(f"{argument}.{metric}", duration)

    def features(self, layout: Layout) -> Planned:
        """Return the differences, then the exponential means and distances from them."""
        found = []
        for metric in layout.available(tuple(self.differences)):
            unit = METRICS[metric].unit
            spec = self.spec(f"{metric}_diff_1", unit, layout.span(1), (metric,))
            found.append(Feature(spec, self._difference(metric, 1)))
            for duration in self.differences[metric]:
                steps = layout.steps(duration)
                if steps == 1 and layout.span(1) == duration:
                    continue  # the same as diff_1 on this clock
                spec = self.spec(f"{metric}_diff_{duration}", unit, duration, (metric,))
                found.append(Feature(spec, self._difference(metric, steps)))
        for metric in layout.available(tuple(self.halflives)):
            unit = METRICS[metric].unit
            for halflife in self.halflives[metric]:
                steps = layout.steps(halflife)
                lookback = layout.span(FORGOTTEN * steps)
                reach = layout.span(RESOLVED * steps)
                spec = self.spec(f"{metric}_ewm_{halflife}", unit, lookback, (metric,), reach)
                found.append(Feature(spec, self._mean(metric, steps)))
                name = f"{metric}_minus_ewm_{halflife}"
                spec = self.spec(name, unit, lookback, (metric,), reach)
                found.append(Feature(spec, self._distance(metric, steps)))
        return found

    def _difference(self, metric: str, steps: int) -> Compute:
        return lambda block: block.metric(metric) - block.earlier(metric, steps)

    def _mean(self, metric: str, steps: int) -> Compute:
        return lambda block: block.exponential_mean(metric, steps, FORGOTTEN * steps)

    def _distance(self, metric: str, steps: int) -> Compute:
        mean = self._mean(metric, steps)
        return lambda block: block.metric(metric) - mean(block)
