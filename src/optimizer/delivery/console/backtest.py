"""What a back-test prints: policies at their settings, and their cost at equal risk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from optimizer.core.config_schema import ExperimentConfig
from optimizer.decisions.backtesting.frontier import LIMITS
from optimizer.decisions.backtesting.metrics import HOURS
from optimizer.decisions.services.backtest import BUSY, SHOWN
from optimizer.delivery.console.output import echo, show_table
from optimizer.demand.usage import CPU, Usage
from optimizer.evaluation.coverage import ALL, COUNTED, SHARES


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
        echo(
            f"a surface was known at {record['surface_known']:.0%} of the requests; at the others, "
            "with too little history, policies that learn keep the present capacity"
        )
    for line in format_best(record, usage.resource, config.choices[f"policy/{usage.resource}"]):
        echo(line)
    echo(
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
    wide: Any = table.pivot_table(
        index="policy", columns=["unmet_capped", "limit"], values="cost", dropna=False, sort=True
    )
    heads = tuple(
        f"{format_limit(limit, resource)}{', capped' if capped else ''}"
        for capped, limit in wide.columns
    )
    middle = wide.columns.get_loc((True, LIMITS[resource][2]))
    order = np.argsort(wide.iloc[:, middle].fillna(np.inf))
    rows = [
        (str(name), *("-" if np.isnan(value) else f"{value:.3f}" for value in values))
        for name, values in zip(wide.index[order], wide.to_numpy()[order], strict=True)
    ]
    return ("policy", *heads), rows


def format_limit(limit: float, resource: str) -> str:
    """Return a limit as text: a share of steps, or kills per service-week."""
    return f"{limit:.1%}" if resource == CPU else f"{limit:g}"


def promise_rows(
    record: dict[str, Any], resource: str
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return head and rows of the realised shares per group, and how often bounds held."""
    promises = pd.DataFrame(record["promises"])
    wide: Any = promises.pivot_table(
        index="group", columns="promised", values="ratio", dropna=False, sort=False
    )
    steps: Any = promises.drop_duplicates("group").set_index("group")["steps"]
    rows = [
        (
            row["group"],
            f"{steps[row['group']]:,}",
            *(f"{ratio:.2f}" for ratio in wide.loc[row["group"]]),
            *(f"{row[name]:.1%}" for name in ("covered", "below", "above")),
        )
        for row in record["bounds"]
        if steps[row["group"]] > 0
    ]
    heads = (f"{share:.1%}" for share in SHARES)
    return ("group", COUNTED[resource], *heads, "peak within bounds", "below", "above"), rows


def format_best(record: dict[str, Any], resource: str, policy: str) -> list[str]:
    """Return a line per limit and criterion: the cheapest policy, and the chosen one's place."""
    table = pd.DataFrame(record["comparison"])
    table = table[table["group"] == ALL]
    lines = []
    grouped: Any = table.groupby(["unmet_capped", "limit"])
    for (capped, limit), rows in grouped:
        met = rows[rows["cost"].notna()].sort_values("cost")
        at = f"at {format_limit(limit, resource)}{', unmet demand capped' if capped else ''}"
        if not len(met):
            lines.append(f"{at}: no policy keeps it at any setting")
            continue
        best = met.iloc[0]
        told = [f"{best['policy']} is cheapest, {_format_change(best)}"]
        if policy != best["policy"]:
            chosen = met[met["policy"] == policy]
            told += [f"{policy} {_format_change(row)}" for row in chosen.to_dict("records")]
        lines.append(f"{at}: {'; '.join(told)}")
    return lines


def _format_change(row: Any) -> str:
    """Return a policy against the best rule beside it, with the interval."""
    if not row["best_rule"]:
        return "and no rule beside it keeps it"
    return (
        f"{row['change']:+.1%} [{row['lower']:+.1%}, {row['upper']:+.1%}] "
        f"against {row['best_rule']}, the best rule beside it"
    )
