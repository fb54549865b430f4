"""Windows of the panel for the recurrent models: strided views, gathered one batch at a time.

An array of all windows would repeat every value once per step of the window (a 30 GB copy for 2.7
million rows of 72 steps); a view on one time-major array costs nothing until a batch of it is read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import format_duration
from optimizer.core.errors import ConfigError
from optimizer.core.panel import FloatArray, Panel
from optimizer.core.schema import LABELS
from optimizer.targets.dataset import Dataset

HEAVY_TAILED = (
    "network_in_mbps",
    "network_out_mbps",
    "disk_read_mbps",
    "disk_write_mbps",
    "request_rate",
    "latency_ms",
)
"""Metrics that span orders of magnitude between services: they enter as log1p."""
STATIC = ("cpu_capacity_cores", "memory_capacity_gib", "cost_usd")
"""Sizes and prices: nearly constant per service, so they would act as an identifier of it."""
N_CALENDAR = 4


@dataclass(frozen=True)
class Channels:
    """What each step of a window holds and how it is scaled.

    Statistics are those of the training fold and one per metric, not one per service: a service
    never seen in training is scaled like any other, and an absolute level (a ceiling of 0.8)
    keeps its meaning.

    - ``step``: length of a step.
    - ``metrics``: metrics that are channels; the first is the task's own.
    - ``logged``: those that enter as ``log1p``.
    - ``mean``, ``std``: float64, shape ``(n_metrics,)``: of the values after ``log1p``.
    - ``calendar``: four more channels: sine and cosine of the hour of the day and of the day of the
      week.
    """

    length: int
    step: pd.Timedelta
    metrics: tuple[str, ...]
    logged: tuple[str, ...]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    calendar: bool

    @property
    def n_channels(self) -> int:
        """Metrics, the share of them missing, and the calendar."""
        return len(self.metrics) + 1 + N_CALENDAR * self.calendar

    def scale(self, values: FloatArray, position: int) -> FloatArray:
        """Return a metric in training standard deviations from the training mean."""
        raw = np.log1p(values) if self.metrics[position] in self.logged else values
        return (raw - np.float32(self.mean[position])) / np.float32(self.std[position])


def fit_channels(train: Dataset, metric: str, length: int, *, calendar: bool) -> Channels:
    """Choose the channels and measure their scale on the training fold.

    - ``train``: rows of the training fold. Statistics are taken over its services and all steps up
      to its last row, rows above the ceiling included; later steps are not read.
    - ``metric``: the task's metric: the first channel, never ``log1p``, so that its level stays
      linear.
    - ``length``: steps of a window, at least 1.
    - ``calendar``: whether the clock of the telemetry means anything.
    """
    panel = train.panel
    panel.metric(metric)
    others = (name for name in panel.metrics if name not in (metric, *LABELS, *STATIC))
    metrics = (metric, *others)
    logged = tuple(name for name in metrics[1:] if name in HEAVY_TAILED)
    services, stop = np.unique(train.service), int(train.step.max()) + 1
    moments = [_moments(panel.metric(n)[services, :stop], log=n in logged) for n in metrics]
    mean, std = np.array(moments, dtype=np.float64).T
    return Channels(length, panel.step, metrics, logged, mean, std, calendar)


def _moments(values: FloatArray, *, log: bool) -> tuple[float, float]:
    """Return mean and standard deviation of the observed values; 1 where nothing varies."""
    seen = values[~np.isnan(values)].astype(np.float64)
    if len(seen) == 0:
        return 0.0, 1.0
    seen = np.log1p(seen) if log else seen
    std = float(seen.std())
    return float(seen.mean()), std if std > 1e-6 else 1.0


class Windows:
    """All windows of a panel, as one view ``(n_services, n_steps, length, n_channels)``.

    ``panel``: telemetry with the step and the metrics that the channels were fitted on.
    ``channels``: what to put into each step. Raises ConfigError: the panel has another step or
    lacks a metric.
    """

    def __init__(self, panel: Panel, channels: Channels) -> None:
        if panel.step != channels.step:
            raise ConfigError(
                "data.freq",
                seen=format_duration(panel.step),
                allowed=f"{format_duration(channels.step)}, the step the model was trained on",
                fix=f"set data.freq={format_duration(channels.step)} or train again",
            )
        self.channels = channels
        padded = _padded(panel, channels)
        view = np.lib.stride_tricks.sliding_window_view(padded, channels.length, axis=1)
        self._view = np.moveaxis(view, -1, 2)

    def batch(self, service: NDArray[np.integer], step: NDArray[np.integer]) -> FloatArray:
        """Return the windows that end at each ``(service, step)``, the step itself included.

        A gap holds the last value before it within the window; before the first value of the window
        it is 0, the training mean. Nothing outside the window is read. float32, shape ``(n, length,
        n_channels)``, a copy without NaN. ``service``, ``step``: positions in the panel, shape
        ``(n,)``.
        """
        out: FloatArray = self._view[service, step]
        values = out[..., : len(self.channels.metrics)]
        np.copyto(values[:, 0], 0.0, where=np.isnan(values[:, 0]))
        # One pass per step of the window over the whole batch: 3.6 times faster than
        # maximum.accumulate over indices followed by take_along_axis.
        for position in range(1, values.shape[1]):
            now = values[:, position]
            np.copyto(now, values[:, position - 1], where=np.isnan(now))
        return out


def _padded(panel: Panel, channels: Channels) -> FloatArray:
    """Return the channels time-major, with a window less one step of gaps before the start."""
    pad, n_metrics = channels.length - 1, len(channels.metrics)
    shape = (panel.n_services, panel.n_steps + pad, channels.n_channels)
    out = np.full(shape, np.nan, dtype=np.float32)
    missing = np.zeros((panel.n_services, panel.n_steps), dtype=np.float32)
    for position, name in enumerate(channels.metrics):
        values = panel.metric(name)
        missing += np.isnan(values)
        out[:, pad:, position] = channels.scale(values, position)
    out[:, :pad, n_metrics] = 1.0
    out[:, pad:, n_metrics] = missing / np.float32(n_metrics)
    if channels.calendar:
        first, size = panel.timestamps[0], np.timedelta64(panel.step.value // 1000, "us")
        clock = first + size * np.arange(-pad, panel.n_steps)
        out[:, :, n_metrics + 1 :] = _calendar(clock)
    return out


def _calendar(clock: NDArray[np.datetime64]) -> FloatArray:
    """Return sine and cosine of hour of day and day of week, shape ``(n, 4)``."""
    # A week counted from the epoch starts on a Thursday; the phase of a cycle is free.
    seconds = clock.astype("datetime64[s]").astype(np.int64).astype(np.float64)
    angles = [2.0 * np.pi * (seconds % size) / size for size in (86_400.0, 604_800.0)]
    return np.stack([f(a) for a in angles for f in (np.sin, np.cos)], axis=1).astype(np.float32)
