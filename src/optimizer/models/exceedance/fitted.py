"""The exceedance surface fitted once: what is registered, loaded and asked for recommendations."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import count_steps, format_duration, parse_duration
from optimizer.core.errors import InsufficientHistoryError, SchemaError
from optimizer.core.panel import FloatArray, build_panel
from optimizer.core.schema import SERVICE, TIMESTAMP, TIMESTAMP_DTYPE, check_frame
from optimizer.demand.bounds import RequestBounds
from optimizer.demand.from_panel import metrics_of, usage_of
from optimizer.demand.usage import Usage
from optimizer.models.exceedance.features import SurfaceTable, describe
from optimizer.models.exceedance.forecast import Forecast
from optimizer.models.exceedance.rolling import RollingSurface, multiply
from optimizer.models.exceedance.rows import LevelRows, level_rows
from optimizer.models.exceedance.surface import ExceedanceSurface


@dataclass(frozen=True)
class IntervalDataset:
    """Intervals with levels, what came above them, and what was known before."""

    usage: Usage
    interval: int
    table: SurfaceTable
    rows: LevelRows

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Whether past and outcome are known, shape ``(n_cutoffs, n_services, n_levels)``."""
        return np.isfinite(self.rows.outcome) & self.table.known[:, :, None]

    def describe(self) -> dict[str, str | int]:
        """Return how many levels are scored, of how many intervals, and when these begin."""
        at = moments(self.usage, self.table.cutoffs)
        counts = {"n_rows": int(self.scored.sum()), "n_intervals": len(at)}
        return counts | {"first": str(at[0]), "last": str(at[-1])}


@dataclass(frozen=True)
class SurfacePrediction:
    """What a trained surface says at some cutoffs, before and after its recalibration.

    ``factors``: float32, shape ``(n_cutoffs, n_services, 1)``: multiply the exceedance of any
    level.
    """

    table: SurfaceTable
    raw: Forecast
    factors: FloatArray

    @property
    def forecast(self) -> Forecast:
        """The recalibrated surface."""
        return replace(self.raw, exceedance=multiply(self.raw.exceedance, self.factors))


@dataclass(frozen=True)
class TrainedSurface:
    """A fitted surface with all it needs to forecast; stands in for a ``RollingSurface``.

    ``settings``: interval, candidate levels, calibration period and recalibration; its ``refit``
    does not matter here. ``resource``: ``"cpu"`` or ``"memory"``. ``step``: the clock that it was
    trained on. ``fitted_until``: the newest moment whose data the fit may have seen.

    Notes
    -----
    Outcomes that the fit has seen look better than they are. The recalibration, and a policy
    that learns from the calibration period, are therefore given only intervals that begin at
    ``fitted_until`` or later; where there is none the forecast is the model's own word.
    """

    model: ExceedanceSurface
    settings: RollingSurface
    resource: str
    step: pd.Timedelta
    fitted_until: np.datetime64

    @property
    def metrics(self) -> tuple[str, str]:
        """Metrics that it reads: utilisation, and capacity where the telemetry has it."""
        return metrics_of(self.resource)

    @property
    def interval(self) -> pd.Timedelta:
        """How long a request holds."""
        return parse_duration(self.settings.interval, "interval")

    def forecast(self, usage: Usage, cutoffs: NDArray[np.int64]) -> Forecast:
        """Return the surface of the interval after each cutoff, as ``RollingSurface`` does.

        Calibration cutoffs first: those at or after ``fitted_until`` within the calibration period.
        ``usage``: usage of the resource and on the clock that it was trained on. A cutoff uses what
        lies before it; at one before ``fitted_until`` the model knows what comes. ``cutoffs``:
        int64, ascending, at least 1, at most an interval apart. Raises SchemaError: another
        resource or clock, or requests that would outlive the forecast.
        """
        return self.answer(usage, cutoffs).forecast

    def answer(self, usage: Usage, cutoffs: NDArray[np.int64]) -> SurfacePrediction:
        """Return :meth:`forecast` in parts, so that levels of one's own can be asked for."""
        interval = self._check(usage, cutoffs)
        before = self.settings.calibration_cutoffs(usage, int(cutoffs[0]), interval)
        before = before[moments(usage, before) >= self.fitted_until]
        asked = np.concatenate([before, cutoffs])
        table = describe(usage, asked, interval, calendar=self.settings.calendar)
        levels = self.settings.candidates(usage, table)
        exceedance = self.model.exceedance(usage, table, levels)
        exceedance[self.settings.young(usage, asked)] = np.nan
        since = int(np.sum(moments(usage, asked) < self.fitted_until))
        peaks = self.settings.outcome == "peak"
        raw = Forecast(asked, len(before), interval, levels, exceedance, since, peaks)
        return SurfacePrediction(table, raw, self.settings.factors(usage, raw, since))

    def _check(self, usage: Usage, cutoffs: NDArray[np.int64]) -> int:
        """Return the steps of an interval, or refuse usage that it was not trained on."""
        if usage.resource != self.resource or usage.step != self.step:
            raise SchemaError(
                "surface",
                seen=f"{usage.resource} in steps of {format_duration(usage.step)}",
                allowed=f"{self.resource} in steps of {format_duration(self.step)}",
                fix=f"give it such usage, or train with target.resource={usage.resource} on "
                f"telemetry in steps of {format_duration(usage.step)}",
            )
        interval = count_steps(self.interval, usage.step)
        held = self.settings.held(usage, cutoffs)
        if held > interval:
            raise SchemaError(
                "surface",
                seen=f"cutoffs {format_duration(held * usage.step)} apart",
                allowed=f"at most {self.settings.interval}: its forecast reaches no further",
                fix=f"ask every {self.settings.interval}, or train with "
                f"interval={format_duration(held * usage.step)}",
            )
        return interval

    def predict_telemetry(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the surface of the interval that begins with the newest row of a frame.

        ``service_id``, ``event_timestamp`` (the newest moment), ``resource``, ``level`` and
        ``exceedance``: one row per candidate level, ascending; services with too little history are
        left out. ``frame``: canonical long frame: 14 days of history, and the calibration period on
        top for the recalibration. Without a capacity usage and levels are shares of it. Raises
        SchemaError: the frame is not canonical, or of another clock.
        """
        if TIMESTAMP in frame:
            frame = frame.assign(**{TIMESTAMP: frame[TIMESTAMP].astype(TIMESTAMP_DTYPE)})
        frame = check_frame(frame, "telemetry")
        several = bool(frame[SERVICE].duplicated().any())  # else there is no distance to measure
        usage = usage_of(build_panel(frame, None if several else self.step), self.resource)
        found = self.forecast(usage, np.array([usage.n_steps], dtype=np.int64))
        return frame_surface(usage, found)


def frame_surface(usage: Usage, found: Forecast) -> pd.DataFrame:
    """Return a forecast as rows, without its calibration period; see ``predict_telemetry``."""
    levels, exceedance = found.levels[found.start :], found.exceedance[found.start :]
    repeated = np.diff(levels, axis=2, prepend=-1.0) == 0  # one reference is often another
    cutoff, service, level = np.nonzero(np.isfinite(exceedance) & ~repeated)
    at = moments(usage, found.cutoffs[found.start :])
    return pd.DataFrame(
        {
            SERVICE: np.asarray(usage.services, dtype=object)[service],
            TIMESTAMP: pd.DatetimeIndex(at[cutoff], tz="UTC"),
            "resource": usage.resource,
            "level": levels[cutoff, service, level],
            "exceedance": exceedance[cutoff, service, level],
        }
    )


def moments(usage: Usage, cutoffs: NDArray[np.int64]) -> NDArray[np.datetime64]:
    """Return the moment of each cutoff: the END of the last step that is known."""
    step = np.timedelta64(usage.step // pd.Timedelta(1, "us"), "us")
    found: NDArray[np.datetime64] = usage.timestamps[0] + (cutoffs - 1) * step
    return found


def build_intervals(usage: Usage, settings: RollingSurface, stop: int) -> IntervalDataset:
    """Return intervals to learn from that ended by a step, and levels drawn for them.

    ``usage``: ``usage.values[:, :stop]`` is read and nothing later. ``settings``: interval, how
    many begin per interval, how much past each needs, and the seed. ``stop``: the first step that
    is not known. Raises InsufficientHistoryError: no interval fits.
    """
    interval = count_steps(parse_duration(settings.interval, "interval"), usage.step)
    begins = settings.training_intervals(usage, np.array([stop], dtype=np.int64), interval)
    if len(begins) == 0:
        raise InsufficientHistoryError(
            "telemetry",
            seen=f"{format_duration(stop * usage.step)} to learn from",
            allowed=f"more than {settings.least_history} and then {settings.interval}",
            fix=f"give more history, or set a shorter surface.{usage.resource}.least_history",
        )
    table = describe(usage, begins, interval, calendar=settings.calendar)
    rows = settings.unfitted().rows(usage, table, interval, settings.seed)
    return IntervalDataset(usage, interval, table, rows)


def reference_cases(
    usage: Usage, table: SurfaceTable, interval: int, bounds: RequestBounds, outcome: str = "steps"
) -> IntervalDataset:
    """Return every service's reference levels, just above each, and what came above them.

    No model has a say in where it is scored: the levels come from the past alone.
    """
    low, cap = bounds.range(usage, table.cutoffs)
    levels = np.clip(table.references * np.float32(1.001), low, cap[..., None])
    levels = np.sort(np.where(np.isnan(levels), cap[..., None], levels), axis=2)
    return IntervalDataset(
        usage, interval, table, level_rows(usage, table, interval, levels, outcome)
    )


def fit_surface(training_intervals: IntervalDataset, settings: RollingSurface) -> TrainedSurface:
    """Learn from intervals that have ended.

    ``training_intervals``: from :func:`build_intervals`. ``settings``: the same. Raises
    InsufficientHistoryError: fewer than 400 of their levels have an outcome.
    """
    usage = training_intervals.usage
    model = settings.unfitted().fit(
        training_intervals.table, training_intervals.rows, settings.runtime
    )
    ended = training_intervals.table.cutoffs[-1:] + training_intervals.interval
    return TrainedSurface(model, settings, usage.resource, usage.step, moments(usage, ended)[0])
