"""Plots of event probabilities: ranking, calibration and warnings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from optimizer.core.plotting import (
    BLUE,
    DASHES,
    GREY,
    SERIES,
    VERMILION,
    legend_outside,
    new_figure,
    say_empty,
)
from optimizer.evaluation.alarms import AlarmCurve
from optimizer.evaluation.metrics.events import average_precision, prevalence, reliability_bins

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Vector = NDArray[np.floating]
MAX_POINTS = 2000
"""A curve is thinned to so many points: more cannot be seen."""


def plot_precision_recall(y_true: Vector, scores: Mapping[str, Vector]) -> Figure:
    """Return precision against recall of the model and its baselines.

    ``y_true``: shape ``(n,)``, 0 or 1. ``scores``: scores of shape ``(n,)`` by name, the model
    first.
    """
    from sklearn.metrics import precision_recall_curve

    figure, (axis,) = new_figure()
    rate = prevalence(y_true)
    if 0 < rate < 1:
        ranked = sorted(scores.items(), key=lambda item: -average_precision(y_true, item[1]))
        colours = dict(zip(scores, range(len(scores)), strict=True))
        for name, score in ranked:
            precision, recall, _ = precision_recall_curve(y_true, score)
            shown = np.unique(np.linspace(0, len(recall) - 1, MAX_POINTS).astype(int))
            place = colours[name]
            axis.plot(
                recall[shown],
                precision[shown],
                color=SERIES[place % len(SERIES)],
                linestyle=DASHES[place % len(DASHES)],
                linewidth=2.2 if place == 0 else 1.5,
                label=f"{name}  AP {average_precision(y_true, score):.3f}",
                zorder=3 if place == 0 else 2,
            )
        axis.axhline(rate, color=GREY, linewidth=1.0, label=f"prevalence {rate:.3f}")
        legend_outside(axis)
    else:
        say_empty(axis, "The test fold has one class only")
    axis.set(
        title="Precision and recall on the test fold",
        xlabel="Recall (share of positive rows found)",
        ylabel="Precision (share of alarms that are right)",
        xlim=(0, 1),
        ylim=(0, 1.02),
    )
    return figure


def plot_reliability(y_true: Vector, before: Vector, after: Vector, n_bins: int = 15) -> Figure:
    """Return event rate against probability, before and after calibration.

    Both axes are logarithmic: events are rare, and most bins of equal mass lie near zero.
    ``y_true``: shape ``(n,)``, 0 or 1. ``before``, ``after``: shape ``(n,)``: the model's own
    scores and the calibrated probabilities.
    """
    figure, (axis,) = new_figure(height=6.0)
    if len(y_true) == 0:
        say_empty(axis, "The test fold has no rows")
        return figure
    bins = {
        "before calibration": (reliability_bins(y_true, before, n_bins), VERMILION, "s", "--"),
        "after calibration": (reliability_bins(y_true, after, n_bins), BLUE, "o", "-"),
    }
    # a rate below one event in a bin cannot be told from none
    least = 0.3 * n_bins / len(y_true)
    for name, ((score, rate, count), colour, marker, line) in bins.items():
        error = float(np.sum(count * np.abs(score - rate)) / count.sum())
        axis.plot(
            np.maximum(score, least),
            np.maximum(rate, least),
            color=colour,
            marker=marker,
            linestyle=line,
            linewidth=1.3,
            markersize=5,
            label=f"{name}\nECE {error:.4f}",
        )
    axis.plot([least, 1], [least, 1], color=GREY, linewidth=1.0, label="perfectly calibrated")
    rows = bins["after calibration"][0][2]
    axis.set(
        title=f"Reliability on the test fold: {len(rows)} bins of about {rows.mean():,.0f} rows",
        xlabel="Mean predicted probability of the bin",
        ylabel="Share of rows with an event",
        xscale="log",
        yscale="log",
        xlim=(least / 1.5, 1.5),
        ylim=(least / 1.5, 1.5),
    )
    axis.text(
        0.98,
        0.03,
        f"values below {least:.0e}, and bins without events, are drawn there",
        transform=axis.transAxes,
        ha="right",
        fontsize="small",
        color=GREY,
    )
    legend_outside(axis)
    return figure


def plot_alarm_curves(curves: Mapping[str, AlarmCurve], budgets: tuple[float, ...]) -> Figure:
    """Return the share of events warned in time against false alarms per service-week.

    ``curves``: by name, the model first. ``budgets``: False alarms per service-week to mark.
    """
    figure, (axis,) = new_figure()
    for place, (name, curve) in enumerate(curves.items()):
        if len(curve.threshold) == 0 or np.isnan(curve.event_recall).all():
            continue
        # what a budget buys: a threshold counts only if all higher ones keep the budget too
        axis.plot(
            np.maximum.accumulate(curve.false_alarms),
            curve.event_recall,
            color=SERIES[place % len(SERIES)],
            linestyle=DASHES[place % len(DASHES)],
            linewidth=2.2 if place == 0 else 1.5,
            label=name,
        )
    for budget in budgets:
        axis.axvline(budget, color=GREY, linewidth=0.8, linestyle=":")
        axis.text(budget, 1.03, f"{budget:g}", ha="center", color=GREY, fontsize="small")
    if axis.get_legend_handles_labels()[0]:
        legend_outside(axis)
    else:
        say_empty(axis, "The test fold has no event that could be warned of")
    axis.set_title("Events warned in time, by false alarms allowed", pad=18)
    axis.set(
        xlabel="False alarm episodes per service-week",
        ylabel="Share of events warned in time",
        xlim=(0, max(budgets) * 1.05),
        ylim=(0, 1.02),
    )
    return figure
