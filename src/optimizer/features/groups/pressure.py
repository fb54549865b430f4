"""How often and how lately a metric came close to its ceiling."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from optimizer.core.schema import CPU
from optimizer.features.base import Compute, Feature, FeatureGroup, Layout, Planned


@dataclass(frozen=True)
class Pressure(FeatureGroup):
    """Share of a window spent at or above a level, and time since it was last there.

    Information at time t: the steps in ``(t - window, t]``; the age looks back as far as the
    longest window and stays at its length beyond.

    Parameters
    ----------
    metric : str
        The metric watched.
    levels : list of float
        Fractions of capacity.
    windows : list of str
        Durations.
    """

    metric: str = CPU
    levels: list[float] = field(default_factory=lambda: [0.5, 0.65, 0.8])
    windows: list[str] = field(default_factory=lambda: ["24h", "7d"])
    name: ClassVar[str] = "pressure"
    view: ClassVar[str] = "pressure_features"

    def __post_init__(self) -> None:
        """Check the settings."""
        self.check_metrics("metric", [self.metric])
        self.check_durations("windows", *self.windows)

    def features(self, layout: Layout) -> Planned:
        """Return the shares per level and window, and the age per level."""
        if not layout.available([self.metric]):
            return []
        longest = max(self.windows, key=layout.steps)
        found = []
        for level in self.levels:
            tag = f"{self.metric}_above_{round(level * 100)}"
            for window in self.windows:
                spec = self.spec(f"{tag}_share_{window}", "fraction", window, (self.metric,))
                found.append(Feature(spec, self._share(level, layout.steps(window))))
            spec = self.spec(
                f"{tag}_age", "fraction of the longest window", longest, (self.metric,)
            )
            found.append(Feature(spec, self._age(level, layout.steps(longest))))
        return found

    def _share(self, level: float, steps: int) -> Compute:
        return lambda block: block.share_above(self.metric, level, steps)

    def _age(self, level: float, steps: int) -> Compute:
        return lambda block: block.age_above(self.metric, level, steps) / np.float32(steps)
