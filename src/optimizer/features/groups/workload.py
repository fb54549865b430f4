"""The workload now: the metrics as they are at step t."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from optimizer.core.schema import LABELS, METRICS
from optimizer.features.base import Array, Block, Feature, FeatureGroup, Layout, Planned


@dataclass(frozen=True)
class Workload(FeatureGroup):
    """Present value of every metric that is no label; NaN in a gap.

    Information at time t: the step that ends at t.
    """

    name: ClassVar[str] = "workload"
    view: ClassVar[str] = "workload_features"

    def features(self, layout: Layout) -> Planned:
        """Return one feature per metric."""
        return [
            Feature(self.spec(name, METRICS[name].unit, "0h", (name,)), partial(_now, name))
            for name in layout.metrics
            if name not in LABELS
        ]


def _now(metric: str, block: Block) -> Array:
    return block.metric(metric)
