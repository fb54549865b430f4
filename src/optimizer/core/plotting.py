"""One look for all plots: colours that colour-blind readers can tell apart, legends outside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLACK = "#000000"
BLUE = "#0072B2"
ORANGE = "#E69F00"
GREEN = "#009E73"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"
SKY = "#56B4E9"
GREY = "#7F7F7F"
WINE = "#882255"
OLIVE = "#999933"
SERIES = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK, WINE, OLIVE)
"""Okabe and Ito's palette and two of Tol's; the first is the model's, the others the baselines'."""
DASHES: tuple[str | tuple[int, tuple[int, ...]], ...] = (
    "-",
    "--",
    "-.",
    ":",
    (0, (5, 1)),
    (0, (3, 1, 1, 1)),
    (0, (1, 1)),
    (0, (8, 3)),
    (0, (1, 3)),
    (0, (6, 2, 1, 2, 1, 2)),
)
"""Line styles in the same order: colour never carries the meaning alone."""
DPI = 120


def new_figure(
    rows: int = 1, *, width: float = 8.5, height: float = 5.0
) -> tuple[Figure, list[Axes]]:
    """Return a figure and its axes, one below the other.

    Neither a window nor pyplot's global state is involved, so that plots can be drawn in any
    thread.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(rows, 1, squeeze=False)[:, 0])
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(visible=True, color="#DDDDDD", linewidth=0.6)
        axis.set_axisbelow(True)
    return figure, axes


def legend_outside(axis: Axes, **options: str) -> None:
    """Put the legend right of the data."""
    axis.legend(
        loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize="small", **options
    )


def say_empty(axis: Axes, reason: str) -> None:
    """Write why there is nothing to see."""
    axis.text(0.5, 0.5, reason, ha="center", va="center", transform=axis.transAxes, color=GREY)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write the figure as PNG and return the path; its folder must exist."""
    figure.savefig(path, dpi=DPI, format="png")
    return path
