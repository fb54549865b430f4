"""Every yaml of the group ``policy`` keeps the protocol."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from usages import LEARNT, at, fleet, policy_names, policy_node, policy_of

from optimizer.core.config import CONF_DIR, build
from optimizer.core.errors import ConfigError
from optimizer.decisions.policies.protocol import Policy
from optimizer.demand.usage import CPU, MEMORY

POLICIES = policy_names()
RULES = [name for name in POLICIES if name not in LEARNT]


def test_the_baselines_are_there() -> None:
    assert set(POLICIES) >= {
        "historical_cost", "vpa", "krr", "max_margin", "autopilot", "n_sigma", "seasonal_max",
        "static", "peak_oracle",
    }  # fmt: skip


@pytest.mark.parametrize("name", POLICIES)
def test_yaml_builds_a_policy_whose_knob_is_an_argument(name: str) -> None:
    policy = policy_of(name)
    assert isinstance(policy, Policy)
    assert policy.knob in inspect.signature(type(policy)).parameters
    assert policy_node(name)[policy.knob] == policy.setting
    assert policy.setting in policy.knobs
    assert list(policy.knobs) == sorted(set(policy.knobs))


@pytest.mark.parametrize("name", POLICIES)
def test_yaml_says_what_it_is_and_what_each_argument_means(name: str) -> None:
    first, _, *rest = (CONF_DIR / "policy" / f"{name}.yaml").read_text().splitlines()
    assert first.startswith("# ")
    assert all("  # " in line for line in rest)


@pytest.mark.parametrize("name", POLICIES)
def test_unknown_argument_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match="nonsense"):
        build({**policy_node(name), "nonsense": 1}, "policy")


@pytest.mark.parametrize("resource", [CPU, MEMORY])
@pytest.mark.parametrize("name", RULES)
def test_requests_have_their_shape_and_grow_with_the_knob(name: str, resource: str) -> None:
    policy, usage, cutoffs = policy_of(name), fleet(resource=resource), at(100, 300, 306)
    found = policy.request(usage, cutoffs, policy.knobs)
    assert found.dtype == np.float32
    assert found.shape == (len(policy.knobs), 3, usage.n_services)
    known = ~np.isnan(found[0])
    assert known[:, [0, 3, 4, 5]].all()
    assert (np.diff(found, axis=0)[:, known] >= 0).all()
    again = policy.request(usage, cutoffs, policy.knobs[-1:])
    np.testing.assert_array_equal(again[0], found[-1])
