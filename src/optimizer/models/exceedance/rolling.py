"""The exceedance surface through a replay: refitted on a schedule, asked at every cutoff."""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.core.artifacts import digest
from optimizer.core.durations import count_steps, parse_duration
from optimizer.core.errors import InsufficientHistoryError
from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_count
from optimizer.demand.bounds import RequestBounds
from optimizer.demand.history import observed_before
from optimizer.demand.intervals import IntVector
from optimizer.demand.usage import Usage
from optimizer.models.base import ExceedanceModel, Runtime, available_cores
from optimizer.models.exceedance.features import SurfaceTable, describe
from optimizer.models.exceedance.forecast import Forecast
from optimizer.models.exceedance.lightgbm import ExceedanceLightGBM
from optimizer.models.exceedance.recalibration import Recalibration
from optimizer.models.exceedance.surface import ExceedanceSurface


@dataclass(frozen=True)
class RollingSurface:
    """The exceedance surface of one resource: what training, replay and simulation share.

    Raises ConfigError: a setting is out of its range; it is named ``surface.<setting>``.

    Parameters
    ----------
    model : ExceedanceModel
        Unfitted; every fit works on a copy.
    bounds : RequestBounds
        Least and largest level.
    interval : str
        How long a request holds, where only one cutoff is asked for.
    refit : str
        How long a model serves in a replay.
    least_history : str
        How much past a service must have for a forecast, and an interval to be learned from.
    calibration : str
        Period before the first cutoff that is forecast as well, by models that do not know it:
        its outcomes tell how honest the surface is.
    per_interval : int
        Intervals to learn from begin so many times per interval.
    levels : int
        Candidate levels per service, besides its references; at least 4.
    levels_per_row, max_rows, calendar, outcome
        See :class:`~optimizer.models.exceedance.surface.ExceedanceSurface`.
    recalibration : Recalibration, optional
        Corrects each service's forecast by its latest outcomes; None: the model's own word.
    seed : int
        Seeds the draws of levels and rows, and the model.
    threads : int, optional
        Threads of the model; None for as many as the process may use.
    """

    model: ExceedanceModel = field(default_factory=ExceedanceLightGBM)
    bounds: RequestBounds = field(default_factory=RequestBounds)
    interval: str = "6h"
    refit: str = "7d"
    least_history: str = "1d"
    calibration: str = "7d"
    per_interval: int = 2
    levels: int = 44
    levels_per_row: int = 4
    max_rows: int = 60_000
    calendar: bool = False
    outcome: str = "steps"
    recalibration: Recalibration | None = field(default_factory=Recalibration)
    seed: int = 7
    threads: int | None = None
    _latest: dict[str, Forecast] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Check the settings."""
        for name in ("refit", "least_history", "calibration"):
            parse_duration(getattr(self, name), f"surface.{name}")
        parse_duration(self.interval, "interval")
        require_count("surface.per_interval", self.per_interval, 1, fix=2)
        require_count("surface.levels", self.levels, 4, fix=44)
        self.unfitted()

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings alone: what has been forecast does not travel with them."""
        return self.__dict__ | {"_latest": {}}

    @property
    def runtime(self) -> Runtime:
        """Seed and threads of a fit."""
        return Runtime(self.seed, self.threads or available_cores())

    def unfitted(self) -> ExceedanceSurface:
        """Return a surface with a model of its own to fit."""
        return ExceedanceSurface(
            deepcopy(self.model),
            self.bounds,
            levels_per_row=self.levels_per_row,
            max_rows=self.max_rows,
            calendar=self.calendar,
            outcome=self.outcome,
        )

    def held(self, usage: Usage, cutoffs: IntVector) -> int:
        """Return how many steps a request holds: the usual distance of the cutoffs."""
        if len(cutoffs) > 1:
            return int(np.median(np.diff(cutoffs)))
        return count_steps(parse_duration(self.interval, "interval"), usage.step)

    def forecast(self, usage: Usage, cutoffs: IntVector) -> Forecast:
        """Return the surface of the interval after each cutoff.

        The newest forecast is kept, by the content of what was asked: sweeps over one usage share
        it. ``usage``: a cutoff uses what lies before it: features of its own past, and a model of
        intervals that ended no later than the refit that serves it. ``cutoffs``: int64, ascending.
        """
        key = digest(usage, cutoffs)
        forecast = self._latest.get(key)
        if forecast is None:
            forecast = self._forecast(usage, cutoffs)
            self._latest.clear()
            self._latest[key] = forecast
        return forecast

    def _forecast(self, usage: Usage, cutoffs: IntVector) -> Forecast:
        interval = self.held(usage, cutoffs)
        before = self.calibration_cutoffs(usage, int(cutoffs[0]), interval)
        asked = np.concatenate([before, cutoffs])
        training_intervals = self.training_intervals(usage, asked, interval)
        surface = self.unfitted()
        table = describe(
            usage, np.union1d(training_intervals, asked), interval, calendar=self.calendar
        )
        levels = self.candidates(usage, table.part(asked))
        exceedance = np.full(levels.shape, np.nan, dtype=np.float32)
        if len(training_intervals):
            training_table = table.part(training_intervals)
            rows = surface.rows(usage, training_table, interval, self.seed)
            for first, last in self._periods(usage, asked, int(cutoffs[0])):
                some, known = slice(first, last), training_intervals + interval <= asked[first]
                with suppress(InsufficientHistoryError):  # then nothing is known yet
                    past = training_table.part(training_intervals[known]), rows.part(known)
                    surface.fit(*past, self.runtime)
                    coming = table.part(asked[some])
                    exceedance[some] = surface.exceedance(usage, coming, levels[some])
        exceedance[self.young(usage, asked)] = np.nan
        peaks = self.outcome == "peak"
        raw = Forecast(asked, len(before), interval, levels, exceedance, peaks=peaks)
        return replace(raw, exceedance=multiply(exceedance, self.factors(usage, raw)))

    def candidates(self, usage: Usage, table: SurfaceTable) -> FloatArray:
        """Return the levels that a table's cutoffs are asked at: :func:`candidate_levels`."""
        bounds = self.bounds.range(usage, table.cutoffs)
        return candidate_levels(table.references, bounds, self.levels)

    def factors(self, usage: Usage, raw: Forecast, since: int = 0) -> FloatArray:
        """Return what the recalibration multiplies the model's own word with.

        float32, shape ``(n_cutoffs, n_services, 1)``; 1 without a recalibration. ``usage``: a
        cutoff uses outcomes of intervals that ended by then. ``since``: number of oldest cutoffs
        that are left alone, and teach nothing.
        """
        out = np.ones((*raw.levels.shape[:2], 1), dtype=np.float32)
        if self.recalibration and since < len(raw.cutoffs):
            out[since:] = self.recalibration.factors(
                usage, raw.cutoffs[since:], raw.interval, raw.levels[since:], raw.exceedance[since:]
            )
        return out

    def calibration_cutoffs(self, usage: Usage, first: int, interval: int) -> NDArray[np.int64]:
        """Return the cutoffs of the calibration period, as far as there is history for it."""
        period = count_steps(parse_duration(self.calibration, "surface.calibration"), usage.step)
        number = min(period, max(0, first - self.least(usage) - interval)) // interval
        return first - interval * np.arange(number, 0, -1, dtype=np.int64)

    def least(self, usage: Usage) -> int:
        """Return how many steps of past a service must have."""
        least = parse_duration(self.least_history, "surface.least_history")
        return count_steps(least, usage.step)

    def young(self, usage: Usage, cutoffs: IntVector) -> NDArray[np.bool_]:
        """Return who has too little past for a forecast, shape ``(n_cutoffs, n_services)``."""
        return observed_before(usage.values, cutoffs) < self.least(usage)

    def training_intervals(
        self, usage: Usage, cutoffs: IntVector, interval: int
    ) -> NDArray[np.int64]:
        """Return where the intervals to learn from begin: a lattice through the first cutoff.

        The last one ends no later than the last cutoff.
        """
        spacing = max(1, interval // self.per_interval)
        least, first = self.least(usage), int(cutoffs[0])
        start = first - (first - least) // spacing * spacing
        return np.arange(start, int(cutoffs[-1]) - interval + 1, spacing, dtype=np.int64)

    def _periods(self, usage: Usage, cutoffs: IntVector, first: int) -> list[tuple[int, int]]:
        """Return the ranges of cutoffs that one model serves; one begins at ``first``."""
        served = count_steps(parse_duration(self.refit, "surface.refit"), usage.step)
        number = (cutoffs - first) // served
        starts = np.flatnonzero(np.diff(number, prepend=number[0] - 1)).tolist()
        return list(zip(starts, [*starts[1:], len(cutoffs)], strict=True))


def multiply(exceedance: FloatArray, factors: FloatArray) -> FloatArray:
    """Return the exceedance with its odds multiplied; NaN stays NaN.

    A small exceedance is multiplied as its odds are; one near 1 stays below it.
    """
    odds = exceedance * factors
    return np.asarray(odds / (1.0 - exceedance + odds), dtype=np.float32)


def candidate_levels(
    references: FloatArray, bounds: tuple[float, FloatArray], number: int
) -> FloatArray:
    """Return levels to choose from: just above each reference, and a grid from floor to cap.

    Three quarters of the grid are geometric between what a service usually needs and a bit more
    than it ever had, the rest reaches from there to the cap. float32, ascending along the last
    axis, shape ``(n_cutoffs, n_services, n_references + number)``; the first is the floor and the
    last the cap. ``references``: shape ``(n_cutoffs, n_services, n_references)``; NaN where
    unknown.
    """
    floor, cap = bounds
    references = np.where(np.isnan(references), cap[..., None], references)
    low = np.clip(0.7 * np.min(references, axis=2), floor, cap)
    high = np.clip(1.3 * np.max(references, axis=2), floor, cap)
    tail = number // 4
    grid = [
        np.geomspace(low, high, number - tail - 1, axis=2),
        np.geomspace(high, cap, tail + 1, axis=2)[..., 1:],
        np.full((*cap.shape, 1), floor),
        references * 1.001,
    ]
    levels = np.clip(np.concatenate(grid, axis=2), floor, cap[..., None])
    return np.sort(levels.astype(np.float32), axis=2)
