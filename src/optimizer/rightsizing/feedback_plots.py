"""A picture of the feedback: what each round asked for, and how much demand it missed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from optimizer.evaluation.plots_style import DASHES, GREY, SERIES, legend_outside, new_figure
from optimizer.rightsizing.feedback import FeedbackResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_feedback(found: FeedbackResult | Mapping[str, FeedbackResult]) -> Figure:
    """Return the total request and the unmet demand of every round, one line per policy.

    Parameters
    ----------
    found : FeedbackResult or mapping
        One result, or several by the name of their policy.
    """
    results = {"": found} if isinstance(found, FeedbackResult) else found
    figure, (upper, lower) = new_figure(2, width=9.5, height=7.0)
    for index, (name, one) in enumerate(results.items()):
        rounds = one.rounds
        request = 100 * rounds["request"] / rounds["request"].iloc[0]
        for axis, share in ((upper, request), (lower, 100 * rounds["unmet_share"])):
            axis.plot(
                rounds["round"],
                share,
                color=SERIES[index % len(SERIES)],
                linestyle=DASHES[index % len(DASHES)],
                marker="o",
                markersize=3,
                label=name or one.resource,
            )
    upper.axhline(100.0, color=GREY, linewidth=0.8)
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
