"""Pictures of a replay: cost against risk, and one service's requests over its usage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optimizer.core.plotting import BLACK, DASHES, GREY, SERIES, legend_outside, new_figure
from optimizer.decisions.backtesting.metrics import replay_metrics
from optimizer.decisions.backtesting.tables import ORACLE, STATIC, PolicyReplay
from optimizer.demand.usage import CPU, MEMORY, Usage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNITS = {CPU: "cores"}


class Risk(NamedTuple):
    """The figure that a resource is judged by, and how it is drawn."""

    figure: str
    scale: float
    label: str


RISKS = {
    CPU: Risk("violation_rate", 100.0, "Steps with usage above the request (%)"),
    MEMORY: Risk("kills_per_service_week", 1.0, "Kills per service and week"),
}
COLOURS = tuple(colour for colour in SERIES if colour != BLACK)
"""Black is left to the oracle."""


def plot_frontiers(found: Mapping[str, PolicyReplay]) -> Figure:
    """Return cost against the violation rate, one line per policy, its own setting marked."""
    figure, (axis,) = new_figure(width=9.5, height=6.0)
    swept = [name for name in found if name not in (ORACLE, STATIC)]
    risk = RISKS[next(iter(found.values())).sums.resource]
    for index, name in enumerate(swept):
        one = found[name]
        figures = replay_metrics(one.sums.pooled())
        rate, cost = risk.scale * figures[risk.figure][:, 0], figures["cost_vs_oracle"][:, 0]
        color, dash = SERIES[index % len(SERIES)], DASHES[index % len(DASHES)]
        sweeps = np.asarray(one.frontier.sweep)
        for number in np.unique(sweeps):
            shown = (rate > 0) & (sweeps == number)
            apart = one.knobs[int(np.argmax(sweeps == number))].rpartition(", ")[0]
            label = f"{name}, {apart}" if apart else name
            width = 1.5 / (1 + number)  # of a pair's sweeps the configured one is the widest
            style = {"color": color, "linestyle": dash, "linewidth": width}
            axis.plot(rate[shown], cost[shown], label=label, **style)
        if rate[one.configured] > 0:
            place = rate[one.configured], cost[one.configured]
            axis.plot(*place, marker="o", color=color, linestyle="none")
    axis.axhline(1.0, color=GREY, linewidth=0.8)
    axis.set_xscale("log")
    axis.set(
        title="Cost against risk; a dot is the configured setting, 1 is perfect foresight",
        xlabel=risk.label,
        ylabel="Requests as a multiple of the peak oracle's",
    )
    top = np.nanquantile(_all_costs(found, swept), 0.9) if swept else 2.0
    axis.set_ylim(0.0, max(2.0, float(top)))
    legend_outside(axis)
    return figure


def plot_requests(
    found: Mapping[str, PolicyReplay], usage: Usage, cutoffs: NDArray[np.int64], service: int
) -> Figure:
    """Return one service's usage and what each policy requested at its configured setting."""
    figure, (axis,) = new_figure(width=11.0, height=5.0)
    moments = usage.timestamps[cutoffs[0] :]
    axis.plot(
        moments, usage.values[service, cutoffs[0] :], color=GREY, linewidth=0.6, label="usage"
    )
    for index, (name, one) in enumerate(found.items()):
        target = one.requests[one.configured, :, service]
        axis.step(
            usage.timestamps[cutoffs],
            target,
            where="post",
            color=BLACK if name == ORACLE else COLOURS[index % len(COLOURS)],
            linestyle=DASHES[index % len(DASHES)],
            linewidth=1.2,
            label=name,
        )
    unit = UNITS.get(usage.resource, "GiB")
    axis.set(title=f"{usage.services[service]}: requests over usage", ylabel=unit)
    axis.tick_params(axis="x", rotation=30)
    legend_outside(axis)
    return figure


def busiest_service(usage: Usage, cutoffs: NDArray[np.int64]) -> int:
    """Return the service whose usage varies most over the replay, in its own capacity."""
    part = usage.values[:, cutoffs[0] :] / usage.capacity[:, None]
    seen = ~np.isnan(part)
    mean = np.where(seen, part, 0.0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    spread = np.where(seen, (part - mean[:, None]) ** 2, 0.0).sum(axis=1)
    return int(np.argmax(spread))


def _all_costs(found: Mapping[str, PolicyReplay], names: list[str]) -> NDArray[np.float64]:
    costs = [replay_metrics(found[name].sums.pooled())["cost_vs_oracle"][:, 0] for name in names]
    return np.concatenate(costs)
