"""A back-test as a whole: every policy replayed, tables, pictures, and the plain record."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.artifacts import write_json
from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.plotting import save_figure
from optimizer.decisions.backtesting.metrics import HOURS
from optimizer.decisions.backtesting.plots import busiest_service, plot_frontiers, plot_requests
from optimizer.decisions.backtesting.request_table import frame_requests, write_requests
from optimizer.decisions.backtesting.tables import (
    ORACLE,
    REFERENCE,
    STATIC,
    PolicyReplay,
    compare_groups,
    mean_utilisation,
    tabulate_figures,
    tabulate_frontier,
    tabulate_services,
)
from optimizer.decisions.policies.protocol import Policy
from optimizer.decisions.pricing.catalogue import HOURS_PER_MONTH, PriceCatalogue, price_per_hour
from optimizer.decisions.services.components import Decisions, build_policies, policy_nodes
from optimizer.demand.usage import Usage
from optimizer.evaluation.coverage import ALL, COUNTED, by_group, tabulate_bounds, tabulate_promises
from optimizer.evaluation.plots.coverage import plot_promises
from optimizer.models.conformal.predictive import PredictiveDistribution

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


NEEDED = (ORACLE, STATIC, REFERENCE)
"""Policies that every table needs to compare with."""


def build_replayed(config: ExperimentConfig, parts: Decisions) -> dict[str, Policy]:
    """Return every policy to replay by name, asking the surface of the replayed resource.

    Raises ConfigError: an unknown policy, or one that the tables need was left out.
    """
    resource, names = config.backtest.resource, config.backtest.policies
    nodes = policy_nodes(config, resource, names, "backtest.policies", needed=NEEDED)
    return build_policies(nodes, parts.surfaces[resource], resource)


@dataclass(frozen=True)
class BacktestResult:
    """A replay, ready to be told of.

    ``usage``: what was used. ``cutoffs``: int64, shape ``(n_cutoffs,)``. ``outlook``: at the
    cutoffs. ``known``: share of the requests at which a surface was known. ``groups``: group of
    each service. ``prices``: without one nothing is told in money.
    """

    found: dict[str, PolicyReplay]
    usage: Usage
    cutoffs: NDArray[np.int64]
    outlook: PredictiveDistribution
    known: float
    groups: tuple[str, ...]
    prices: PriceCatalogue | None

    @property
    def interval(self) -> int:
        """Steps that a request holds."""
        return int(np.median(np.diff(self.cutoffs))) if len(self.cutoffs) > 1 else 1

    def figures(self, chosen: NDArray[np.bool_] | None = None) -> list[dict[str, Any]]:
        """Return the policies' figures over some services, with their price a month."""
        rows: Any = tabulate_figures(self.found, chosen).to_dict("records")
        if self.prices is not None:
            price = price_per_hour(self.prices, self.usage.resource)
            hours = len(self.cutoffs) * self.interval * (self.usage.step / pd.Timedelta("1h"))
            for row in rows:
                used = row[HOURS[self.usage.resource]]
                row["cost_per_month"] = used * price * HOURS_PER_MONTH / hours
        priced: list[dict[str, Any]] = rows
        return priced


def write_backtest(
    seen: BacktestResult, output: Path, more: dict[str, Any], began: float
) -> dict[str, Any]:
    """Write requests, tables and plots, and return the plain record.

    ``more``: what the record also says. ``began``: when the back-test began, by
    ``time.perf_counter``.
    """
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
    output.mkdir(parents=True, exist_ok=True)
    write_requests(frame_requests(found, usage, cutoffs, seen.outlook), output / "requests.parquet")
    for name, table in told.items():
        table.to_csv(output / f"{name}.csv", index=False)
    tabulate_services(found, usage).to_csv(output / "services.csv", index=False)
    save_plots(seen, told["promises"], output / "plots")
    ends = usage.timestamps[[cutoffs[0] - 1, cutoffs[-1] - 1]]
    some = busy.any() and not busy.all()
    record = {
        "services": usage.n_services,
        "busy_services": int(busy.sum()),
        "cutoffs": len(cutoffs),
        "surface_known": seen.known,
        "first": str(ends[0]),
        "last": str(ends[1]),
        "figures": seen.figures(),
        "busy_figures": seen.figures(busy) if some else [],
        **{name: table.to_dict("records") for name, table in told.items()},
        **more,
        "seconds": time.perf_counter() - began,
    }
    write_json(output / "backtest.json", record)
    return record


def flatten_replay(record: dict[str, Any]) -> dict[str, float]:
    """Return the figures of every policy as ``<policy>.<figure>``."""
    return {
        f"{row['policy']}.{key}": row[key]
        for row in record["figures"]
        for key in SHOWN
        if key in row
    }


def tabulate_groups(seen: BacktestResult) -> pd.DataFrame:
    """Return every policy's figures per group of services, at its configured setting."""
    parts = [
        pd.DataFrame(seen.figures(chosen)).assign(group=name, services=chosen.sum())
        for name, chosen in by_group(seen.groups)
        if name != ALL
    ]
    return pd.concat(parts, ignore_index=True)


def save_plots(seen: BacktestResult, promises: pd.DataFrame, directory: Path) -> None:
    """Write the pictures of a replay."""
    directory.mkdir(exist_ok=True)
    service = busiest_service(seen.usage, seen.cutoffs)
    shown = plot_requests(seen.found, seen.usage, seen.cutoffs, service)
    save_figure(plot_frontiers(seen.found), directory / "frontier.png")
    save_figure(shown, directory / "requests.png")
    counted = COUNTED[seen.usage.resource]
    save_figure(plot_promises(promises, counted), directory / "promises.png")
