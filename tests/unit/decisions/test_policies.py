"""Every yaml of the groups ``policy/cpu`` and ``policy/memory`` keeps the protocol."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from usages import LEARNT, at, distinct_policies, fleet, policy_names, policy_node, policy_of

from optimizer.core.config import CONF_DIR, build
from optimizer.core.errors import ConfigError
from optimizer.decisions.policies.protocol import Policy
from optimizer.demand.usage import CPU, MEMORY

POLICIES = [(resource, name) for resource in (CPU, MEMORY) for name in policy_names(resource)]
NODES = distinct_policies()
RULES = [name for name in NODES if name.removesuffix(", memory") not in LEARNT]


@pytest.mark.parametrize(("resource", "learned"), [(CPU, "cost_optimal"), (MEMORY, "oom_optimal")])
def test_the_baselines_are_there(resource: str, learned: str) -> None:
    assert set(policy_names(resource)) >= {
        "historical_cost", "vpa", "krr", "max_margin", "autopilot", "n_sigma", "seasonal_max",
        "static", "peak_oracle", learned,
    }  # fmt: skip


def test_memory_has_rules_of_its_own_where_it_needs_them() -> None:
    assert {name for name in NODES if name.endswith(", memory")} == {
        "autopilot, memory", "krr, memory", "oom_optimal, memory",
    }  # fmt: skip


@pytest.mark.parametrize(("resource", "name"), POLICIES)
def test_yaml_builds_a_policy_whose_knob_is_an_argument(resource: str, name: str) -> None:
    policy = policy_of(name, resource)
    assert isinstance(policy, Policy)
    assert policy.knob in inspect.signature(type(policy)).parameters
    assert policy_node(name, resource)[policy.knob] == policy.setting
    assert policy.learns == (name in LEARNT)
    assert policy.setting in policy.knobs
    assert list(policy.knobs) == sorted(set(policy.knobs))


@pytest.mark.parametrize(("resource", "name"), POLICIES)
def test_yaml_says_what_it_is_and_what_each_argument_means(resource: str, name: str) -> None:
    first, kind, *rest = (CONF_DIR / "policy" / resource / f"{name}.yaml").read_text().splitlines()
    assert first.startswith("# ")
    if kind == "defaults:":  # that of the other resource, which explains the arguments
        same, *rest = rest
        assert same == f"  - /policy/cpu/{name}@_here_"
    else:
        assert kind.startswith("_target_: ")
    assert all("  # " in line for line in rest)


@pytest.mark.parametrize(("resource", "name"), POLICIES)
def test_unknown_argument_is_named(resource: str, name: str) -> None:
    with pytest.raises(ConfigError, match="nonsense"):
        build({**policy_node(name, resource), "nonsense": 1}, f"policy.{resource}")


@pytest.mark.parametrize("resource", [CPU, MEMORY])
@pytest.mark.parametrize("name", RULES)
def test_requests_have_their_shape_and_grow_with_the_knob(name: str, resource: str) -> None:
    policy: Policy = build(NODES[name], "policy")
    usage, cutoffs = fleet(resource=resource), at(100, 300, 306)
    found = policy.request(usage, cutoffs, policy.knobs)
    assert found.dtype == np.float32
    assert found.shape == (len(policy.knobs), 3, usage.n_services)
    known = ~np.isnan(found[0])
    assert known[:, [0, 3, 4, 5]].all()
    assert (np.diff(found, axis=0)[:, known] >= 0).all()
    again = policy.request(usage, cutoffs, policy.knobs[-1:])
    np.testing.assert_array_equal(again[0], found[-1])
