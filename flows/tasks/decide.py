"""Replays, simulations and event probabilities as tasks, over telemetry opened by reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.tasks.caching import artifact_dir
from optimizer.core.artifacts import ArtifactRef
from optimizer.core.config import build
from optimizer.core.config_schema import ExperimentConfig
from optimizer.decisions.backtesting.replay import Replay, open_usage
from optimizer.decisions.backtesting.tables import PolicyReplay, replay_named
from optimizer.decisions.policies.protocol import Policy
from optimizer.decisions.services.components import Decisions
from optimizer.decisions.simulation.closed_loop import SimulationResult
from optimizer.decisions.simulation.settings import SimulationSettings
from optimizer.features.storage import load_panel
from optimizer.models.conformal.predictive import PredictiveDistribution


@task(name="replay-policy", task_run_name="replay-{name}-0", cache_policy=NO_CACHE)
def replay(
    name: str, policy: Policy, rules: Replay, validated: ArtifactRef, resource: str
) -> PolicyReplay:
    """Replay one right-sizing policy over the telemetry."""
    return replay_named(name, policy, rules, open_usage(rules, validated, resource))


@task(name="look-ahead", cache_policy=NO_CACHE)
def look_ahead(
    parts: Decisions, validated: ArtifactRef, resource: str
) -> tuple[PredictiveDistribution, float]:
    """Return the calibrated outlook at every cutoff of a replay, and where a surface was known."""
    usage = open_usage(parts.replay, validated, resource)
    forecast = parts.surfaces[resource].forecast(usage, parts.replay.cutoffs(usage))
    known = ~np.isnan(forecast.exceedance[forecast.start :, :, -1])
    return parts.conformal.predict(usage, forecast), float(known.mean())


@task(name="simulate", task_run_name="simulate-{name}-0", cache_policy=NO_CACHE)
def simulate(
    name: str,  # noqa: ARG001 - of the task's run
    policy: Policy,
    settings: SimulationSettings,
    treated: bool,
    validated: ArtifactRef,
) -> SimulationResult:
    """Apply one policy's requests round after round."""
    return settings.simulate(settings.usage(load_panel(validated)), policy, treated=treated)


@task(name="predict-events", cache_policy=NO_CACHE)
def predict_events(
    trained: Any, validated: ArtifactRef, config: ExperimentConfig, project: str, steps: int
) -> pd.Series[float]:
    """Return the probability of an event by service, from the newest features of the store."""
    from optimizer.delivery.serving.predict import predict_events as predict
    from optimizer.features.store.backfill import open_filled

    panel, groups = load_panel(validated), config.features.groups
    store = open_filled(panel, groups, build(config.store, "store"), project)
    store.register()
    parts = (validated.sha256, groups, config.store, project)
    directory = artifact_dir(config.cache.dir, "latest", *parts)
    return predict(trained, store, panel, steps, directory)
