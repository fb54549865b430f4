"""The steps of a backtest: telemetry, one replay per policy, the outlook, results, MLflow."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from flows import tasks
from flows.backtest_results import FILES, SHOWN, Replayed, show_backtest, write_backtest
from flows.engine import open_engine
from flows.store_steps import load_validated
from optimizer.core.artifacts import write_json
from optimizer.core.config import build, list_choices, preset
from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.errors import ConfigError
from optimizer.decisions.backtesting.replay import Replay, open_usage
from optimizer.decisions.backtesting.tables import ORACLE, REFERENCE, STATIC
from optimizer.demand.grouping import group_services
from optimizer.demand.usage import CPU, MEMORY
from optimizer.training.experiment import build_components
from optimizer.training.tracking.mlflow_run import track_run

NEEDED = (ORACLE, STATIC, REFERENCE)
"""Policies that every table needs to compare with."""


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
        cutoffs = replay.cutoffs(usage)
        outlook, known = tasks.look_ahead(config, validated)
        seen = Replayed(
            found=dict(zip(nodes, done, strict=True)),
            usage=usage,
            cutoffs=cutoffs,
            outlook=outlook,
            known=known,
            groups=group_services(usage, int(cutoffs[0]), config.backtest.group),
            prices=build(config.prices, "prices") if config.prices else None,
        )
        record = write_backtest(seen, output)
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
        for file in FILES:
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
    own = config.choices["policy"]  # it alone can be changed on the command line
    return {
        name: config.policy if file == own else preset("policy", file)
        for name, file in files.items()
    }
