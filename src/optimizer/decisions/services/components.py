"""What a configuration names for decisions, built once: policies, bounds, replay, prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optimizer.core.config import build, list_choices, load_presets
from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.errors import ConfigError
from optimizer.core.validation import require_choice
from optimizer.decisions.backtesting.replay import Replay
from optimizer.decisions.policies.protocol import Policy
from optimizer.decisions.pricing.catalogue import PriceCatalogue
from optimizer.decisions.recommendations.recommend import RecommendationSettings
from optimizer.decisions.simulation.settings import SimulationSettings
from optimizer.demand.bounds import RequestBounds
from optimizer.demand.usage import CPU, MEMORY
from optimizer.models.conformal.conformal import ConformalCalibrator
from optimizer.models.exceedance.rolling import RollingSurface
from optimizer.sources.base import TelemetrySource
from optimizer.training.experiment import build_surfaces


@dataclass(frozen=True)
class Decisions:
    """Components of requests and recommendations, built: nothing has been read yet.

    ``source``, ``bounds``, ``conformal``, ``replay``, ``recommend``, ``simulate``: one component
    each. ``surfaces``, ``policies``: one component per resource. ``prices``: without one nothing is
    told in money.
    """

    source: TelemetrySource
    bounds: RequestBounds
    conformal: ConformalCalibrator
    replay: Replay
    recommend: RecommendationSettings
    simulate: SimulationSettings
    surfaces: Mapping[str, RollingSurface]
    policies: Mapping[str, Policy]
    prices: PriceCatalogue | None


def build_decisions(config: ExperimentConfig) -> Decisions:
    """Build every component of decisions, before any data is read.

    Raises ConfigError: a value is out of its range.
    """
    require_choice("backtest.resource", config.backtest.resource, (CPU, MEMORY))
    return Decisions(
        source=build(config.data, "data", TelemetrySource),
        bounds=build(config.bounds, "bounds", RequestBounds),
        conformal=build(config.conformal, "conformal", ConformalCalibrator),
        replay=build(config.replay, "replay", Replay),
        recommend=build(config.recommend, "recommend", RecommendationSettings),
        simulate=build(config.simulate, "simulate", SimulationSettings),
        surfaces=build_surfaces(config),
        policies={
            resource: build(node, f"policy.{resource}", Policy)
            for resource, node in config.policy.items()
        },
        prices=build(config.prices, "prices", PriceCatalogue) if config.prices else None,
    )


def policy_nodes(
    config: ExperimentConfig,
    resource: str,
    names: Sequence[str] | None,
    key: str,
    *,
    needed: Sequence[str] = (),
    refused: Sequence[str] = (),
) -> dict[str, dict[str, Any]]:
    """Return the node of several policies of a resource, by name.

    The chosen policy is as the user changed it, the others as their yamls are. ``resource``:
    ``"cpu"`` or ``"memory"``. ``names``: choices of ``policy/<resource>``; all of them if absent.
    ``needed``, ``refused``: policies that must, and that cannot be among them. Raises ConfigError:
    an unknown policy, none at all, or one that is needed was left out.
    """
    group = f"policy/{resource}"
    known = [name for name in list_choices(group) if name not in refused]
    wanted = list(dict.fromkeys(known if names is None else names))
    unknown = [name for name in wanted if name not in known]
    missing = [name for name in needed if name not in wanted]
    if unknown or missing or not wanted:
        must = f"; {', '.join(needed)} among them" if needed else ", at least one"
        fix = f"correct {', '.join(unknown)}" if unknown else f"add {', '.join(missing) or 'vpa'}"
        raise ConfigError(
            key, seen=", ".join(wanted) or "none", allowed=f"{', '.join(known)}{must}", fix=fix
        )
    chosen = config.choices[group]
    others = [name for name in wanted if name != chosen]
    presets = load_presets(group, others, config.overrides) if others else {}
    return {name: config.policy[resource] if name == chosen else presets[name] for name in wanted}


def build_policies(
    nodes: Mapping[str, dict[str, Any]], surface: RollingSurface, resource: str
) -> dict[str, Policy]:
    """Return policies by name, those that ask a surface asking this one."""
    return {
        name: build(node, f"policy.{resource}", Policy).with_surface(surface)
        for name, node in nodes.items()
    }
