"""The steps of a feedback simulation: telemetry, rounds per policy, files, MLflow, a page."""

from __future__ import annotations

import time
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.backtest_steps import NEEDED, choose_policies
from flows.engine import open_engine
from flows.messages import say, show_table
from flows.store_steps import load_validated
from optimizer.core.artifacts import ArtifactRef, write_json
from optimizer.core.config import build, list_choices
from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.errors import ConfigError
from optimizer.core.plotting import save_figure
from optimizer.decisions.backtesting.tables import ORACLE
from optimizer.decisions.simulation.closed_loop import FeedbackResult
from optimizer.decisions.simulation.plots import plot_feedback
from optimizer.decisions.simulation.settings import (
    Feedback,
    shown_rounds,
    summarise,
    tabulate_rounds,
)
from optimizer.demand.censoring import tell_clipped
from optimizer.demand.usage import MEMORY
from optimizer.features.storage import load_panel
from optimizer.training.experiment import build_components
from optimizer.training.tracking.mlflow_run import track_run

WORDS = {True: "treated", False: "untreated"}
"""Whether steps at the limit are treated before a policy sees them."""
Simulated = dict[str, dict[bool, FeedbackResult]]
"""Results by policy and whether clipped usage was treated."""


@task(name="simulate-feedback", task_run_name="feedback-{name}-0", cache_policy=NO_CACHE)
def simulate(
    name: str,
    node: dict[str, Any],
    treated: bool,
    config: ExperimentConfig,
    validated: ArtifactRef,
) -> FeedbackResult:
    """Apply one policy's requests round after round, over telemetry opened by reference."""
    settings: Feedback = build(config.feedback, "feedback")
    demand = settings.usage(load_panel(validated), config.backtest.resource)
    return settings.simulate(demand, build(node, f"policy {name}"), treated=treated)


def run_feedback(config: ExperimentConfig, overrides: list[str], output: Path) -> dict[str, Any]:
    """Run every step and return the record of the simulation."""
    began = time.perf_counter()
    parts = build_components(config)
    settings, nodes = choose_feedback(config)
    tracking, resource = config.tracking, config.backtest.resource
    name = f"feedback-{resource}-{parts.source.name}"
    with (
        open_engine(config.runner) as engine,
        track_run(tracking.uri, tracking.experiment, name, tracking.parent) as run,
    ):
        run.log_params({**config.flatten(), "overrides": " ".join(overrides)})
        validated, _ = load_validated(config, parts)
        shared = {"config": config, "validated": validated}
        calls = [
            {"name": policy, "node": node, "treated": treated, **shared}
            for policy, node in nodes.items()
            for treated in WORDS
        ]
        done = iter(engine.run(simulate, calls))
        found = {policy: {treated: next(done) for treated in WORDS} for policy in nodes}
        record = write_feedback(found, output) | {
            "run_id": run.run_id,
            "resource": resource,
            "rounds": settings.rounds,
            "every": settings.every,
            "window": settings.window,
            "repeat": settings.repeat,
            "seconds": time.perf_counter() - began,
        }
        write_json(output / "feedback.json", record)
        run.log_metrics(flatten_figures(record["figures"]))
        run.log_directory(output / "plots", "plots")
        for file in ("feedback.csv", "feedback.json"):
            run.log_file(output / file)
    show_feedback(record, config, output)
    return record


def choose_feedback(config: ExperimentConfig) -> tuple[Feedback, dict[str, dict[str, Any]]]:
    """Return the settings, and the yaml of every policy; one made for memory stands in.

    Raises
    ------
    ConfigError
        A setting is out of range, a policy is unknown or looks ahead, or none is given.
    """
    settings: Feedback = build(config.feedback, "feedback")
    settings.serving(config.backtest.resource)
    wanted = list(dict.fromkeys(settings.policies))
    known = [
        name
        for name in list_choices("policy")
        if name != ORACLE and not name.endswith(f"_{MEMORY}")
    ]
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        raise ConfigError(
            "feedback.policies",
            seen=", ".join(wanted) or "none",
            allowed=f"{', '.join(known)}, at least one",
            fix=f"correct {', '.join(unknown)}" if unknown else "set feedback.policies=[vpa]",
        )
    asked = replace(config.backtest, policies=[*NEEDED, *wanted])
    nodes = choose_policies(replace(config, backtest=asked))
    return settings, {name: nodes[name] for name in wanted}


def write_feedback(found: Simulated, output: Path) -> dict[str, Any]:
    """Write all rounds and the picture, and return the plain record."""
    table = tabulate_rounds(found)
    table.to_csv(output / "feedback.csv", index=False)
    plots = output / "plots"
    plots.mkdir(exist_ok=True)
    treated, untreated = ({name: both[one] for name, both in found.items()} for one in WORDS)
    save_figure(plot_feedback(treated, untreated), plots / "feedback.png")
    figures = [
        {"policy": name, "treated": one, **summarise(result)}
        for name, both in found.items()
        for one, result in both.items()
    ]
    return {"figures": figures, "all_rounds": table.to_dict("records")}


def flatten_figures(figures: list[dict[str, Any]]) -> dict[str, float]:
    """Return every number as ``<policy>.<treated or untreated>.<figure>``."""
    return {
        f"{row['policy']}.{WORDS[row['treated']]}.{key}": float(value)
        for row in figures
        for key, value in row.items()
        if isinstance(value, int | float) and key != "treated" and isfinite(value)
    }


def show_feedback(record: dict[str, Any], config: ExperimentConfig, output: Path) -> None:
    """Print the rounds of every policy, and whether its requests settle."""
    figures = record["figures"]
    unit = "GiB" if record["resource"] == MEMORY else "cores"
    title = f"{record['resource']}, total request ({unit}) by round; shares of the last round"
    show_table(title, *feedback_rows(figures, record["rounds"]))
    for treated, untreated in zip(figures[::2], figures[1::2], strict=True):
        say(tell_policy(treated, untreated))
    if record["repeat"]:
        say(
            f"every round replays the newest {record['window']}: violations are what the feedback "
            "leaves, not those of a forecast"
        )
    say(
        f"{record['rounds']} rounds, requests every {record['every']}, {record['seconds']:.0f} s",
        f"run {record['run_id']} in {config.tracking.uri}; files in {output}",
    )


def feedback_rows(
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


def tell_policy(treated: dict[str, Any], untreated: dict[str, Any]) -> str:
    """Return one plain statement: do a policy's requests settle, and what if untreated."""
    verdict = "settles" if treated["settles"] else "does not settle"
    clipped = tell_clipped(untreated["clipped"])
    return (
        f"{treated['policy']} {verdict} by round {treated['judged_round']}: "
        f"{_tell_changes(treated)} (untreated: {_tell_changes(untreated)}"
        f"{f'; {clipped}' if clipped else ''})"
    )


def _tell_changes(row: dict[str, Any]) -> str:
    settled = row["settled_from"]
    told = f"below 1% a round from round {settled} on"
    if settled is None:
        told = "1% or more still in the last round"
    return f"{told}, {row['change_since_first']:+.2%} since round 1"
