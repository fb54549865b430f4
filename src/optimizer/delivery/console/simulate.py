"""What a simulation prints: the rounds of every policy, and whether its requests settle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from optimizer.core.config_schema import ExperimentConfig
from optimizer.decisions.services.simulate import WORDS
from optimizer.decisions.simulation.settings import shown_rounds
from optimizer.delivery.console.output import echo, show_table
from optimizer.demand.censoring import format_clipped
from optimizer.demand.usage import MEMORY


def show_simulation(record: dict[str, Any], config: ExperimentConfig, output: Path) -> None:
    """Print the rounds of every policy, and whether its requests settle."""
    figures = record["figures"]
    unit = "GiB" if record["resource"] == MEMORY else "cores"
    title = f"{record['resource']}, total request ({unit}) by round; shares of the last round"
    show_table(title, *simulation_rows(figures, record["rounds"]))
    for treated, untreated in zip(figures[::2], figures[1::2], strict=True):
        echo(format_policy(treated, untreated))
    if record["repeat"]:
        echo(
            f"every round replays the newest {record['window']}: violations are what the feedback "
            "leaves, not those of a forecast"
        )
    echo(
        f"{record['rounds']} rounds, requests every {record['interval']}, "
        f"{record['seconds']:.0f} s",
        f"run {record['run_id']} in {config.tracking.uri}; files in {output}",
    )


def simulation_rows(
    figures: list[dict[str, Any]], rounds: int
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return head and rows of the simulations, one line each."""
    shown, judged = shown_rounds(rounds), figures[0]["judged_round"]
    rows = [
        (
            row["policy"],
            WORDS[row["treated"]],
            *(f"{row[f'request_{number}']:,.1f}" for number in shown),
            f"{row['change']:+.2%}",
            f"{row['change_since_first']:+.2%}",
            f"{row['violation_rate']:.3%}",
            f"{row['unmet_share']:.3%}",
            f"{row['replicas']:.2f}",
            "never" if row["settled_from"] is None else f"round {row['settled_from']}",
        )
        for row in figures
    ]
    totals = (f"round {number}" for number in shown)
    ends = ("violated", "unmet", "replicas", "settled from")
    head = ("policy", "usage at limits", *totals, f"change in {judged}", "since 1", *ends)
    return head, rows


def format_policy(treated: dict[str, Any], untreated: dict[str, Any]) -> str:
    """Return one plain statement: do a policy's requests settle, and what if untreated."""
    verdict = "settles" if treated["settles"] else "does not settle"
    clipped = format_clipped(untreated["clipped"])
    return (
        f"{treated['policy']} {verdict} by round {treated['judged_round']}: "
        f"{_format_changes(treated)} (untreated: {_format_changes(untreated)}"
        f"{f'; {clipped}' if clipped else ''})"
    )


def _format_changes(row: dict[str, Any]) -> str:
    settled = row["settled_from"]
    told = f"below 1% a round from round {settled} on"
    if settled is None:
        told = "1% or more still in the last round"
    return f"{told}, {row['change_since_first']:+.2%} since round 1"
