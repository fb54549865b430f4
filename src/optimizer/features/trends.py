"""Differences and exponential means: which way a metric is going."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from scipy.signal import lfilter

from optimizer.columns import METRICS
from optimizer.features.base import Array, Block, Compute, Feature, FeatureGroup, Layout, shift


@dataclass(frozen=True)
class Trends(FeatureGroup):
    """Differences over one step and over durations; exponentially weighted means.

    The exponential mean has the weights of ``pandas.ewm(halflife=…, adjust=True,
    ignore_na=False)``. Information at time t: for a difference the steps t and t - duration;
    for a mean all steps up to t (after ten half-lives a sample weighs below 0.1 %).

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

    def __post_init__(self) -> None:
        """Check the settings."""
        for argument in ("differences", "halflives"):
            chosen: dict[str, list[str]] = getattr(self, argument)
            self.check_metrics(argument, chosen)
            for metric, durations in chosen.items():
                for duration in durations:
                    self.check_durations(f"{argument}.{metric}", duration)

    def features(self, layout: Layout) -> list[Feature]:
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
                lookback = layout.span(10 * steps)
                spec = self.spec(f"{metric}_ewm_{halflife}", unit, lookback, (metric,))
                found.append(Feature(spec, self._mean(metric, steps)))
                spec = self.spec(f"{metric}_minus_ewm_{halflife}", unit, lookback, (metric,))
                found.append(Feature(spec, self._distance(metric, steps)))
        return found

    def _difference(self, metric: str, steps: int) -> Compute:
        return lambda block: block.metric(metric) - shift(block.metric(metric), steps)

    def _mean(self, metric: str, steps: int) -> Compute:
        return lambda block: exponential_mean(block, metric, steps)

    def _distance(self, metric: str, steps: int) -> Compute:
        return lambda block: block.metric(metric) - exponential_mean(block, metric, steps)


def exponential_mean(block: Block, metric: str, halflife: int) -> Array:
    """Return the exponentially weighted mean, float64; a gap repeats the last mean.

    Parameters
    ----------
    block : Block
        The services.
    metric : str
        The metric.
    halflife : int
        Steps after which a sample weighs half.
    """
    decay = 0.5 ** (1.0 / halflife)
    tiny = 1e-30  # keeps a long idle stretch out of the processor's slow subnormal numbers

    def smooth(values: Array) -> Array:
        result: Array = lfilter([1.0], [1.0, -decay], values, axis=1)
        return result

    def weight() -> Array:
        return smooth((~np.isnan(block.metric(metric))) + tiny)

    def compute() -> Array:
        filled = block.remember(
            ("filled", metric), lambda: np.nan_to_num(block.wide(metric)) + tiny
        )
        total = smooth(filled)
        return total / block.remember(("weight", metric, halflife), weight)

    return block.remember(("ewm", metric, halflife), compute)
