"""The report's pictures: a service's last week with its target, and three of the fleet."""

from __future__ import annotations

import base64
import io
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray
from optimizer.core.plotting import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SKY,
    VERMILION,
    legend_outside,
    new_figure,
    say_empty,
)
from optimizer.delivery.report.view_model import AT_RISK, FINDINGS, money, quantity, words
from optimizer.demand.usage import Usage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WEEK = pd.Timedelta("7d")
MOST = 200
"""Pieces a line is drawn by, each by its lowest and its highest value."""
FILLS = (VERMILION, BLUE, GREEN, ORANGE, GREY)


def svg_source(figure: Figure) -> str:
    """Return a figure as the source of an image: SVG in the page's own text, no file.

    Equal figures give equal text: no date, and ids of a fixed salt. Letters stay letters.
    """
    import matplotlib as mpl

    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "report", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()


def decimate(values: FloatArray, most: int = MOST) -> NDArray[np.intp]:
    """Return the steps a line can be drawn by: the lowest and highest of each piece.

    int, ascending; no extreme of a piece is lost, and a piece that is all gap stays one.
    ``values``: float32, shape ``(n_steps,)``, NaN in gaps. ``most``: pieces; a line of at most
    twice as many steps stays whole.
    """
    if len(values) <= 2 * most:
        return np.arange(len(values))
    width = -(-len(values) // most)
    padded = np.full(width * -(-len(values) // width), np.nan, dtype=np.float32)
    padded[: len(values)] = values
    pieces = padded.reshape(-1, width)
    gap = np.isnan(pieces)
    starts = width * np.arange(len(pieces))
    low = starts + np.argmin(np.where(gap, np.inf, pieces), axis=1)
    high = starts + np.argmax(np.where(gap, -np.inf, pieces), axis=1)
    return np.unique(np.concatenate([low, high]))


def plot_service(
    rows: pd.DataFrame,
    usage_by_resource: Mapping[str, Usage],
    cutoff: pd.Timestamp,
    valid_until: pd.Timestamp,
) -> Figure | None:
    """Return a service's usage of the week before the cutoff, its request, target and bounds.

    None if there is no usage of the service. ``rows``: recommendations of one service, one row per
    resource. ``usage_by_resource``: nothing after the cutoff is drawn.
    """
    drawn = []
    for row in rows.to_dict("records"):
        usage = usage_by_resource.get(row["resource"])
        if usage is not None and row["service_id"] in usage.services:
            drawn.append((row, usage, usage.services.index(row["service_id"])))
    if not drawn:
        return None
    figure, axes = new_figure(len(drawn), width=9.5, height=0.4 + 2.2 * len(drawn))
    span = (_naive(cutoff), _naive(valid_until))
    for axis, (row, usage, service) in zip(axes, drawn, strict=True):
        _draw_usage(axis, usage, service, span[0])
        _draw_request(axis, row, span)
    return figure


def _draw_usage(axis: Axes, usage: Usage, service: int, cutoff: np.datetime64) -> None:
    begin = cutoff - WEEK.to_timedelta64()
    part = slice(*np.searchsorted(usage.timestamps, [begin, cutoff], side="right"))
    values, moments = usage.values[service, part], usage.timestamps[part]
    if np.isnan(values).all():
        say_empty(axis, "no usage was observed in these 7 days")
    steps = decimate(values)
    axis.plot(moments[steps], values[steps], color=GREY, linewidth=0.8, label="usage")
    axis.axvline(cutoff, color=GREY, linewidth=0.8, linestyle=":")  # type: ignore[arg-type]


def _draw_request(
    axis: Axes, row: Mapping[Hashable, Any], span: tuple[np.datetime64, np.datetime64]
) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    begin = span[0] - WEEK.to_timedelta64()
    current, target = row["current"], row["target"]
    low, high = row["lower_bound"], row["upper_bound"]
    if np.isfinite(current):
        label = f"current {quantity(current)}"
        axis.plot([begin, span[1]], [current] * 2, color=BLACK, linestyle="--", label=label)
    if np.isfinite(low) and np.isfinite(high):
        bounds = f"coming peak {quantity(low)} to {quantity(high)}"
        axis.fill_between(list(span), low, high, color=SKY, alpha=0.5, label=bounds)
    if np.isfinite(target):
        label = f"target {quantity(target)}"
        axis.plot([begin, span[0]], [target] * 2, color=BLUE, linewidth=0.8, linestyle="-.")
        axis.plot(list(span), [target] * 2, color=BLUE, linewidth=2.5, label=label)
    axis.set(xlim=(begin, span[1]), ylabel=f"{row['resource']} ({row['unit']})")
    axis.set_ylim(bottom=0.0)
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(formatter)
    legend_outside(axis)


def plot_savings(frame: pd.DataFrame, currency: str) -> Figure:
    """Return the expected monthly saving by finding, a bar each."""
    figure, (axis,) = new_figure(width=6.6, height=3.4)
    groups = frame.groupby("finding")["monthly_saving"]
    sums = groups.sum(min_count=1).reindex(FINDINGS)
    counts = groups.size().reindex(FINDINGS, fill_value=0)
    labels = [f"{words(str(name))} ({count})" for name, count in counts.items()]
    bars = axis.barh(labels, sums.fillna(0.0), color=FILLS)
    axis.bar_label(bars, [money(value) for value in sums], padding=4, fontsize="small")
    axis.axvline(0.0, color=BLACK, linewidth=0.8)
    axis.invert_yaxis()
    axis.margins(x=0.18)
    # A dollar sign would start a formula.
    axis.set(xlabel=f"Saving per month ({currency})".replace("$", r"\$"), title="Saving by finding")
    return figure


def plot_risks(frame: pd.DataFrame) -> Figure:
    """Return how many services have which risk, in steps of a half."""
    from matplotlib.ticker import MaxNLocator

    figure, (axis,) = new_figure(width=6.6, height=3.4)
    risks = frame.groupby("service_id")["risk"].max().dropna().to_numpy()
    counts, edges = np.histogram(np.clip(risks, 0.0, 4.0), bins=np.arange(0.0, 4.5, 0.5))
    fills = [VERMILION if edge >= AT_RISK else SKY for edge in edges[:-1]]
    bars = axis.bar(edges[:-1], counts, width=0.5, align="edge", color=fills, edgecolor="white")
    axis.bar_label(bars, [str(count) if count else "" for count in counts], fontsize="small")
    axis.axvline(AT_RISK, color=BLACK, linestyle="--", linewidth=0.8)
    axis.set(xlabel="Risk (from 3 on: at risk)", ylabel="Services", title="Services by risk")
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_ylim(0.0, max(1.0, 1.15 * float(counts.max(initial=0))))
    return figure


def _naive(moment: pd.Timestamp) -> np.datetime64:
    """Return a UTC moment as the clock of :class:`Usage` writes it."""
    return np.datetime64(moment.tz_localize(None) if moment.tzinfo else moment, "us")
