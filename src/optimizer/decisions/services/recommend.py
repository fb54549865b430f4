"""Recommendations for a fleet: champions asked, priced, and packed; typed, and nothing written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.errors import ConfigError
from optimizer.core.panel import Panel
from optimizer.decisions.backtesting.tables import ORACLE
from optimizer.decisions.pricing.catalogue import PriceCatalogue
from optimizer.decisions.recommendations.pricing import join_resources, price_recommendations
from optimizer.decisions.recommendations.recommend import recommend_resource
from optimizer.decisions.recommendations.replica_profile import Replicas, split_services
from optimizer.decisions.recommendations.snapshot import PolicyRequests, evaluate_policy
from optimizer.decisions.services.components import Decisions
from optimizer.demand.from_panel import METRICS
from optimizer.demand.usage import CPU, MEMORY
from optimizer.training.tracking.mlflow_run import TrackedRun
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

    ``events``: model of scale events; None if there is no champion. ``without_events``: why there
    is none, and what to do about it.
    """

    versions: dict[str, Version]
    surfaces: dict[str, Any]
    events: Any
    without_events: str = ""


@dataclass(frozen=True)
class RecommendationResult:
    """Recommendations, ready to be written and shown.

    - ``fleet``: money per month.
    - ``nodes``: type of the nodes that were packed, before and after.
    - ``asked``: what was asked, by resource.
    - ``catalogue``: prices.
    - ``models``: version of each champion, by target.
    - ``deadband``: changes of less than this share of the present request are not worth a patch.
    """

    replicas: Replicas
    fleet: dict[str, float]
    nodes: tuple[str, ...]
    asked: dict[str, PolicyRequests]
    catalogue: PriceCatalogue | None
    models: dict[str, str]
    policies: dict[str, str]
    data: str
    notes: tuple[str, ...]
    deadband: float

    @property
    def frame(self) -> pd.DataFrame:
        """The recommendations, one row per service and resource."""
        return self.replicas.frame

    @property
    def span(self) -> tuple[pd.Timestamp, pd.Timestamp]:
        """The newest moment known, and the end of the coming interval."""
        usage = next(iter(self.asked.values())).case.usage
        now = pd.Timestamp(usage.timestamps[-1], tz="UTC")
        return now, now + self.hold

    @property
    def hold(self) -> pd.Timedelta:
        """How long a request holds."""
        return next(iter(self.asked.values())).hold


def recommend(
    config: ExperimentConfig,
    parts: Decisions,
    panel: Panel,
    champions: Champions,
    events: pd.Series[float] | None,
    data: str,
) -> RecommendationResult:
    """Return what every service should request until the next cutoff, and what that saves.

    ``config``: gives the seed and the names of the policies. ``champions``: see
    :func:`load_champions`. ``events``: probability of a scale event by service.
    """
    requests = {
        resource: evaluate_policy(
            parts.policies[resource], surface, panel, parts.recommend, parts.bounds, parts.conformal
        )
        for resource, surface in champions.surfaces.items()
    }
    frames = [recommend_resource(one.case, parts.recommend) for one in requests.values()]
    joined = join_resources(frames, events)
    priced = price_recommendations(joined, requests, parts.prices, parts.recommend, config.seed)
    usage = requests[CPU].case.usage
    return RecommendationResult(
        replicas=split_services(priced.frame, usage, parts.prices, parts.recommend),
        fleet=priced.fleet,
        nodes=priced.nodes,
        asked=requests,
        catalogue=parts.prices,
        models={name: f"version {one.version}" for name, one in champions.versions.items()},
        policies={resource: config.choices[f"policy/{resource}"] for resource in requests},
        data=data,
        notes=format_notes(requests, parts.prices, champions),
        deadband=parts.recommend.deadband,
    )


def refuse_oracle(config: ExperimentConfig) -> None:
    """Raise if a policy that looks ahead is to recommend.

    Raises ConfigError: it names the policy.
    """
    for resource in config.policy:
        if config.choices[f"policy/{resource}"] == ORACLE:
            raise ConfigError(
                f"policy/{resource}",
                seen=ORACLE,
                allowed="a policy that does not look ahead",
                fix=f"set policy/{resource}=vpa, or leave it out",
            )


def load_champions(run: TrackedRun, panel: Panel, data: str, overrides: list[str]) -> Champions:
    """Return the champions of every resource that the telemetry has, and of scale events.

    Raises ConfigError: a surface was not trained yet, or is no champion.
    """
    versions, surfaces = {}, {}
    for resource, target in SURFACES.items():
        if not panel.has(METRICS[resource][0]):
            continue
        found = find_champion(run, f"{target}-{data}")
        if found is None:
            seen, fix = format_missing(run, f"{target}-{data}", training_command(target, overrides))
            allowed = "a champion: a trained exceedance surface that beat the baselines"
            raise ConfigError(f"registry {target}-{data}", seen=seen, allowed=allowed, fix=fix)
        versions[target] = found
        surfaces[resource] = load_trained(found)
    events = find_champion(run, f"{EVENTS}-{data}")
    if events is None:
        seen, fix = format_missing(run, f"{EVENTS}-{data}", training_command(EVENTS, overrides))
        why = f"event probabilities are unknown: {seen} of {EVENTS}-{data}; {fix}"
        return Champions(versions, surfaces, None, why)
    return Champions(versions | {EVENTS: events}, surfaces, load_trained(events))


def format_missing(run: TrackedRun, name: str, command: str) -> tuple[str, str]:
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


def format_notes(
    requests: Mapping[str, PolicyRequests], catalogue: PriceCatalogue | None, champions: Champions
) -> tuple[str, ...]:
    """Return what a reader must know beside the figures."""
    notes = []
    for name, one in requests.items():
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
    return tuple(notes)
