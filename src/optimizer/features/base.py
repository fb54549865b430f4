"""What a feature group is: a list of named features, each a function of a block of services.

Policy for gaps, the same in every group: a raw value, lag or difference is NaN where one of its
samples is missing; a window statistic uses the samples that were observed and is NaN where fewer
than a quarter of them (at least two) were.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import count_steps, format_duration, parse_duration
from optimizer.core.errors import ConfigError
from optimizer.core.panel import FloatArray
from optimizer.core.schema import LABELS, METRICS
from optimizer.core.state import Stateful
from optimizer.features.table import ON_DEMAND_VIEW, FeatureSpec

Array = NDArray[Any]
T = TypeVar("T")
EPSILON = 1e-3
"""Smallest denominator of a ratio of fractions: idle services must not divide by noise."""


@dataclass(frozen=True)
class Layout:
    """What a group must know to name its features: no data. ``step``: length of one step."""

    metrics: tuple[str, ...]
    step: pd.Timedelta

    def available(self, wanted: list[str] | tuple[str, ...]) -> list[str]:
        """Return the wanted metrics that the telemetry has, in order."""
        return [name for name in wanted if name in self.metrics]

    def steps(self, duration: str) -> int:
        """Return a duration in steps, at least 1."""
        return count_steps(parse_duration(duration, "features"), self.step)

    def span(self, steps: int) -> str:
        """Return a number of steps as a duration, ``"0h"`` for none."""
        return format_duration(steps * self.step) if steps else "0h"


class Block(ABC):
    """A few services at some steps: the primitives that features are made of.

    What a feature is, is written once over these; a kind of block says how they are computed: over
    all steps of a panel, or for the newest step of a buffer. Every result has shape ``(n_services,
    n_steps)`` of the block or broadcasts to it; the value at step t reads steps up to t only.
    Results that several features need are computed once and must not be changed. ``shared``:
    results over the whole fleet, for example cluster aggregates, filled once per panel.
    """

    def __init__(self, shared: dict[Hashable, Any]) -> None:
        self.shared = shared
        self._memo: dict[Hashable, Any] = {}

    def remember(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return a result of this block, computed once."""
        if key not in self._memo:
            self._memo[key] = compute()
        result: T = self._memo[key]
        return result

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return a result over the whole fleet, computed once for all blocks."""
        if key not in self.shared:
            self.shared[key] = compute()
        result: T = self.shared[key]
        return result

    @property
    @abstractmethod
    def times(self) -> pd.DatetimeIndex:
        """UTC ends of the block's steps."""

    @abstractmethod
    def metric(self, name: str) -> FloatArray:
        """Return the metric, float32; NaN in a gap."""

    def wide(self, name: str) -> Array:
        """Return the metric in float64."""
        return self.remember(("wide", name), lambda: self.metric(name).astype(np.float64))

    @abstractmethod
    def earlier(self, name: str, steps: int) -> Array:
        """Return the metric ``steps`` earlier."""

    @abstractmethod
    def mean(self, name: str, steps: int) -> Array:
        """Return the mean of the window of ``steps`` that ends at each step, summed in float64."""

    @abstractmethod
    def std(self, name: str, steps: int) -> Array:
        """Return the sample standard deviation (n - 1) of the window."""

    @abstractmethod
    def min(self, name: str, steps: int) -> Array:
        """Return the minimum of the window."""

    @abstractmethod
    def max(self, name: str, steps: int) -> Array:
        """Return the maximum of the window."""

    @abstractmethod
    def median(self, name: str, steps: int) -> Array:
        """Return the median of the window."""

    @abstractmethod
    def share_above(self, name: str, level: float, steps: int) -> Array:
        """Return the share of the window's observed samples at or above the level."""

    @abstractmethod
    def age_above(self, name: str, level: float, steps: int) -> Array:
        """Return the steps since the metric was at or above the level, at most ``steps``."""

    @abstractmethod
    def exponential_mean(self, name: str, halflife: int, memory: int) -> Array:
        """Return the exponentially weighted mean; NaN if the last ``memory`` steps are gaps."""

    @abstractmethod
    def mean_of_days(self, name: str, lag: int, day: int, days: int) -> Array:
        """Return the mean ``lag <= day`` steps ago and then on the ``days - 1`` days before."""

    @abstractmethod
    def max_of_days(self, name: str, lag: int, day: int, days: int) -> Array:
        """Return the maximum ``lag <= day`` steps ago and then on the ``days - 1`` days before."""

    @abstractmethod
    def cluster(self, name: str, kind: str) -> Array:
        """Return the metric's ``count``, ``mean``, ``max``, ``std`` or ``above_80`` by cluster."""

    @abstractmethod
    def cluster_trend(self, name: str, trend: Callable[[Array], Array], reach: int) -> Array:
        """Return what the cluster's mean does over time.

        ``trend``: takes and returns shape ``(n_clusters, n_steps)``.
        """


Compute = Callable[[Block], Array]
"""Takes a block, returns shape ``(n_services, n_steps)`` or one that broadcasts to it."""


@dataclass(frozen=True)
class Feature:
    """One feature: what it is and how a block computes it.

    ``spec``: name, unit, lookback and sources. ``compute``: the value at step t may read steps up
    to t, never later ones.
    """

    spec: FeatureSpec
    compute: Compute


Derive = Callable[..., Array]
"""Takes one float32 array per input, all of one shape, and returns an array of that shape."""


@dataclass(frozen=True)
class Derived:
    """A feature of other features of the same row, which therefore need not be stored.

    Training, batch and online reads call the same function on the same float32 values. ``spec``:
    its ``inputs`` name the features it is derived from. ``derive``: one argument per input.
    """

    spec: FeatureSpec
    derive: Derive


Planned = Sequence[Feature | Derived]
"""What a group offers on a layout: stored and derived features, in order."""


class FeatureGroup(Stateful, ABC):
    """A set of features that belong together and can be chosen or left out together.

    ``view`` is the feature view of the store that keeps them, ``scope`` the entity it is keyed
    by: ``"service"``, or ``"cluster"`` where all services of a cluster share the values.
    """

    name: ClassVar[str]
    view: ClassVar[str]
    scope: ClassVar[str] = "service"

    @abstractmethod
    def features(self, layout: Layout) -> Planned:
        """Return the features that this telemetry allows; empty if its metrics are absent."""

    def spec(
        self, name: str, unit: str, lookback: str, source: tuple[str, ...], reach: str = ""
    ) -> FeatureSpec:
        """Return the spec of a stored feature, which carries this group's name and view."""
        home = (self.view, self.scope)
        return FeatureSpec(name, self.name, unit, lookback, source, *home, reach=reach)

    def derived(
        self,
        name: str,
        unit: str,
        lookback: str,
        source: tuple[str, ...],
        inputs: tuple[str, ...],
        derive: Derive,
    ) -> Derived:
        """Return a feature that is derived on demand from others, of whatever group."""
        spec = FeatureSpec(name, self.name, unit, lookback, source, ON_DEMAND_VIEW, inputs=inputs)
        return Derived(spec, derive)

    def check_metrics(self, argument: str, names: Iterable[str]) -> None:
        """Raise unless every name is a metric that features may be made of.

        Raises ConfigError: an unknown name, or a label: labels are truth, never a feature's source.
        """
        allowed = [name for name in METRICS if name not in LABELS]
        wrong = [str(name) for name in names if name not in allowed]
        if wrong:
            raise ConfigError(
                f"features.groups.{self.name}.{argument}",
                seen=", ".join(wrong),
                allowed=", ".join(allowed),
                fix="correct the name of the metric",
            )

    def check_durations(self, argument: str, *durations: str) -> None:
        """Raise unless there are durations, each positive.

        Raises ConfigError: no duration, or a text that is none.
        """
        key = f"features.groups.{self.name}.{argument}"
        for duration in durations or ("",):
            parse_duration(duration, key)


def shift(values: Array, steps: int) -> Array:
    """Return the values ``steps`` earlier, shape kept; NaN before the first step."""
    if steps == 0:
        return values
    out = np.empty_like(values)
    out[:, :steps] = np.nan
    out[:, steps:] = values[:, :-steps] if steps < values.shape[1] else np.nan
    return out


def divide(numerator: Array, denominator: Array, floor: float = EPSILON) -> Array:
    """Return the ratio, taken in float32, with the denominator held at ``floor`` or above."""
    lower = np.maximum(denominator.astype(np.float32, copy=False), np.float32(floor))
    return np.divide(numerator.astype(np.float32, copy=False), lower, out=lower)


RESOLVED = 30
"""Half-lives that its value is made of: after a gap of ten, the longest that it outlives, what is
left out weighs less than a millionth of the rest."""
