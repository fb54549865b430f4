"""Earlier values, by number of steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from optimizer.core.schema import CPU, METRICS
from optimizer.core.validation import require_count
from optimizer.features.base import Array, Block, Feature, FeatureGroup, Layout, Planned


@dataclass(frozen=True)
class Lags(FeatureGroup):
    """Values k steps ago; lags count steps, so that 5-minute data keeps its last minutes.

    Values of the same hour on earlier days are in the group ``seasonal``.
    Information at time t: the step ``t - k``.

    Parameters
    ----------
    cpu_lags : int
        Lags 1 to this of CPU.
    others : dict
        Metric name to its lags in steps.
    """

    cpu_lags: int = 24
    others: dict[str, list[int]] = field(default_factory=dict)
    name: ClassVar[str] = "lags"
    view: ClassVar[str] = "lag_features"

    def __post_init__(self) -> None:
        """Check the settings."""
        self.check_metrics("others", self.others)
        require_count("features.groups.lags.cpu_lags", self.cpu_lags, 0, fix=24)
        for metric, lags in self.others.items():
            for lag in lags:
                require_count(f"features.groups.lags.others.{metric}", lag, 1, fix=1)

    def features(self, layout: Layout) -> Planned:
        """Return one feature per metric and lag."""
        wanted = {CPU: list(range(1, self.cpu_lags + 1)), **self.others}
        return [
            Feature(
                self.spec(f"{metric}_lag_{k}", METRICS[metric].unit, layout.span(k), (metric,)),
                partial(_lag, metric, k),
            )
            for metric in layout.available(tuple(wanted))
            for k in wanted[metric]
        ]


def _lag(metric: str, steps: int, block: Block) -> Array:
    return block.earlier(metric, steps)
