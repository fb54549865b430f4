"""The steps of a backtest: telemetry, one replay per policy, tables, pictures, MLflow."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import tasks
from messages import say, show_table
from optimizer.config import build, list_choices, preset
from optimizer.config_schema import ExperimentConfig
from optimizer.errors import ConfigError
from optimizer.evaluation.plots_style import save_figure
from optimizer.experiment import build_components
from optimizer.io.artifacts import write_json
from optimizer.io.experiments import open_usage
from optimizer.io.tracking import track_run
from optimizer.rightsizing.backtest import (
    ORACLE,
    REFERENCE,
    STATIC,
    PolicyReplay,
    compare_rules,
    frame_requests,
    mean_utilisation,
    tabulate_figures,
    tabulate_frontier,
    tabulate_services,
)
from optimizer.rightsizing.base import CPU, MEMORY, Usage
from optimizer.rightsizing.plots import busiest_service, plot_frontiers, plot_requests
from optimizer.rightsizing.replay import Replay
from optimizer.rightsizing.replay_metrics import HOURS
from runners import open_engine
from store_steps import load_validated

BUSY = 0.02
"""Mean utilisation above which a service is no idle one."""
NEEDED = (ORACLE, STATIC, REFERENCE)
"""Policies that every table needs to compare with."""
SHOWN = {
    "cost_vs_oracle": ("x oracle", ".3f"),
    "cost_vs_static": ("x today", ".3f"),
    "violation_rate": ("violated", ".3%"),
    "unmet_share": ("unmet", ".3%"),
    "violated_intervals_share": ("intervals hit", ".2%"),
    "slack": ("slack", ".1%"),
    "changes_per_service_day": ("changes/day", ".2f"),
    "kills_per_service_week": ("kills/week", ".3f"),
}


def run_backtest(config: ExperimentConfig, overrides: list[str], output: Path) -> dict[str, Any]:
    """Run every step and return the record of the backtest."""
    began = time.perf_counter()
    parts = build_components(config)
    nodes = choose_policies(config)
    replay: Replay = build(config.replay, "replay")
    tracking, resource = config.tracking, config.backtest.resource
    name = f"backtest-{resource}-{parts.source.name}"
    with (
        open_engine(config.runner) as engine,
        track_run(tracking.uri, tracking.experiment, name, tracking.parent) as run,
    ):
        run.log_params({**config.flatten(), "overrides": " ".join(overrides)})
        validated, _ = load_validated(config, parts)
        usage = open_usage(replay, validated, resource)
        calls = [
            {
                "name": policy,
                "node": node,
                "config": config,
                "validated": validated,
            }
            for policy, node in nodes.items()
        ]
        done = engine.run(tasks.replay, calls)
        found = dict(zip(nodes, done, strict=True))
        record = write_backtest(found, usage, replay, output)
        record |= {
            "run_id": run.run_id,
            "resource": resource,
            "seconds": time.perf_counter() - began,
        }
        write_json(output / "backtest.json", record)
        run.log_metrics(
            {
                f"{row['policy']}.{key}": row[key]
                for row in record["figures"]
                for key in SHOWN
                if key in row
            }
        )
        run.log_directory(output / "plots", "plots")
        for file in ("frontier.csv", "comparison.csv", "services.csv", "backtest.json"):
            run.log_file(output / file)
    show_backtest(record, usage, config, output)
    return record


def choose_policies(config: ExperimentConfig) -> dict[str, dict[str, Any]]:
    """Return the yaml of every policy to replay; one made for memory stands in for its namesake.

    Raises
    ------
    ConfigError
        An unknown resource or policy, or one that the tables need was left out.
    """
    resource, known = config.backtest.resource, list_choices("policy")
    if resource not in (CPU, MEMORY):
        raise ConfigError(
            "backtest.resource",
            seen=repr(resource),
            allowed=f"{CPU}, {MEMORY}",
            fix=f"set backtest.resource={CPU}",
        )
    plain = [name for name in known if not name.endswith(f"_{MEMORY}")]
    wanted = config.backtest.policies or plain
    unknown = [name for name in wanted if name not in plain]
    missing = [name for name in NEEDED if name not in wanted]
    if unknown or missing:
        raise ConfigError(
            "backtest.policies",
            seen=", ".join(wanted),
            allowed=f"{', '.join(plain)}; {', '.join(NEEDED)} among them",
            fix=f"correct {', '.join(unknown)}" if unknown else f"add {', '.join(missing)}",
        )
    special = {name: f"{name}_{MEMORY}" for name in wanted if f"{name}_{MEMORY}" in known}
    files = {name: special.get(name, name) if resource == MEMORY else name for name in wanted}
    return {name: preset("policy", file) for name, file in files.items()}


def write_backtest(
    found: dict[str, PolicyReplay], usage: Usage, replay: Replay, output: Path
) -> dict[str, Any]:
    """Write requests, tables and plots, and return the plain record."""
    cutoffs = replay.cutoffs(usage)
    busy = mean_utilisation(usage) > BUSY
    frontier, comparison = tabulate_frontier(found), compare_rules(found)
    frame_requests(found, usage, cutoffs).to_parquet(output / "requests.parquet", index=False)
    frontier.to_csv(output / "frontier.csv", index=False)
    comparison.to_csv(output / "comparison.csv", index=False)
    tabulate_services(found, usage).to_csv(output / "services.csv", index=False)
    plots = output / "plots"
    plots.mkdir(exist_ok=True)
    save_figure(plot_frontiers(found), plots / "frontier.png")
    service = busiest_service(usage, cutoffs)
    save_figure(plot_requests(found, usage, cutoffs, service), plots / "requests.png")
    ends = usage.timestamps[[cutoffs[0] - 1, cutoffs[-1] - 1]]
    return {
        "services": usage.n_services,
        "busy_services": int(busy.sum()),
        "cutoffs": len(cutoffs),
        "first": str(ends[0]),
        "last": str(ends[1]),
        "figures": tabulate_figures(found).to_dict("records"),
        "busy_figures": (
            tabulate_figures(found, busy).to_dict("records")
            if busy.any() and not busy.all()
            else []
        ),
        "frontier": frontier.to_dict("records"),
        "comparison": comparison.to_dict("records"),
    }


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
    show_table("cost (x oracle) at equal violation rate", *frontier_rows(record["frontier"]))
    for line in tell_best(record):
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
            f"{row['knob']:g}",
            *(format(row[key], form) for key, (_, form) in shown.items()),
            f"{row[hours]:,.0f}",
        )
        for row in ranked
    ]
    heads = (head for head, _ in shown.values())
    return ("policy", "setting", *heads, hours.replace("_", "-")), rows


def frontier_rows(
    frontier: list[dict[str, Any]],
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return head and rows of the costs at each limit, alone and with unmet demand capped."""
    table = pd.DataFrame(frontier)
    wide = table.pivot_table(
        index="policy", columns=["unmet_capped", "limit"], values="cost", dropna=False, sort=True
    )
    heads = tuple(f"{limit:.1%}{', capped' if capped else ''}" for capped, limit in wide.columns)
    order = np.argsort(wide.iloc[:, wide.columns.get_loc((True, 0.01))].fillna(np.inf))
    rows = [
        (str(name), *("-" if np.isnan(value) else f"{value:.3f}" for value in values))
        for name, values in zip(wide.index[order], wide.to_numpy()[order], strict=True)
    ]
    return ("policy", *heads), rows


def tell_best(record: dict[str, Any]) -> list[str]:
    """Return one line per limit and criterion: the cheapest policy against the best other rule."""
    table = pd.DataFrame(record["comparison"])
    lines = []
    for (capped, limit), rows in table.groupby(["unmet_capped", "limit"]):
        met = rows[rows["change"].notna() & (rows["change"] < 0)]
        if len(met):
            best = met.sort_values("cost").iloc[0]
            told = ", unmet demand capped" if capped else ""
            lines.append(
                f"at {limit:.1%}{told}: {best['policy']} is cheapest, "
                f"{best['change']:+.1%} [{best['lower']:+.1%}, {best['upper']:+.1%}] "
                f"against {best['best_rule']}, the best rule"
            )
    return lines
