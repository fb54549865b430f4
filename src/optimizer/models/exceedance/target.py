"""The surface as a target: how often usage will exceed any level within the coming interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import format_duration, parse_duration
from optimizer.core.errors import InsufficientHistoryError
from optimizer.core.panel import Panel
from optimizer.core.validation import require_choice
from optimizer.demand.cutoffs import aligned_cutoffs
from optimizer.demand.from_panel import metrics_of
from optimizer.demand.usage import CPU, MEMORY
from optimizer.models.exceedance.rolling import RollingSurface
from optimizer.models.exceedance.surface import LEAST_ROWS
from optimizer.targets.splits import RollingOrigin


@dataclass(frozen=True)
class Exceedance:
    """P(a step of the coming interval uses more than a level), for every service and any level.

    Learned from usage itself, not from rows of the feature store. An interval is learned from if it
    ended before the validation part of the split began; the validation part ranks the jobs of a
    grid and gives the recalibration its first outcomes. How it is learned stands in
    ``surface.<resource>``, which replays share. Raises ConfigError: a setting is out of its range.

    Parameters
    ----------
    resource : str
        ``cpu`` or ``memory``.
    interval : str
        How long a request will hold.
    """

    resource: str = CPU
    interval: str = "6h"

    kind: ClassVar[Literal["exceedance"]] = "exceedance"

    def __post_init__(self) -> None:
        """Check the settings."""
        require_choice("target.resource", self.resource, (CPU, MEMORY))
        parse_duration(self.interval, "interval")

    @property
    def metric(self) -> str:
        """The metric that the target is about: the resource's utilisation."""
        return metrics_of(self.resource)[0]

    @property
    def gap(self) -> pd.Timedelta:
        """One interval: what begins in one part of the split ends before the next."""
        return parse_duration(self.interval, "interval")

    def cutoffs(self, panel: Panel) -> NDArray[np.int64]:
        """Return all moments to forecast at: whole multiples of the interval since 1970."""
        return aligned_cutoffs(panel, self.interval, least_history=format_duration(panel.step))


def days_to_learn(settings: RollingSurface, n_services: int) -> float:
    """Return how many days a fit needs at least: a past, and intervals for 400 rows after it."""
    interval = parse_duration(settings.interval, "interval")
    per_lesson = n_services * settings.levels_per_row
    more = -(-LEAST_ROWS // max(per_lesson, 1)) - 1
    least = parse_duration(settings.least_history, "surface.least_history")
    length = least + interval + more * interval / settings.per_interval
    return float(length / pd.Timedelta("1d"))


def check_length(
    panel: Panel, target: Exceedance, settings: RollingSurface, split: RollingOrigin
) -> None:
    """Raise unless every part of the split has room for what the surface needs.

    ``panel``: steps at which any service was observed count as time, as in the split. ``settings``:
    gives the least history. ``split``: gives the shares of the parts. Raises
    InsufficientHistoryError: it names the days that it would take.
    """
    day, interval = pd.Timedelta("1d"), target.gap
    gap = split.gap_of(interval)
    learn = days_to_learn(settings, panel.n_services) * day
    # an interval more in each part: they begin at whole multiples of it
    needed = max(
        (learn + interval + gap) / split.train,
        (gap + 2 * interval) / split.valid,
        2 * interval / (split.test / split.folds),
    )
    length = int(panel.present.any(axis=0).sum()) * panel.step
    if length < needed:
        raise InsufficientHistoryError(
            "telemetry",
            seen=f"{length / day:.1f} days",
            allowed=f"at least {needed / day:.1f} days for {panel.n_services} services and this "
            "split",
            fix="give more history, or set a shorter interval or "
            f"surface.{target.resource}.least_history",
        )
