"""The steps of a recommendation: telemetry, champions, requests, prices, files, MLflow."""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import pandas as pd

from flows import tasks
from flows.engine import open_engine
from flows.messages import say
from flows.recommend_results import Recommended, show_recommendations, write_recommendations
from flows.store_steps import load_validated, project_of, store_validated
from optimizer.core.artifacts import ArtifactRef
from optimizer.core.config import build, list_choices, preset
from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.durations import count_steps, parse_duration
from optimizer.core.errors import ConfigError
from optimizer.core.panel import Panel
from optimizer.decisions.backtesting.replay import Replay
from optimizer.decisions.policies.protocol import Policy
from optimizer.decisions.pricing.catalogue import PriceCatalogue
from optimizer.decisions.recommendations.pricing import Priced, join_resources, price_advice
from optimizer.decisions.recommendations.recommend import Advice, advise
from optimizer.decisions.recommendations.replica_profile import Replicas, split_services
from optimizer.decisions.recommendations.snapshot import Asked, ask_policy
from optimizer.delivery.patches.settings import PatchSettings
from optimizer.demand.from_panel import METRICS
from optimizer.demand.usage import CPU, MEMORY
from optimizer.features.storage import load_panel
from optimizer.training.experiment import Components, build_components
from optimizer.training.tracking.mlflow_run import TrackedRun, track_run
from optimizer.training.tracking.registry import (
    Version,
    find_challenger,
    find_champion,
    load_trained,
)

SURFACES = {CPU: "exceedance", MEMORY: "exceedance_memory"}
"""Target whose champion forecasts each resource."""
EVENTS = "scale_event"
"""Target whose champion forecasts events."""


@dataclass(frozen=True)
class Champions:
    """What the registry holds for some telemetry.

    Parameters
    ----------
    versions : dict
        Registered version by target.
    surfaces : dict
        Trained surface by resource.
    events : TrainedModel, optional
        Of scale events; None if there is no champion.
    without_events : str
        Why there is none, and what to do about it.
    """

    versions: dict[str, Version]
    surfaces: dict[str, Any]
    events: Any
    without_events: str = ""


def run_recommend(config: ExperimentConfig, overrides: list[str], output: Path) -> dict[str, Any]:
    """Run every step and return the record of the recommendation."""
    began = time.perf_counter()
    parts = build_components(config)
    settings: Advice = build(config.recommend, "recommend")
    patches: PatchSettings = build(config.patches, "patches")
    catalogue = build(config.prices, "prices") if config.prices else None
    policies = choose_policies(config)
    tracking = config.tracking
    with track_run(tracking.uri, tracking.experiment, f"recommend-{parts.source.name}") as run:
        run.log_params({**config.flatten(), "overrides": " ".join(overrides)})
        validated, _ = load_validated(config, parts)
        panel = load_panel(validated)
        champions = load_champions(run, panel, parts.source.name, overrides)
        asked = {
            name: ask_policy(policies[name], surface, panel, settings, build_replay(config))
            for name, surface in champions.surfaces.items()
        }
        events = predict_events(config, parts, validated, panel, champions, settings)
        priced, replicas = assemble(asked, events, catalogue, settings, config.seed)
        found = Recommended(
            replicas=replicas,
            fleet=priced.fleet,
            nodes=priced.nodes,
            asked=asked,
            catalogue=catalogue,
            models={name: f"version {one.version}" for name, one in champions.versions.items()},
            policy=config.choices["policy"],
            data=parts.source.name,
            notes=tell_notes(asked, catalogue, champions),
            deadband=settings.deadband,
        )
        record = write_recommendations(found, patches, output)
        record |= {"run_id": run.run_id, "seconds": time.perf_counter() - began}
        run.log_metrics({key: value for key, value in priced.fleet.items() if isfinite(value)})
        run.log_directory(output, "recommendations")
    show_recommendations(found, record, config, output)
    return record


def build_replay(config: ExperimentConfig) -> Replay:
    """Return the rules that every request is held to."""
    rules: Replay = build(config.replay, "replay")
    return rules


def choose_policies(config: ExperimentConfig) -> dict[str, Policy]:
    """Return the chosen policy per resource: one made for memory stands in for its namesake.

    Raises
    ------
    ConfigError
        The policy looks ahead.
    """
    name = config.choices["policy"]
    if name == "peak_oracle":
        raise ConfigError(
            "policy",
            seen=name,
            allowed="a policy that does not look ahead",
            fix="set policy=cost_optimal",
        )
    special = f"{name}_{MEMORY}"
    memory = preset("policy", special) if special in list_choices("policy") else config.policy
    return {CPU: build(config.policy, "policy"), MEMORY: build(memory, "policy")}


def load_champions(run: TrackedRun, panel: Panel, data: str, overrides: list[str]) -> Champions:
    """Return the champions of every resource that the telemetry has, and of scale events.

    Raises
    ------
    ConfigError
        A surface was not trained yet, or is no champion.
    """
    versions, surfaces = {}, {}
    for resource, target in SURFACES.items():
        if not panel.has(METRICS[resource][0]):
            continue
        found = find_champion(run, f"{target}-{data}")
        if found is None:
            seen, fix = tell_missing(run, f"{target}-{data}", training_command(target, overrides))
            allowed = "a champion: a trained exceedance surface that beat the baselines"
            raise ConfigError(f"registry {target}-{data}", seen=seen, allowed=allowed, fix=fix)
        versions[target] = found
        surfaces[resource] = load_trained(found)
    events = find_champion(run, f"{EVENTS}-{data}")
    if events is None:
        seen, fix = tell_missing(run, f"{EVENTS}-{data}", training_command(EVENTS, overrides))
        why = f"event probabilities are unknown: {seen} of {EVENTS}-{data}; {fix}"
        return Champions(versions, surfaces, None, why)
    return Champions(versions | {EVENTS: events}, surfaces, load_trained(events))


def tell_missing(run: TrackedRun, name: str, command: str) -> tuple[str, str]:
    """Return what there is in place of a champion, and what to do about it."""
    found = find_challenger(run, name)
    if found is None:
        return "no version", f"train first: {command}"
    alias = f"set_registered_model_alias('{name}', 'champion', {found.version})"
    fix = (
        "train on more history, since it did not beat what it was held against, or make it champion"
    )
    return (
        f"version {found.version} as challenger only",
        f"{fix} all the same: MlflowClient().{alias}",
    )


def training_command(target: str, overrides: list[str]) -> str:
    """Return the command that trains a target on the same telemetry."""
    kept = [
        one
        for key in ("data", "tracking")
        for one in overrides
        if one.split("=")[0].split(".")[0] == key
    ]
    return " ".join(["python flows/train.py", f"target={target}", *kept])


def predict_events(
    config: ExperimentConfig,
    parts: Components,
    validated: ArtifactRef,
    panel: Panel,
    champions: Champions,
    settings: Advice,
) -> pd.Series[float] | None:
    """Return the probability of a scale event by service, from the store's newest features."""
    if champions.events is None:
        return None
    project = project_of(config, parts.source.name)
    with open_engine(config.runner) as engine:
        store_validated(config, validated, project, spread=engine.spread)
    steps = count_steps(parse_duration(settings.stale_after, "recommend.stale_after"), panel.step)
    found: pd.Series[float] = tasks.predict_events(
        champions.events, validated, config, project, steps
    )
    return found


def assemble(
    asked: dict[str, Asked],
    events: pd.Series[float] | None,
    catalogue: PriceCatalogue | None,
    settings: Advice,
    seed: int,
) -> tuple[Priced, Replicas]:
    """Return the priced recommendations, and the replicas of those that scale out."""
    frames = [advise(one.case, settings) for one in asked.values()]
    priced = price_advice(join_resources(frames, events), asked, catalogue, settings, seed)
    return priced, split_services(priced.frame, asked[CPU].case.usage, catalogue, settings)


def tell_notes(
    asked: dict[str, Asked],
    catalogue: PriceCatalogue | None,
    champions: Champions,
) -> tuple[str, ...]:
    """Return what a reader must know beside the figures."""
    notes = []
    for name, one in asked.items():
        known = one.case.capacity_known
        unknown = [s for s, fine in zip(one.case.usage.services, known, strict=True) if not fine]
        if unknown:
            more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
            notes.append(
                f"{name} capacity unknown: {', '.join(unknown[:5])}{more}; their targets are "
                "shares of it"
            )
    if catalogue is None:
        notes.append("no prices given: savings are unknown; add prices=aws, azure, gcp or your own")
    if champions.without_events:
        notes.append(champions.without_events)
    for line in notes:
        say(line)
    return tuple(notes)
