"""What a grid and a study print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from optimizer.core.config_schema import ExperimentConfig
from optimizer.delivery.console.output import echo, show_table
from optimizer.training.leaderboard import grid_rows
from optimizer.training.runs.grid import Job
from optimizer.training.summary import format_difference
from optimizer.training.tuning.settings import Search


def show_grid(tables: list[tuple[str, list[Job]]]) -> None:
    """Print a table per target and data, the best job first."""
    for title, jobs in tables:
        show_table(title, *grid_rows(jobs))


def show_study(record: dict[str, Any], search: Search, config: ExperimentConfig, at: Path) -> None:
    """Print what was tried, what came of it on validation and on test, and what to do next."""
    counts = record["trials"]
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    echo(
        f"study {record['study']}: {sum(counts.values())} trials tried ({told}), "
        f"{record['seconds']:.0f} s in this run"
    )
    if "best" not in record:
        echo("no trial was completed: nothing to choose")
        return
    best, test = record["best"], record["test"]
    validation = best["values"][0]
    others = [f"{one} {record[one]:.5g}" for one in ("defaults", "champion") if one in record]
    beside = f" ({', '.join(others)})" if others else ""
    echo(f"best: trial {best['trial']}, validation {validation:.5g}{beside}")
    if search.objectives[0] == "quality":
        gap = test["value"] - validation
        echo(
            f"test fold, seen by {record['looks_at_test']} configuration(s) of this study: "
            f"{test['metric']} {test['value']:.5g}, {gap:+.5g} from validation",
            format_difference(test["difference"], f"the defaults, {test['defaults']:.5g}")
            if "difference" in test
            else "the defaults were not beaten on validation",
        )
    echo(record["command"])
    if "experiment" in record:
        echo(f"the same: python flows/train.py experiment={record['experiment']}")
    echo(f"pictures: {at / 'study.html'}; run {record['run_id']} in {config.tracking.uri}")
