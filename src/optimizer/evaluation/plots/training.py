"""Plots of the training itself: how the loss fell and which inputs mattered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from optimizer.core.plotting import (
    BLUE,
    DASHES,
    GREY,
    SERIES,
    legend_outside,
    new_figure,
    say_empty,
)
from optimizer.models.base import TrainingLog

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOP = 20


def plot_importance(importance: Mapping[str, float], top: int = TOP) -> Figure:
    """Return the inputs that mattered most, as bars.

    ``importance``: share of each input, summing to 1. ``top``: number of bars at most.
    """
    ranked = sorted(importance.items(), key=lambda item: (-item[1], item[0]))[:top][::-1]
    figure, (axis,) = new_figure(height=1.4 + 0.27 * max(len(ranked), 4))
    if ranked:
        shares = [100.0 * share for _, share in ranked]
        bars = axis.barh([name for name, _ in ranked], shares, color=BLUE, height=0.7)
        axis.bar_label(bars, fmt="%.1f", padding=3, fontsize="small")
        axis.set_xlim(0, max(shares) * 1.1 or 1.0)
    else:
        say_empty(axis, "The model does not say which inputs mattered")
    axis.grid(visible=False, axis="y")
    axis.margins(y=0.01)
    axis.tick_params(axis="y", length=0)
    axis.set(
        title=f"Feature importance: top {len(ranked)} of {len(importance)}",
        xlabel="Share of total importance (%)",
    )
    return figure


def plot_training(log: TrainingLog) -> Figure:
    """Return the curves of a fit and the iteration kept.

    ``log``: from the model's fit; without curves the plot says so.
    """
    figure, (axis,) = new_figure()
    for place, (name, values) in enumerate(log.curves.items()):
        # a few epochs need marks to be seen as points
        axis.plot(
            np.arange(1, len(values) + 1),
            values,
            color=SERIES[place % len(SERIES)],
            linestyle=DASHES[place % len(DASHES)],
            linewidth=1.6,
            marker="o" if len(values) <= 30 else "",
            markersize=4,
            label=name,
        )
    if log.curves:
        if log.best_iteration > 0:
            label = f"kept: iteration {log.best_iteration}"
            axis.axvline(log.best_iteration, color=GREY, linestyle=":", label=label)
        legend_outside(axis)
    else:
        say_empty(axis, "The model does not learn in iterations")
    axis.set(title="Training curve", xlabel="Iteration", ylabel=log.metric or "loss")
    return figure
