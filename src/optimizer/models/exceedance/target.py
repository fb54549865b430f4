"""The surface as a target: how often usage will exceed any level within the coming interval."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import format_duration, parse_duration
from optimizer.core.errors import ConfigError, InsufficientHistoryError
from optimizer.core.panel import Panel
from optimizer.core.validation import require_choice, require_count
from optimizer.demand.cutoffs import aligned_cutoffs
from optimizer.demand.from_panel import metrics_of
from optimizer.demand.usage import CPU, MEMORY
from optimizer.models.exceedance.recalibration import Recalibration
from optimizer.models.exceedance.rolling import RollingSurface
from optimizer.models.exceedance.surface import LEAST_ROWS, ExceedanceSurface
from optimizer.targets.splits import RollingOrigin


@dataclass(frozen=True)
class Exceedance:
    """P(a step of the coming interval uses more than a level), for every service and any level.

    Learned from usage itself, not from rows of the feature store. An interval is learned from if
    it ended before the validation part of the split began; the validation part ranks the jobs of
    a grid and gives the recalibration its first outcomes.

    Parameters
    ----------
    resource : str
        ``cpu`` or ``memory``.
    interval : str
        How long a request will hold.
    per_interval : int
        Intervals to learn from begin so many times per interval.
    least_history : str
        How much past a service must have for a forecast, and an interval to be learned from.
    calibration : str
        Period before a forecast whose outcomes recalibrate it.
    levels : int
        Candidate levels per service, besides its references; at least 4.
    surface : dict
        Arguments of :class:`~optimizer.models.exceedance.surface.ExceedanceSurface`.
    recalibration : dict, optional
        Arguments of :class:`~optimizer.models.exceedance.recalibration.Recalibration`; None
        leaves the model's own word.

    Raises
    ------
    ConfigError
        A setting is unknown or out of its range.
    """

    resource: str = CPU
    interval: str = "6h"
    per_interval: int = 2
    least_history: str = "1d"
    calibration: str = "7d"
    levels: int = 44
    surface: dict[str, Any] = field(default_factory=dict)
    recalibration: dict[str, Any] | None = field(default_factory=dict)

    kind: ClassVar[Literal["exceedance"]] = "exceedance"

    def __post_init__(self) -> None:
        """Check the settings."""
        require_choice("target.resource", self.resource, (CPU, MEMORY))
        for name in ("interval", "least_history", "calibration"):
            parse_duration(getattr(self, name), f"target.{name}")
        require_count("target.per_interval", self.per_interval, 1, fix=2)
        require_count("target.levels", self.levels, 4, fix=44)
        _check_part(ExceedanceSurface, self.surface, "surface", "surface")
        if self.recalibration is not None:
            _check_part(Recalibration, self.recalibration, "recalibration", "policy.recalibration")

    @property
    def metric(self) -> str:
        """The metric that the target is about: the resource's utilisation."""
        return metrics_of(self.resource)[0]

    @property
    def gap(self) -> pd.Timedelta:
        """One interval: what begins in one part of the split ends before the next."""
        return parse_duration(self.interval, "target.interval")

    def cutoffs(self, panel: Panel) -> NDArray[np.int64]:
        """Return all moments to forecast at: whole multiples of the interval since 1970."""
        return aligned_cutoffs(panel, self.interval, least_history=format_duration(panel.step))

    def rolling(self, seed: int = 0, threads: int = 1) -> RollingSurface:
        """Return the settings in the form that replays use too."""
        shares = dict(self.recalibration or {})
        if "shares" in shares:
            shares["shares"] = tuple(shares["shares"])
        return RollingSurface(
            least_history=self.least_history,
            interval=self.interval,
            calibration=self.calibration,
            per_interval=self.per_interval,
            levels=self.levels,
            seed=seed,
            threads=threads,
            surface=dict(self.surface),
            recalibration=None if self.recalibration is None else Recalibration(**shares),
        )


def days_to_learn(settings: RollingSurface, n_services: int) -> float:
    """Return how many days a fit needs at least: a past, and intervals for 400 rows after it."""
    interval = parse_duration(settings.interval, "target.interval")
    per_lesson = n_services * ExceedanceSurface(**settings.surface).levels_per_row
    more = -(-LEAST_ROWS // max(per_lesson, 1)) - 1
    least = parse_duration(settings.least_history, "target.least_history")
    length = least + interval + more * interval / settings.per_interval
    return float(length / pd.Timedelta("1d"))


def check_length(panel: Panel, target: Exceedance, split: RollingOrigin) -> None:
    """Raise unless every part of the split has room for what the surface needs.

    Parameters
    ----------
    panel : Panel
        Steps at which any service was observed count as time, as in the split.
    target : Exceedance
        Gives interval and least history.
    split : RollingOrigin
        Gives the shares of the parts.

    Raises
    ------
    InsufficientHistoryError
        It names the days that it would take.
    """
    day, interval = pd.Timedelta("1d"), target.gap
    gap = split.gap_of(interval)
    learn = days_to_learn(target.rolling(), panel.n_services) * day
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
            fix="give more history, or set a shorter target.interval or target.least_history",
        )


def _check_part(cls: type, given: dict[str, Any], name: str, own: str) -> None:
    """Raise under the target's own key if a part of it is unknown or out of its range."""
    known = list(inspect.signature(cls).parameters)
    unknown = [key for key in given if key not in known]
    if unknown:
        raise ConfigError(
            f"target.{name}.{unknown[0]}",
            seen="an unknown key",
            allowed=", ".join(f"target.{name}.{key}" for key in known),
            fix="correct its name, or remove it",
        )
    try:
        cls(**given)
    except ConfigError as error:
        offender, fix = (
            text.replace(f"{own}.", f"target.{name}.") for text in (error.offender, error.fix)
        )
        raise ConfigError(offender, seen=error.seen, allowed=error.allowed, fix=fix) from None
