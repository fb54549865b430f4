"""What a recommendation prints: the rows that matter most, and what they add up to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.durations import format_duration
from optimizer.decisions.pricing.catalogue import PriceCatalogue
from optimizer.decisions.recommendations.pricing import MONEY, PACKED
from optimizer.decisions.recommendations.snapshot import PolicyRequests
from optimizer.decisions.recommendations.standing import CHANGES
from optimizer.decisions.services.recommend import RecommendationResult
from optimizer.delivery.console.output import echo, show_table
from optimizer.delivery.report.view_model import format_risk
from optimizer.evaluation.coverage import COUNTED

SHOWN_AT_MOST = 20
"""Rows of the table on the terminal; the files hold all."""


def show_recommendations(
    found: RecommendationResult, record: dict[str, Any], config: ExperimentConfig, output: Path
) -> None:
    """Print the recommendations that matter most, and what they add up to."""
    frame = found.frame
    weight = frame["monthly_saving"].abs().fillna(0.0) + frame["action"].isin(CHANGES)
    order = np.argsort(-weight.to_numpy(), kind="stable")[:SHOWN_AT_MOST]
    shown: Any = frame.iloc[order].to_dict("records")
    rows = [_format_row(row) for row in shown]
    title = f"recommendations until {record['valid_until'][:16]}, {len(frame)} in all"
    show_table(title, HEAD, rows)
    counts = ", ".join(f"{number} {name}" for name, number in record["actions"].items())
    echo(f"{counts}; at risk (3 or more): {int((frame['risk'] >= 3).sum())} rows")
    if found.catalogue is not None and found.fleet:
        for line in _format_fleet(found.fleet, found.catalogue, found.nodes):
            echo(line)
    for line in _format_promises(found.asked):
        echo(line)
    money, against = record["patches_monthly_saving"], record["contradicted"]
    told = f"{record['patches']} files in {output / 'patches'}, nothing was applied"
    if record["patches"]:
        told += ": they hold the highest target of the last week"
        if not np.isnan(money):
            does = "saves" if money >= 0 else "costs"
            told += f", which {does} {abs(money):,.0f} a month if they stand"
    if against:
        told += f"; {against} rows get none, since that week contradicts the coming hours"
    echo(
        told,
        f"report {output / 'report.html'}, {record['seconds']:.0f} s; "
        f"run {record['run_id']} in {config.tracking.uri}",
    )


HEAD = (
    "service", "resource", "current", "target", "P5-P95 of peak", "action", "finding", "above",
    "risk", "saving/month", "event",
)  # fmt: skip


def _format_row(row: dict[str, Any]) -> tuple[str, ...]:
    def tell(value: float, form: str) -> str:
        return "-" if np.isnan(value) else format(value, form)

    money = [tell(row[name], ",.0f") for name in MONEY]
    return (
        str(row["service_id"]),
        str(row["resource"]),
        tell(row["current"], ".3g"),
        tell(row["target"], ".3g"),
        f"{tell(row['lower_bound'], '.3g')}-{tell(row['upper_bound'], '.3g')}",
        str(row["action"]),
        str(row["finding"]),
        tell(row["exceedance"], ".2%"),
        "-" if np.isnan(row["risk"]) else format_risk(row["risk"]),
        f"{money[0]} [{money[1]}, {money[2]}]",
        tell(row["event_probability"], ".1%"),
    )


def _format_promises(asked: dict[str, PolicyRequests]) -> list[str]:
    """Return what came of each resource's promises that have come due."""
    lines = []
    for name, one in asked.items():
        if one.bounds.empty:
            lines.append(f"{name}: no promise of this surface has come due yet")
            continue
        promised, came = (
            "/".join(f"{100 * share:.3g}" for share in one.promises[column])
            for column in ("promised", "realised")
        )
        held = one.bounds.iloc[0]
        lines.append(
            f"{name}, {format_duration(one.due)} that its surface had not learned from: "
            f"{promised}% of {COUNTED[name]} promised above a level, {came}% realised; "
            f"{held['covered']:.1%} of {held['intervals']:,} peaks within P5-P95"
        )
    return lines


def _format_fleet(
    fleet: dict[str, float], prices: PriceCatalogue, nodes: tuple[str, ...]
) -> list[str]:
    unit = prices.currency
    saved, low, high = (f"{fleet[name]:,.0f}" for name in MONEY)
    cost = f"{fleet['current_monthly_cost']:,.0f}"
    told = f"requests cost {cost} {unit} a month at the prices of {prices.name}, {prices.as_of}; "
    lines = [told + f"following the policy saves {saved} [P10 {low}, P90 {high}]"]
    if "packed_monthly_saving" in fleet:
        freed, packed, before, after = (f"{fleet[name]:,.0f}" for name in PACKED)
        told = f"today's targets free requests of {freed} {unit} a month; "
        told += f"nodes for them cost {packed} less: {before} {nodes[0]} become {after} {nodes[-1]}"
        lines.append(told)
    return lines
