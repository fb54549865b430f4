"""Recommend requests for every service: ``python flows/recommend.py prices=aws``.

The newest telemetry and the champions of the registry say what each service should request until
the next cutoff, what that saves and at what risk. Nothing is applied.
"""

from __future__ import annotations

from flows import environment  # noqa: F401 - what Prefect reads when it is imported

# isort: split

import time
from math import isfinite
from typing import Any

import pandas as pd
from prefect import flow

from flows.command import Prepared, flow_command, start_flow
from flows.engine import open_engine
from flows.tasks.caching import as_is
from flows.tasks.data import load_validated
from flows.tasks.decide import predict_events
from flows.tasks.store import store_validated
from optimizer.core.artifacts import ArtifactRef
from optimizer.core.config import build
from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.durations import count_steps, parse_duration
from optimizer.decisions.services.components import Decisions, build_decisions
from optimizer.decisions.services.recommend import (
    Champions,
    load_champions,
    recommend,
    refuse_oracle,
)
from optimizer.delivery.console.output import echo
from optimizer.delivery.console.recommend import show_recommendations
from optimizer.delivery.patches.writer import Patches
from optimizer.delivery.recommendations import write_recommendations
from optimizer.features.storage import load_panel
from optimizer.features.store.settings import project_of
from optimizer.training.tracking.mlflow_run import track_config

Parts = tuple[Decisions, Patches]


def prepare(config: ExperimentConfig) -> Parts:
    """Return the components of a recommendation, and what writes its patches."""
    refuse_oracle(config)
    return build_decisions(config), build(config.patches, "patches", Patches)


@flow(name="recommend", flow_run_name="recommend", validate_parameters=False)
def recommend_flow(
    overrides: list[str] | None = None,
    output_dir: str | None = None,
    prepared: Prepared[Parts] | None = None,
) -> dict[str, Any]:
    """Recommend requests, price them, and write tables, a report and patches.

    Returns what ``recommend.json`` holds.

    - ``overrides``: Hydra overrides, for example ``["prices=aws", "policy.cpu.lambda_=10"]``.
    - ``output_dir``: where ``recommendations.csv``, ``.json`` and ``.parquet``, ``report.html`` and
      ``patches/`` go; a directory under ``outputs/`` if absent.
    """
    began = time.perf_counter()
    ready, output = start_flow(prepared, prepare, overrides, output_dir, "recommend")
    config, (parts, patches) = ready.config, ready.parts
    with track_config(config, f"recommend-{parts.source.name}") as run:
        validated, _ = load_validated(config, parts.source)
        panel = load_panel(validated)
        champions = load_champions(run, panel, parts.source.name, config.overrides)
        events = ask_events(config, parts, validated, panel.step, champions)
        recommended = recommend(config, parts, panel, champions, events, parts.source.name)
        for note in recommended.notes:
            echo(note)
        record = write_recommendations(recommended, patches, output)
        record |= {"run_id": run.run_id, "seconds": time.perf_counter() - began}
        fleet = recommended.fleet
        run.log_metrics({key: value for key, value in fleet.items() if isfinite(value)})
        run.log_directory(output, "recommendations")
    show_recommendations(recommended, record, config, output)
    return record


def ask_events(
    config: ExperimentConfig,
    parts: Decisions,
    validated: ArtifactRef,
    step: pd.Timedelta,
    champions: Champions,
) -> pd.Series[float] | None:
    """Return the probability of a scale event by service, None without a champion."""
    if champions.events is None:
        return None
    project = project_of(config, parts.source.name)
    with open_engine(config.runner) as engine:
        store_validated(config, validated, project, map_fn=engine.map_fn)
    stale = parse_duration(parts.recommend.stale_after, "recommend.stale_after")
    steps = count_steps(stale, step)
    return predict_events(as_is(champions.events), validated, config, project, steps)


main = flow_command("recommend", prepare, recommend_flow)

if __name__ == "__main__":
    main()
