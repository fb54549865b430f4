"""Differences and exponential means: which way a metric is going."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from optimizer.columns import METRICS
from optimizer.features.base import (
    Array,
    Block,
    Compute,
    Feature,
    FeatureGroup,
    Layout,
    Planned,
    shift,
)
from optimizer.features.windows import window_count

FORGOTTEN = 10
"""Half-lives after which a sample weighs below 0.1 %: the lookback of an exponential mean."""
RESOLVED = 26
"""Half-lives after which a sample weighs less than float32 resolves."""


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
        return lambda block: block.metric(metric) - shift(block.metric(metric), steps)

    def _mean(self, metric: str, steps: int) -> Compute:
        return lambda block: exponential_mean(block, metric, steps)

    def _distance(self, metric: str, steps: int) -> Compute:
        return lambda block: block.metric(metric) - exponential_mean(block, metric, steps)


def exponential_mean(block: Block, metric: str, halflife: int) -> Array:
    """Return the exponentially weighted mean, float32; NaN after a gap of ten half-lives.

    Parameters
    ----------
    block : Block
        The services.
    metric : str
        The metric.
    halflife : int
        Steps after which a sample weighs half.
    """

    def compute() -> Array:
        total = decaying_sum(block.filled(metric), halflife)
        weight = decaying_sum(block.seen(metric), halflife)
        weight[window_count(block, metric, FORGOTTEN * halflife) == 0] = np.nan
        return total / weight

    return block.remember(("ewm", metric, halflife), compute)


def decaying_sum(values: Array, halflife: int) -> Array:
    """Return the sum of all samples so far, each halved for every half-life of its age.

    The sum over 2n steps is that over n steps plus its own value n steps ago, decayed by n
    steps: doubling n until a sample weighs less than float32 resolves takes a few vector
    passes, where the usual recursion goes sample by sample.

    Parameters
    ----------
    values : numpy.ndarray
        No NaN, shape ``(n_services, n_steps)``.
    halflife : int
        Steps after which a sample weighs half.
    """
    total = values.copy()
    steps = 1
    while steps < min(RESOLVED * halflife, values.shape[1]):
        weight = values.dtype.type(0.5 ** (steps / halflife))
        total[:, steps:] += total[:, :-steps] * weight
        steps *= 2
    return total
