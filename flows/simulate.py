"""Apply recommendations round after round, in a simulation: ``python flows/simulate.py``.

What is above a limit is never observed, so a rule that learns from usage under its own requests
may ask for less each time. Do requests settle, or spiral down?
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
from flows.tasks.decide import simulate
from optimizer.core.artifacts import write_json
from optimizer.core.config_schema import ExperimentConfig
from optimizer.decisions.policies.protocol import Policy
from optimizer.decisions.services.components import Decisions, build_decisions
from optimizer.decisions.services.simulate import (
    WORDS,
    build_simulated,
    flatten_figures,
    write_simulation,
)
from optimizer.delivery.console.simulate import show_simulation
from optimizer.training.tracking.mlflow_run import track_config

Parts = tuple[Decisions, dict[str, Policy]]


def prepare(config: ExperimentConfig) -> Parts:
    """Return the components of a simulation, and its policies by name."""
    parts = build_decisions(config)
    return parts, build_simulated(config, parts)


@flow(name="simulate", flow_run_name="simulate", validate_parameters=False)
def simulate_flow(
    overrides: list[str] | None = None,
    output_dir: str | None = None,
    prepared: Prepared[Parts] | None = None,
) -> dict[str, Any]:
    """Simulate rounds of requests, with usage at limits treated for censoring and without.

    Returns what ``simulation.json`` holds.

    - ``overrides``: Hydra overrides, for example ``["simulate.resource=memory"]``.
    - ``output_dir``: where ``simulation.csv``, ``simulation.json`` and ``plots/`` go; a directory
      under ``outputs/`` if absent.
    """
    began = time.perf_counter()
    ready, output = start_flow(prepared, prepare, overrides, output_dir, "simulate")
    config, (parts, policies) = ready.config, ready.parts
    settings = parts.simulate
    name = f"simulate-{settings.resource}-{parts.source.name}"
    with open_engine(config.runner) as engine, track_config(config, name) as run:
        validated, _ = load_validated(config, parts.source)
        shared = {"settings": settings, "validated": validated}
        calls = [
            {"name": policy, "policy": as_is(asked), "treated": treated, **shared}
            for policy, asked in policies.items()
            for treated in WORDS
        ]
        results = iter(engine.run(simulate, calls))
        simulated = {name: {treated: next(results) for treated in WORDS} for name in policies}
        record = write_simulation(simulated, output) | {
            "run_id": run.run_id,
            "resource": settings.resource,
            "rounds": settings.rounds,
            "interval": settings.interval,
            "window": settings.window,
            "repeat": settings.repeat,
            "seconds": time.perf_counter() - began,
        }
        write_json(output / "simulation.json", record)
        run.log_metrics(flatten_figures(record["figures"]))
        run.log_directory(output / "plots", "plots")
        for file in ("simulation.csv", "simulation.json"):
            run.log_file(output / file)
    show_simulation(record, config, output)
    return record


main = flow_command("simulate", prepare, simulate_flow)

if __name__ == "__main__":
    main()
