"""The binary target: whether the service needs scaling within the horizon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from optimizer.core.durations import parse_duration
from optimizer.core.errors import ConfigError
from optimizer.core.panel import BoolArray, Panel
from optimizer.core.schema import CPU, SCALE_EVENT
from optimizer.core.validation import require_choice
from optimizer.targets.base import Labels
from optimizer.targets.horizons import check_metric, count_ahead, resolve_horizon
from optimizer.targets.task import EventTask

SOURCES = ("auto", "column", "rule")


@dataclass(frozen=True)
class ScaleEvent:
    """Binary target: an event in ``(t, t + horizon]``.

    By ``column`` the event is the telemetry's own ``scale_event``; by ``rule`` it is the metric
    at or above the ceiling. Rows that are at or above the ceiling now, or unobserved now, are
    not eligible: they need no forecast. A row with an event in its horizon is positive; a
    negative needs at least half of the coming steps observed, otherwise its label is unknown and
    the row is not eligible.

    Parameters
    ----------
    horizon : str
        How far to look ahead, a multiple of the telemetry's step.
    ceiling : float
        Fraction of capacity in (0, 2].
    metric : str
        ``cpu_utilization`` or ``memory_utilization``.
    source : str
        ``auto`` (the column where the telemetry has one, else the rule), ``column`` or ``rule``.
    """

    horizon: str = "1h"
    ceiling: float = 0.8
    metric: str = CPU
    source: str = "auto"

    kind: ClassVar[Literal["event", "forecast"]] = "event"

    def __post_init__(self) -> None:
        """Check the settings."""
        check_metric(self.metric)
        parse_duration(self.horizon, "target.horizon")
        if not 0 < self.ceiling <= 2:
            raise ConfigError(
                "target.ceiling",
                seen=self.ceiling,
                allowed="a fraction of capacity in (0, 2]",
                fix="set target.ceiling=0.8",
            )
        require_choice("target.source", self.source, SOURCES)

    @property
    def gap(self) -> pd.Timedelta:
        """Horizon plus look-ahead: the label reads the whole horizon after t."""
        return 2 * parse_duration(self.horizon, "target.horizon")

    def task(self, step: pd.Timedelta) -> EventTask:
        """Return the task on a clock of this step."""
        horizon, steps = resolve_horizon(self.horizon, step)
        return EventTask(self.metric, self.ceiling, horizon, steps)

    def label(self, panel: Panel) -> Labels:
        """Return 0 or 1 per row and which rows are eligible."""
        steps = self.task(panel.step).horizon_steps
        values = panel.metric(self.metric)
        above = values >= self.ceiling
        events, observed, rule = self._events(panel, above)
        positive = count_ahead(events, steps) > 0
        known = positive | (2 * count_ahead(observed, steps) >= steps)
        eligible = panel.present & ~np.isnan(values) & ~above & known
        y = np.where(known, positive, np.nan).astype(np.float32)
        starts = events.copy()
        starts[:, 1:] &= ~events[:, :-1]
        return Labels(y, eligible, starts, rule)

    def _events(self, panel: Panel, above: BoolArray) -> tuple[BoolArray, BoolArray, str]:
        """Return where an event is, where it could be seen, and how it was decided."""
        column = self.source == "column" or (self.source == "auto" and panel.has(SCALE_EVENT))
        if column:
            flags = panel.metric(SCALE_EVENT)
            return flags > 0.5, ~np.isnan(flags), f"column {SCALE_EVENT}"
        observed = ~np.isnan(panel.metric(self.metric))
        return above, observed, f"rule {self.metric} >= {self.ceiling:g}"
