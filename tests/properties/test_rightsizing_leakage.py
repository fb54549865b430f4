"""What every policy keeps: no look ahead, no unit, and no less for more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from usages import LEARNT, at, distinct_policies, fleet, policy_names, policy_node

from optimizer.core.config import build, list_choices
from optimizer.decisions.policies.protocol import Policy
from optimizer.demand.usage import CPU, MEMORY, Usage
from optimizer.models.exceedance.lightgbm import ExceedanceLightGBM
from optimizer.models.exceedance.rolling import RollingSurface

AHEAD = {"peak_oracle"}
"""Policies that look ahead, as they say."""
ABSOLUTE = {"vpa"}
"""Policies with sizes of their own, in cores and GiB; so have the wrapped ones."""
GIVE_UP = {"historical_cost", "autopilot", "autopilot, memory", "n_sigma"}
"""Policies that may request less for more usage: a burst can be too dear, a weight or a deviation
can shift."""
WRAPPED = ("vpa", "static")
CUTOFFS = at(1, 20, 30, 200, 206, 300, 306, 312, 474)


def nodes() -> dict[str, dict[str, object]]:
    """Return the nodes of both resources' rules, some wrapped in all wrappers as well."""
    home = "optimizer.decisions.policies"
    found: dict[str, dict[str, object]] = {
        name: node
        for name, node in distinct_policies().items()
        if name.removesuffix(", memory") not in LEARNT
    }
    for name in WRAPPED:
        node = policy_node(name)
        for target in ("wrappers.WithMargin", "wrappers.WithinLimits"):
            node = {"_target_": f"{home}.{target}", "policy": node}
        node = {"_target_": f"{home}.wrappers.Rounded", "policy": node, "step": 0.25}
        found[f"{name}, wrapped"] = {
            "_target_": f"{home}.hysteresis.WithHysteresis", "policy": node
        }  # fmt: skip
    return found


NODES = nodes()
SURFACE = RollingSurface(
    ExceedanceLightGBM(rounds=10, min_child_samples=20, num_leaves=7),
    refit="12h",
    calibration="1d",
    levels=8,
    threads=1,
)
SURFACES = {CPU: SURFACE, MEMORY: replace(SURFACE, outcome="peak", recalibration=None)}
"""What policies that learn ask here: the knowledge hardly matters, the order of time does."""
BLIND = [name for name in NODES if name not in AHEAD]
STATELESS = [name for name in BLIND if not name.endswith("wrapped")]


def policy_of(name: str) -> Policy:
    policy: Policy = build(NODES[name], "policy")
    return policy


def requests(name: str, usage: Usage, cutoffs: np.ndarray = CUTOFFS) -> np.ndarray:
    policy = policy_of(name)
    return policy.request(usage, cutoffs, policy.knobs)


def disturb(usage: Usage, cutoff: int, seed: int) -> Usage:
    """Return usage with everything from the cutoff on replaced, gaps included."""
    rng = np.random.default_rng(seed)
    values = usage.values.copy()
    shape = values[:, cutoff:].shape
    noise = rng.lognormal(1.0, 2.0, shape).astype(np.float32)
    noise[rng.random(shape) < 0.2] = np.nan
    values[:, cutoff:] = noise
    return replace(usage, values=values)


@pytest.mark.parametrize("resource", [CPU, MEMORY])
def test_every_choice_of_the_resource_is_asked_here(resource: str) -> None:
    names = list_choices(f"policy/{resource}")
    assert len(names) >= 11
    for name in names:
        if name in LEARNT:
            assert build(policy_node(name, resource), "policy").learns
        else:
            assert policy_node(name, resource) in NODES.values()


@pytest.mark.parametrize("resource", [CPU, MEMORY])
@pytest.mark.parametrize("name", BLIND)
def test_usage_from_the_cutoff_on_never_changes_a_request(name: str, resource: str) -> None:
    usage = fleet(resource=resource)
    before = requests(name, usage)
    for index, cutoff in enumerate(CUTOFFS):
        after = requests(name, disturb(usage, cutoff, seed=index))
        known = slice(None, index + 1)
        np.testing.assert_array_equal(before[:, known], after[:, known])


@pytest.mark.parametrize("resource", [CPU, MEMORY])
@pytest.mark.parametrize("index", [1, 2])
def test_usage_from_the_cutoff_on_never_changes_a_learned_request(
    resource: str, index: int
) -> None:
    usage, cutoffs = fleet(days=8, resource=resource), at(150, 156, 162, 168)
    changed = disturb(usage, int(cutoffs[index]), seed=index)
    plain, other = SURFACES[resource], replace(SURFACES[resource])  # each keeps its forecast
    for name in sorted(LEARNT & set(policy_names(resource))):
        policy: Policy = build(policy_node(name, resource), f"policy.{resource}")
        before = policy.with_surface(plain).request(usage, cutoffs, policy.knobs)
        after = policy.with_surface(other).request(changed, cutoffs, policy.knobs)
        assert not np.isnan(before[:, :, 0]).any()
        known = slice(None, index + 1)
        np.testing.assert_array_equal(before[:, known], after[:, known])
        assert not np.array_equal(before, after, equal_nan=True)  # later ones do know of it


@pytest.mark.parametrize("resource", [CPU, MEMORY])
@pytest.mark.parametrize("name", [name for name in STATELESS if name != "static"])
def test_usage_before_the_cutoff_does_change_it(name: str, resource: str) -> None:
    usage = fleet(resource=resource)
    before, after = requests(name, usage), requests(name, disturb(usage, 100, seed=1))
    assert not np.array_equal(before[:, -1], after[:, -1], equal_nan=True)


@pytest.mark.parametrize("name", sorted(AHEAD))
def test_the_oracle_does_look_ahead(name: str) -> None:
    usage = fleet()
    before, after = requests(name, usage), requests(name, disturb(usage, CUTOFFS[-1], seed=1))
    assert not np.array_equal(before[:, -1], after[:, -1], equal_nan=True)


@pytest.mark.parametrize("resource", [CPU, MEMORY])
@pytest.mark.parametrize("name", STATELESS)
def test_telemetry_that_ends_at_the_cutoff_gives_the_replay_s_request(
    name: str, resource: str
) -> None:
    usage = fleet(resource=resource)
    replayed = requests(name, usage, at(294, 300))[:, 1]
    ended = replace(usage, values=usage.values[:, :300], timestamps=usage.timestamps[:300])
    now = requests(name, ended, at(300))[:, 0]
    np.testing.assert_allclose(now, replayed, rtol=1e-6)


@pytest.mark.parametrize("name", [n for n in NODES if n not in ABSOLUTE and "wrapped" not in n])
def test_other_unit_scales_the_request(name: str) -> None:
    usage = fleet()
    large = replace(
        usage, values=usage.values * np.float32(8.0), capacity=usage.capacity * np.float32(8.0)
    )
    np.testing.assert_allclose(requests(name, large), 8.0 * requests(name, usage), rtol=1e-5)


@pytest.mark.parametrize("resource", [CPU, MEMORY])
@pytest.mark.parametrize("name", [n for n in NODES if n not in GIVE_UP and "wrapped" not in n])
def test_more_usage_never_lowers_a_request(name: str, resource: str) -> None:
    usage = fleet(resource=resource)
    rng = np.random.default_rng(5)
    raised = rng.random(usage.values.shape) < 0.1
    more = np.where(raised, usage.values * np.float32(1.7), usage.values)
    before, after = requests(name, usage), requests(name, replace(usage, values=more))
    known = ~np.isnan(before)
    np.testing.assert_array_equal(known, ~np.isnan(after))
    assert (after[known] >= before[known]).all()
