"""A picture of the feedback: what each round asked for, and how much demand it missed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from optimizer.core.plotting import GREY, SERIES, legend_outside, new_figure
from optimizer.decisions.simulation.closed_loop import SimulationResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = "osD^vPX*<"
"""Of the policies, in the order of their colours: colour never carries the meaning alone."""

AROUND = 5.0
"""Percent that are shown on both sides of the first round: a change of 1 % must not look large."""


def plot_simulation(
    found: Mapping[str, SimulationResult], untreated: Mapping[str, SimulationResult] | None = None
) -> Figure:
    """Return the total request and the unmet demand of every round, one line per policy.

    ``untreated``: results without treating clipped usage, dashed in the policy's colour.
    """
    figure, (upper, lower) = new_figure(2, width=9.5, height=7.0)
    looks = {name: index for index, name in enumerate(found)}
    for results, line, ending in ((found, "-", ""), (untreated or {}, "--", ", untreated")):
        for name, one in results.items():
            rounds, look = one.rounds, looks[name]
            request = 100 * rounds["request"] / rounds["request"].iloc[0]
            for axis, share in ((upper, request), (lower, 100 * rounds["unmet_share"])):
                axis.plot(
                    rounds["round"],
                    share,
                    color=SERIES[look % len(SERIES)],
                    linestyle=line,
                    marker=MARKERS[look % len(MARKERS)],
                    markersize=4,
                    label=f"{name}{ending}",
                )
    upper.axhline(100.0, color=GREY, linewidth=0.8)
    low, high = upper.get_ylim()
    upper.set_ylim(min(low, 100.0 - AROUND), max(high, 100.0 + AROUND))
    upper.set(
        title="Requests applied round after round: level is settled, falling is a spiral",
        ylabel="Total request (% of the first round's)",
    )
    lower.set(xlabel="Round", ylabel="Demand above the limit (%)")
    lower.set_ylim(bottom=0.0)
    for axis in (upper, lower):
        axis.locator_params(axis="x", integer=True)
    legend_outside(upper)
    return figure
