"""The subset of the features that mlforecast has: lags and rolling statistics, in coreforecast.

One ``MLForecast`` per metric, as its interface asks for one target. Its window statistics end
at the step before a row; the input therefore carries one row more per service, and a row's
windows are read from the next one. Its exponential mean has other weights (no adjustment at the
start of a series) and is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from mlforecast import MLForecast
from mlforecast.lag_transforms import (
    RollingMax,
    RollingMean,
    RollingMin,
    RollingQuantile,
    RollingStd,
)
from numpy.typing import NDArray
from pandas.tseries.frequencies import to_offset

from optimizer.core.panel import Panel
from optimizer.core.schema import CPU
from optimizer.features.base import FeatureGroup, Layout
from optimizer.features.windows import least_count

STATISTICS = {"mean": RollingMean, "std": RollingStd, "min": RollingMin, "max": RollingMax}
Plan = dict[str, dict[str, Any]]


def prepare(panel: Panel, groups: Sequence[FeatureGroup]) -> tuple[Any, ...]:
    """Return what :func:`compute` takes: a long frame and plan per metric, and the frequency."""
    layout = Layout(panel.metrics, panel.step)
    plan = _plan(layout, {group.name: group for group in groups})
    end = panel.timestamps[-1] + np.timedelta64(panel.step.value // 1000, "us")
    times = np.append(panel.timestamps, end)
    service = np.repeat(np.arange(panel.n_services), len(times))
    frames = {
        metric: pd.DataFrame(
            {
                "unique_id": service,
                "ds": np.tile(times, panel.n_services),
                "y": np.pad(panel.metric(metric), ((0, 0), (0, 1)), mode="edge").ravel(),
            }
        )
        for metric in plan
    }
    return frames, plan, to_offset(panel.step).freqstr


def _plan(layout: Layout, groups: dict[str, Any]) -> Plan:
    """Return the lags, the transforms and their names per metric."""
    rolling, lags = groups["rolling"], groups["lags"]
    wanted = {CPU: list(range(1, lags.cpu_lags + 1)), **lags.others}
    plan: Plan = {}
    for metric in layout.available(tuple(rolling.statistics)):
        windows = {}
        for window in rolling.windows:
            steps = layout.steps(window)
            for kind in rolling.statistics[metric]:
                windows[f"{metric}_{kind}_{window}"] = _transform(kind, steps)
        plan[metric] = {"lags": wanted[metric], "windows": windows}
    return plan


def _transform(kind: str, steps: int) -> Any:
    if kind == "median":
        return RollingQuantile(p=0.5, window_size=steps, min_samples=least_count(steps))
    return STATISTICS[kind](window_size=steps, min_samples=least_count(steps))


def compute(frames: dict[str, pd.DataFrame], plan: Plan, freq: str) -> dict[str, Any]:
    """Return mlforecast's features per metric."""
    found = {}
    for metric, wanted in plan.items():
        forecast = MLForecast(
            models=[],
            freq=freq,
            lags=wanted["lags"],
            lag_transforms={1: list(wanted["windows"].values())},
            num_threads=1,
        )
        found[metric] = (
            forecast.preprocess(frames[metric], static_features=[], dropna=False),
            wanted,
        )
    return found


def columns(result: dict[str, Any]) -> Iterator[tuple[str, NDArray[np.floating]]]:
    """Yield the name and values of every feature at the project's alignment."""
    for metric, (frame, wanted) in result.items():
        length = int((frame["unique_id"] == 0).sum())
        values = frame.drop(columns=["unique_id", "ds", "y"]).to_numpy().T
        grid = values.reshape(len(values), -1, length)
        n_lags = len(wanted["lags"])
        for index, lag in enumerate(wanted["lags"]):
            yield f"{metric}_lag_{lag}", grid[index, :, :-1].ravel()
        for index, name in enumerate(wanted["windows"]):
            yield name, grid[n_lags + index, :, 1:].ravel()
