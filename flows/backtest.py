"""Replay right-sizing policies over past telemetry: ``python flows/backtest.py``.

Every few hours each policy says what every service should request, from what was known then;
what was used then says what that costs and what it misses. Policies are compared at equal risk.
"""

from __future__ import annotations

from flows import environment  # noqa: F401 - what Prefect reads when it is imported

# isort: split

import time
from typing import Any

from prefect import flow

from flows.command import Prepared, flow_command, start_flow
from flows.engine import open_engine
from flows.tasks.caching import as_is
from flows.tasks.data import load_validated
from flows.tasks.decide import look_ahead, replay
from optimizer.core.config_schema import ExperimentConfig
from optimizer.decisions.backtesting.replay import open_usage
from optimizer.decisions.policies.protocol import Policy
from optimizer.decisions.services.backtest import (
    FILES,
    BacktestResult,
    build_replayed,
    flatten_replay,
    write_backtest,
)
from optimizer.decisions.services.components import Decisions, build_decisions
from optimizer.delivery.console.backtest import show_backtest
from optimizer.demand.grouping import group_services
from optimizer.training.tracking.mlflow_run import track_config

Parts = tuple[Decisions, dict[str, Policy]]


def prepare(config: ExperimentConfig) -> Parts:
    """Return the components of a back-test, and its policies by name."""
    parts = build_decisions(config)
    return parts, build_replayed(config, parts)


@flow(name="backtest", flow_run_name="backtest", validate_parameters=False)
def backtest_flow(
    overrides: list[str] | None = None,
    output_dir: str | None = None,
    prepared: Prepared[Parts] | None = None,
) -> dict[str, Any]:
    """Replay policies and compare them at equal violation rates.

    Returns what ``backtest.json`` holds.

    - ``overrides``: Hydra overrides, for example ``["backtest.resource=memory"]``.
    - ``output_dir``: where tables, plots and ``backtest.json`` go; a directory under ``outputs/``
      if absent.
    """
    began = time.perf_counter()
    ready, output = start_flow(prepared, prepare, overrides, output_dir, "backtest")
    config, (parts, policies), resource = ready.config, ready.parts, ready.config.backtest.resource
    name = f"backtest-{resource}-{parts.source.name}"
    with open_engine(config.runner) as engine, track_config(config, name) as run:
        validated, _ = load_validated(config, parts.source)
        usage = open_usage(parts.replay, validated, resource)
        shared = {"rules": parts.replay, "validated": validated, "resource": resource}
        calls = [
            {"name": name, "policy": as_is(policy), **shared} for name, policy in policies.items()
        ]
        replays = engine.run(replay, calls)
        cutoffs = parts.replay.cutoffs(usage)
        outlook, known = look_ahead(as_is(parts), validated, resource)
        replayed = BacktestResult(
            found=dict(zip(policies, replays, strict=True)),
            usage=usage,
            cutoffs=cutoffs,
            outlook=outlook,
            known=known,
            groups=group_services(usage, int(cutoffs[0]), config.backtest.group),
            prices=parts.prices,
        )
        more = {"run_id": run.run_id, "resource": resource}
        record = write_backtest(replayed, output, more, began)
        run.log_metrics(flatten_replay(record))
        run.log_directory(output / "plots", "plots")
        for file in FILES:
            run.log_file(output / file)
    show_backtest(record, usage, config, output)
    return record


main = flow_command("backtest", prepare, backtest_flow)

if __name__ == "__main__":
    main()
