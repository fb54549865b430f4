"""The picture of promised against realised exceedance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from optimizer.core.plotting import (
    BLACK,
    DASHES,
    GREY,
    SERIES,
    legend_outside,
    new_figure,
    say_empty,
)
from optimizer.evaluation.coverage import ALL, BAND

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = tuple(colour for colour in SERIES if colour != BLACK)
"""Black is left to the fleet."""


def plot_promises(promises: pd.DataFrame, counted: str) -> Figure:
    """Return realised against promised exceedance, one line per group; shaded: kept.

    ``promises``: ``group``, ``promised`` and ``realised`` (shares), as from
    :func:`~optimizer.evaluation.coverage.tabulate_promises`. What never happened has no place on a
    logarithm, and is drawn as an open triangle at the bottom. ``counted``: what the shares are of.
    """
    figure, (axis,) = new_figure(width=8.0, height=6.0)
    axis.set(
        title="Promised against realised exceedance",
        xlabel=f"Promised share of {counted} above the level (%)",
        ylabel="Realised (%)",
    )
    known = promises[(promises["promised"] > 0) & promises["realised"].notna()]
    if known.empty:
        say_empty(axis, "no promise has come due")
        return figure
    ends = 100 * np.array([known["promised"].min(), known["promised"].max()])
    axis.fill_between(ends, BAND[0] * ends, BAND[1] * ends, color=GREY, alpha=0.2, linewidth=0)
    axis.plot(ends, ends, color=GREY, linewidth=0.8)
    bottom = BAND[0] * min(ends[0], 100 * known.loc[known["realised"] > 0, "realised"].min())
    for index, (name, rows) in enumerate(known.groupby("group", sort=False)):
        color = BLACK if name == ALL else COLOURS[index % len(COLOURS)]
        came, never = rows[rows["realised"] > 0], rows[rows["realised"] == 0]
        axis.plot(
            100 * came["promised"],
            100 * came["realised"],
            color=color,
            linestyle=DASHES[index % len(DASHES)],
            marker="o",
            label=str(name),
        )
        axis.plot(
            100 * never["promised"], [bottom] * len(never), "v", color=color, fillstyle="none"
        )
    axis.set(xscale="log", yscale="log")
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter("{x:g}")
        side.set_minor_formatter(lambda x, _: f"{x:g}" if f"{x:.0e}"[0] in "25" else "")
    legend_outside(axis)
    return figure
