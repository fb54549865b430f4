"""The forecast fan: what was foreseen for a few services, beside what happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import format_duration
from optimizer.core.panel import FloatArray, Panel
from optimizer.core.plotting import BLACK, BLUE, GREY, legend_outside, new_figure, say_empty
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import ForecastTask

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = pd.Timedelta("7D")
HISTORY = pd.Timedelta("2D")
BANDS = ((0.1, 0.9, 0.18, "10-90 %"), (0.2, 0.8, 0.32, "20-80 %"))


def plot_forecast_fan(
    samples: Dataset,
    quantiles: FloatArray,
    task: ForecastTask,
    *,
    horizon_index: int = 0,
    services: Sequence[int] | None = None,
    shown: pd.Timedelta = SHOWN,
) -> Figure:
    """Return the forecasts of three services at one horizon, drawn at the time they are for.

    ``quantiles``: shape ``(n, n_horizons, n_quantiles)``. ``services``: services of the panel; by
    default :func:`pick_services`. ``shown``: how much of the beginning of the test fold to show;
    two days of history come before.
    """
    chosen = list(pick_services(samples) if services is None else services)
    figure, axes = new_figure(max(len(chosen), 1), width=10.0, height=2.6 * max(len(chosen), 1) + 1)
    name = format_duration(task.horizons[horizon_index])
    figure.suptitle(f"{task.metric} forecast {name} ahead, test fold")
    if not chosen:
        say_empty(axes[0], "The test fold has no rows")
    for axis, service in zip(axes, chosen, strict=False):
        begin = samples.panel.timestamps[samples.step.min()]
        own = (samples.service == service) & (samples.timestamps < begin + shown.to_timedelta64())
        ahead = task.horizons[horizon_index]
        _draw_forecast(axis, samples.select(own), quantiles[own, horizon_index], task, ahead)
        _draw_actual(axis, samples.panel, task.metric, service, (begin, shown + ahead))
    axes[-1].set_xlabel("Time (UTC)")
    if chosen:
        legend_outside(axes[0])
    return figure


def pick_services(samples: Dataset, n: int = 3) -> NDArray[np.int64]:
    """Return services to show: those at evenly spaced ranks of the spread of their actuals.

    The choice reads labels only, so that every model is shown on the same services; the
    calmest half is left out, because a flat line shows nothing.
    """
    present = np.unique(samples.service)
    if len(present) == 0:
        return present.astype(np.int64)
    first = samples.y[:, 0].astype(np.float64)
    known = ~np.isnan(first)
    size = samples.panel.n_services
    rows = np.maximum(np.bincount(samples.service[known], minlength=size), 1)
    mean = np.bincount(samples.service[known], weights=first[known], minlength=size) / rows
    away = np.square(first[known] - mean[samples.service[known]])
    spread = np.bincount(samples.service[known], weights=away, minlength=size) / rows
    ranked = present[np.argsort(spread[present], kind="stable")]
    places = np.linspace(0.5, 0.95, n) * (len(ranked) - 1)
    return np.unique(ranked[places.round().astype(int)]).astype(np.int64)


def _draw_forecast(
    axis: Axes, samples: Dataset, predicted: FloatArray, task: ForecastTask, ahead: pd.Timedelta
) -> None:
    """Draw bands and median at the time they are for; a break in the rows breaks the lines."""
    step = samples.panel.step.to_timedelta64()
    moment = samples.timestamps + ahead.to_timedelta64()
    gap = np.flatnonzero(np.diff(moment) > step) + 1
    values = np.insert(predicted, gap, np.nan, axis=0)
    moment = np.insert(moment, gap, moment[gap - 1] + step)
    for low, high, alpha, label in BANDS:
        if {low, high} <= set(task.quantiles):
            lower = values[:, task.quantiles.index(low)]
            upper = values[:, task.quantiles.index(high)]
            axis.fill_between(moment, lower, upper, color=BLUE, alpha=alpha, lw=0, label=label)
    axis.plot(moment, values[:, task.quantiles.index(0.5)], color=BLUE, lw=1.3, label="median")


def _draw_actual(
    axis: Axes, panel: Panel, metric: str, service: int, span: tuple[np.datetime64, pd.Timedelta]
) -> None:
    """Draw what happened, from two days before the test fold on."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    begin, shown = span
    inside = panel.timestamps >= begin - HISTORY.to_timedelta64()
    inside &= panel.timestamps <= begin + shown.to_timedelta64()
    actual = panel.metric(metric)[service, inside]
    axis.plot(panel.timestamps[inside], actual, color=BLACK, lw=0.9, label="actual")
    height = axis.get_xaxis_transform()
    axis.plot(
        [begin] * 2, [0, 1], transform=height, color=GREY, lw=0.9, ls=":", label="test fold begins"
    )
    locator = AutoDateLocator(maxticks=10)  # type: ignore[no-untyped-call]
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axis.set_title(panel.services[service], fontsize="medium", loc="left")
    axis.set_ylabel("fraction of capacity", fontsize="small")
