"""A setting that back-test, simulation, recommendation and training share is one setting."""

from __future__ import annotations

from typing import Any

import pytest

from flows import backtest, recommend, simulate
from optimizer.core.artifacts import digest
from optimizer.core.config import build, load_config
from optimizer.decisions.policies.protocol import Policy
from optimizer.decisions.services.components import Decisions, build_decisions
from optimizer.models.exceedance.rolling import RollingSurface
from optimizer.training.experiment import build_components

FEW = "features=minimal"
FIELDS = {
    "seed": "seed",
    "threads": "threads",
    "surface.cpu.model.rounds": "model.rounds",
    "surface.cpu.recalibration.prior": "recalibration.prior",
}
"""Keys that the surface of CPU holds, and where."""


def value_of(part: Any, field: str) -> Any:
    for name in field.split("."):
        part = getattr(part, name)
    return part


def surfaces_of(overrides: list[str]) -> dict[str, RollingSurface]:
    """Return the surface of CPU wherever one is held, by the command that holds it."""
    config = load_config([FEW, "target=exceedance", *overrides])
    replayed, simulated, recommended = (
        one.prepare(config) for one in (backtest, simulate, recommend)
    )
    found: dict[str, RollingSurface] = {
        "training": build_components(config).surfaces["cpu"],
        "back-test": replayed[0].surfaces["cpu"],
        "simulation": simulated[0].surfaces["cpu"],
        "recommendation": recommended[0].surfaces["cpu"],
    }
    for command, policies in (("back-test", replayed[1]), ("simulation", simulated[1])):
        asking: dict[str, Any] = {name: one for name, one in policies.items() if one.learns}
        assert "cost_optimal" in asking
        found |= {f"{command} {name}": policy._surface for name, policy in asking.items()}
    return found


@pytest.mark.parametrize(("key", "field"), FIELDS.items())
def test_surface_of_every_command_holds_what_is_set_once(key: str, field: str) -> None:
    given = 3 if field != "recalibration.prior" else 0.7
    before, after = surfaces_of([]), surfaces_of([f"{key}={given}"])
    assert len({digest(one) for one in before.values()}) == 1
    assert len({digest(one) for one in after.values()}) == 1
    assert all(value_of(one, field) == given for one in after.values())
    assert all(value_of(one, field) != given for one in before.values())


def prepared(*overrides: str) -> dict[str, tuple[Decisions, dict[str, Policy]]]:
    config = load_config([FEW, *overrides])
    return {one.__name__: one.prepare(config) for one in (backtest, simulate)}  # type: ignore[attr-defined]


@pytest.mark.parametrize(("field", "given"), [("floor", 0.5), ("headroom", 1.5)])
def test_bounds_are_those_of_replay_simulation_recommendation_and_surfaces(
    field: str, given: float
) -> None:
    config = load_config([FEW, f"bounds.{field}={given}"])
    for parts in (one.prepare(config)[0] for one in (backtest, simulate, recommend)):
        held = [parts.bounds, parts.replay.bounds, parts.simulate.bounds]
        held += [surface.bounds for surface in parts.surfaces.values()]
        assert all(getattr(bounds, field) == given for bounds in held)
        assert len({digest(bounds) for bounds in held}) == 1
    for surface in build_components(config).surfaces.values():
        assert getattr(surface.bounds, field) == given
        assert getattr(surface.unfitted().bounds, field) == given


def test_interval_is_that_of_target_replay_simulation_surfaces_and_policies() -> None:
    config = load_config(
        [FEW, "target=exceedance", "interval=12h", "policy/cpu=seasonal_max",
         "policy/memory=seasonal_max"]
    )  # fmt: skip
    training, parts = build_components(config), build_decisions(config)
    held: list[Any] = [training.target, parts.replay, parts.simulate]
    held += [*training.surfaces.values(), *parts.surfaces.values()]
    assert [one.interval for one in held] == ["12h"] * len(held)
    for resource, policy in parts.policies.items():
        node = config.policy[resource] | {"interval": "12h"}
        assert digest(policy) == digest(build(node, f"policy.{resource}"))
        other = config.policy[resource] | {"interval": "6h"}
        assert digest(policy) != digest(build(other, f"policy.{resource}"))
    usual = load_config([FEW, "policy/memory=seasonal_max"])
    assert usual.policy["memory"]["interval"] == usual.interval == "6h"


def test_settings_of_a_policy_of_memory_reach_it() -> None:
    chosen = build_decisions(load_config([FEW, "policy.memory.lambda_=10"])).policies["memory"]
    assert (chosen.knob, chosen.setting) == ("lambda_", 10.0)
    assert 10.0 in chosen.knobs
    krr = ["policy/memory=krr", "policy.memory.buffer=0.3"]
    parts = build_decisions(load_config([FEW, *krr]))
    assert (parts.policies["memory"].knob, parts.policies["memory"].setting) == ("buffer", 0.3)
    _, replayed = backtest.prepare(load_config([FEW, *krr, "backtest.resource=memory"]))
    assert replayed["krr"].setting == 0.3
    _, simulated = simulate.prepare(load_config([FEW, *krr, "simulate.resource=memory"]))
    assert simulated["krr"].setting == 0.3
    assert parts.policies["cpu"].knob == "lambda_"
