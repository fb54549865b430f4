"""The forecast target: the utilisation at each horizon."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from optimizer.core.durations import parse_duration
from optimizer.core.errors import ConfigError
from optimizer.core.panel import Panel
from optimizer.core.schema import CPU
from optimizer.targets.base import Labels
from optimizer.targets.horizons import check_metric, resolve_horizon
from optimizer.targets.task import ForecastTask


@dataclass(frozen=True)
class Utilization:
    """Quantile forecast of the metric at ``t + horizon``, for one or several horizons.

    A row is eligible when the metric is observed now and at one horizon at least.

    Parameters
    ----------
    horizon : str or list of str
        Distances into the future, multiples of the telemetry's step.
    metric : str
        ``cpu_utilization`` or ``memory_utilization``.
    quantiles : list of float
        Levels in (0, 1), symmetric about 0.5, which is one of them.
    """

    horizon: str | list[str] = field(default_factory=lambda: ["1h", "24h"])
    metric: str = CPU
    quantiles: list[float] = field(
        default_factory=lambda: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    )

    kind: ClassVar[Literal["event", "forecast"]] = "forecast"

    def __post_init__(self) -> None:
        """Check the settings."""
        check_metric(self.metric)
        for horizon in self.horizons:
            parse_duration(horizon, "target.horizon")
        levels = np.asarray(self.quantiles, dtype=float)
        symmetric = len(levels) > 0 and np.allclose(np.sort(levels), np.sort(1 - levels))
        if not symmetric or len(levels) % 2 == 0 or levels.min() <= 0 or len(self.horizons) == 0:
            raise ConfigError(
                "target.quantiles",
                seen=self.quantiles,
                allowed="levels in (0, 1), symmetric about 0.5, 0.5 among them",
                fix="set target.quantiles=[0.1,0.5,0.9]",
            )

    @property
    def horizons(self) -> list[str]:
        """The horizons as a list."""
        return [self.horizon] if isinstance(self.horizon, str) else list(self.horizon)

    @property
    def gap(self) -> pd.Timedelta:
        """The longest horizon plus the slot there, which is at most as long as the shortest."""
        lengths = [parse_duration(text, "target.horizon") for text in self.horizons]
        return max(lengths) + min(lengths)

    def task(self, step: pd.Timedelta) -> ForecastTask:
        """Return the task on a clock of this step; horizons ascending."""
        resolved = sorted(resolve_horizon(text, step) for text in self.horizons)
        return ForecastTask(
            self.metric,
            tuple(value for value, _ in resolved),
            tuple(steps for _, steps in resolved),
            tuple(sorted(self.quantiles)),
        )

    def label(self, panel: Panel) -> Labels:
        """Return the metric at each horizon and which rows are eligible."""
        values = panel.metric(self.metric)
        steps = self.task(panel.step).horizon_steps
        y = np.full((*values.shape, len(steps)), np.nan, dtype=np.float32)
        for index, ahead in enumerate(steps):
            y[:, :-ahead, index] = values[:, ahead:]
        eligible = panel.present & ~np.isnan(values) & ~np.isnan(y).all(axis=2)
        return Labels(y, eligible, np.zeros(values.shape, dtype=bool), f"{self.metric} ahead")
