"""What a backtest leaves and shows: requests, tables, pictures, and a page on the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flows.messages import say, show_table
from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.plotting import save_figure
from optimizer.decisions.backtesting.frontier import LIMITS
from optimizer.decisions.backtesting.metrics import HOURS
from optimizer.decisions.backtesting.plots import busiest_service, plot_frontiers, plot_requests
from optimizer.decisions.backtesting.request_table import frame_requests, write_requests
from optimizer.decisions.backtesting.tables import (
    PolicyReplay,
    compare_groups,
    mean_utilisation,
    tabulate_figures,
    tabulate_frontier,
    tabulate_services,
)
from optimizer.decisions.pricing.catalogue import HOURS_PER_MONTH, PriceCatalogue, price_per_hour
from optimizer.demand.usage import CPU, Usage
from optimizer.evaluation.coverage import (
    ALL,
    COUNTED,
    SHARES,
    by_group,
    tabulate_bounds,
    tabulate_promises,
)
from optimizer.evaluation.plots.coverage import plot_promises
from optimizer.models.conformal.predictive import Outlook

BUSY = 0.02
"""Mean utilisation above which a service is no idle one."""
FILES = (
    "frontier.csv", "comparison.csv", "services.csv", "groups.csv", "promises.csv", "bounds.csv",
    "backtest.json",
)  # fmt: skip
SHOWN = {
    "cost_vs_oracle": ("x oracle", ".3f"),
    "cost_vs_static": ("x today", ".3f"),
    "cost_per_month": ("cost/month", ",.0f"),
    "violation_rate": ("violated", ".3%"),
    "unmet_share": ("unmet", ".3%"),
    "violated_intervals_share": ("intervals hit", ".2%"),
    "slack": ("slack", ".1%"),
    "changes_per_service_day": ("changes/day", ".2f"),
    "kills_per_service_week": ("kills/week", ".3f"),
}


@dataclass(frozen=True)
class Replayed:
    """A replay, ready to be told of.

    Parameters
    ----------
    found : dict
        Replays by policy.
    usage : Usage
        What was used.
    cutoffs : numpy.ndarray
        int64, shape ``(n_cutoffs,)``.
    outlook : Outlook
        At the cutoffs.
    known : float
        Share of the requests at which a surface was known.
    groups : tuple of str
        Group of each service.
    prices : PriceCatalogue, optional
        Without one nothing is told in money.
    """

    found: dict[str, PolicyReplay]
    usage: Usage
    cutoffs: NDArray[np.int64]
    outlook: Outlook
    known: float
    groups: tuple[str, ...]
    prices: PriceCatalogue | None

    @property
    def interval(self) -> int:
        """Steps that a request holds."""
        return int(np.median(np.diff(self.cutoffs))) if len(self.cutoffs) > 1 else 1

    def figures(self, chosen: NDArray[np.bool_] | None = None) -> list[dict[str, Any]]:
        """Return the policies' figures over some services, with their price a month."""
        rows: list[dict[str, Any]] = tabulate_figures(self.found, chosen).to_dict("records")
        if self.prices is not None:
            price = price_per_hour(self.prices, self.usage.resource)
            hours = len(self.cutoffs) * self.interval * (self.usage.step / pd.Timedelta("1h"))
            for row in rows:
                used = row[HOURS[self.usage.resource]]
                row["cost_per_month"] = used * price * HOURS_PER_MONTH / hours
        return rows


def write_backtest(seen: Replayed, output: Path) -> dict[str, Any]:
    """Write requests, tables and plots, and return the plain record."""
    found, usage, cutoffs = seen.found, seen.usage, seen.cutoffs
    held = usage, cutoffs, seen.interval, seen.groups
    busy = mean_utilisation(usage) > BUSY
    told = {
        "frontier": tabulate_frontier(found),
        "comparison": compare_groups(found, seen.groups),
        "promises": tabulate_promises(seen.outlook, *held),
        "bounds": tabulate_bounds(seen.outlook, *held),
        "groups": tabulate_groups(seen),
    }
    write_requests(frame_requests(found, usage, cutoffs, seen.outlook), output / "requests.parquet")
    for name, table in told.items():
        table.to_csv(output / f"{name}.csv", index=False)
    tabulate_services(found, usage).to_csv(output / "services.csv", index=False)
    save_plots(seen, told["promises"], output / "plots")
    ends = usage.timestamps[[cutoffs[0] - 1, cutoffs[-1] - 1]]
    some = busy.any() and not busy.all()
    return {
        "services": usage.n_services,
        "busy_services": int(busy.sum()),
        "cutoffs": len(cutoffs),
        "surface_known": seen.known,
        "first": str(ends[0]),
        "last": str(ends[1]),
        "figures": seen.figures(),
        "busy_figures": seen.figures(busy) if some else [],
        **{name: table.to_dict("records") for name, table in told.items()},
    }


def tabulate_groups(seen: Replayed) -> pd.DataFrame:
    """Return every policy's figures per group of services, at its configured setting."""
    parts = [
        pd.DataFrame(seen.figures(chosen)).assign(group=name, services=chosen.sum())
        for name, chosen in by_group(seen.groups)
        if name != ALL
    ]
    return pd.concat(parts, ignore_index=True)


def save_plots(seen: Replayed, promises: pd.DataFrame, directory: Path) -> None:
    """Write the pictures of a replay."""
    directory.mkdir(exist_ok=True)
    service = busiest_service(seen.usage, seen.cutoffs)
    shown = plot_requests(seen.found, seen.usage, seen.cutoffs, service)
    save_figure(plot_frontiers(seen.found), directory / "frontier.png")
    save_figure(shown, directory / "requests.png")
    counted = COUNTED[seen.usage.resource]
    save_figure(plot_promises(promises, counted), directory / "promises.png")


def show_backtest(
    record: dict[str, Any], usage: Usage, config: ExperimentConfig, output: Path
) -> None:
    """Print the policies at their settings and their cost at equal violation rates."""
    hours = HOURS[usage.resource]
    for title, key in (
        ("all services", "figures"),
        (f"above {BUSY:.0%} mean utilisation", "busy_figures"),
    ):
        if record[key]:
            show_table(f"{usage.resource}, {title}", *figure_rows(record[key], hours))
    at = "violation rate" if usage.resource == CPU else "kills per service-week"
    show_table(f"cost (x oracle) at equal {at}", *frontier_rows(record["frontier"], usage.resource))
    show_table("promised and realised", *promise_rows(record, usage.resource))
    if record["surface_known"] < 1.0:
        say(
            f"a surface was known at {record['surface_known']:.0%} of the requests; at the others, "
            "with too little history, policies that learn keep the present capacity"
        )
    for line in tell_best(record, usage.resource, config.choices["policy"]):
        say(line)
    say(
        f"{record['services']} services ({record['busy_services']} above {BUSY:.0%}), "
        f"{record['cutoffs']} cutoffs from {record['first'][:16]} to {record['last'][:16]}, "
        f"{record['seconds']:.0f} s",
        f"run {record['run_id']} in {config.tracking.uri}; files in {output}",
    )


def figure_rows(
    figures: list[dict[str, Any]], hours: str
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return head and rows of the policies at their configured settings, the cheapest first."""
    shown = {key: told for key, told in SHOWN.items() if key in figures[0]}
    ranked = sorted(figures, key=lambda row: row["cost_vs_oracle"])
    rows = [
        (
            str(row["policy"]),
            str(row["knob"]),
            *(format(row[key], form) for key, (_, form) in shown.items()),
            f"{row[hours]:,.0f}",
        )
        for row in ranked
    ]
    heads = (head for head, _ in shown.values())
    return ("policy", "setting", *heads, hours.replace("_", "-")), rows


def frontier_rows(
    frontier: list[dict[str, Any]], resource: str
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return head and rows of the costs at each limit, alone and with unmet demand capped."""
    table = pd.DataFrame(frontier)
    wide = table.pivot_table(
        index="policy", columns=["unmet_capped", "limit"], values="cost", dropna=False, sort=True
    )
    heads = tuple(
        f"{tell_limit(limit, resource)}{', capped' if capped else ''}"
        for capped, limit in wide.columns
    )
    middle = wide.columns.get_loc((True, LIMITS[resource][2]))
    order = np.argsort(wide.iloc[:, middle].fillna(np.inf))
    rows = [
        (str(name), *("-" if np.isnan(value) else f"{value:.3f}" for value in values))
        for name, values in zip(wide.index[order], wide.to_numpy()[order], strict=True)
    ]
    return ("policy", *heads), rows


def tell_limit(limit: float, resource: str) -> str:
    """Return a limit as text: a share of steps, or kills per service-week."""
    return f"{limit:.1%}" if resource == CPU else f"{limit:g}"


def promise_rows(
    record: dict[str, Any], resource: str
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return head and rows of the realised shares per group, and how often bounds held."""
    promises, bounds = pd.DataFrame(record["promises"]), pd.DataFrame(record["bounds"])
    wide = promises.pivot_table(
        index="group", columns="promised", values="ratio", dropna=False, sort=False
    )
    steps = promises.drop_duplicates("group").set_index("group")["steps"]
    rows = [
        (
            str(group),
            f"{steps[group]:,}",
            *(f"{ratio:.2f}" for ratio in wide.loc[group]),
            *(f"{share:.1%}" for share in (one.covered, one.below, one.above)),
        )
        for group, one in bounds.set_index("group").iterrows()
        if steps[group] > 0
    ]
    heads = (f"{share:.1%}" for share in SHARES)
    return ("group", COUNTED[resource], *heads, "peak within bounds", "below", "above"), rows


def tell_best(record: dict[str, Any], resource: str, policy: str) -> list[str]:
    """Return a line per limit and criterion: the cheapest policy, and the chosen one's place."""
    table = pd.DataFrame(record["comparison"])
    table = table[table["group"] == ALL]
    lines = []
    for (capped, limit), rows in table.groupby(["unmet_capped", "limit"]):
        met = rows[rows["cost"].notna()].sort_values("cost")
        at = f"at {tell_limit(limit, resource)}{', unmet demand capped' if capped else ''}"
        if not len(met):
            lines.append(f"{at}: no policy keeps it at any setting")
            continue
        best = met.iloc[0]
        told = [f"{best['policy']} is cheapest, {_tell_change(best)}"]
        if policy != best["policy"]:
            chosen = met[met["policy"] == policy]
            told += [f"{policy} {_tell_change(row)}" for _, row in chosen.iterrows()]
        lines.append(f"{at}: {'; '.join(told)}")
    return lines


def _tell_change(row: pd.Series[Any]) -> str:
    """Return a policy against the best rule beside it, with the interval."""
    if not row["best_rule"]:
        return "and no rule beside it keeps it"
    return (
        f"{row['change']:+.1%} [{row['lower']:+.1%}, {row['upper']:+.1%}] "
        f"against {row['best_rule']}, the best rule beside it"
    )
