"""Policies around policies: margins, limits, sizes, and changes that are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from usages import Swept, at, policy_node, usage_from

from optimizer.core.config import build
from optimizer.core.errors import ConfigError
from optimizer.core.panel import FloatArray
from optimizer.decisions.policies.hysteresis import WithHysteresis
from optimizer.decisions.policies.learned.cost_optimal import CostOptimal
from optimizer.decisions.policies.protocol import Policy
from optimizer.decisions.policies.wrappers import Rounded, WithinLimits, WithMargin
from optimizer.demand.usage import Usage

NAN = np.nan


@dataclass(frozen=True)
class Wanted(Swept):
    """Requests given by hand, shape ``(n_cutoffs, n_services)``, times the knob."""

    values: list[list[float]]
    learns: bool = False
    knob: str = "factor"
    setting: float = 1.0
    knobs: tuple[float, ...] = (1.0,)

    def request(
        self, usage: Usage, cutoffs: NDArray[np.int64], knobs: Sequence[float]
    ) -> FloatArray:
        factors = np.asarray(knobs, dtype=np.float32)[:, None, None]
        return factors * np.asarray(self.values, dtype=np.float32)


def test_margin_is_added_and_the_knob_stays() -> None:
    policy = WithMargin(Wanted([[1.0, NAN]]), 0.5)
    assert isinstance(policy, Policy)
    assert (policy.knob, policy.setting, policy.knobs) == ("factor", 1.0, (1.0,))
    found = policy.request(usage_from([[1.0], [1.0]]), at(1), (1.0, 2.0))
    np.testing.assert_array_equal(found[:, 0], [[1.5, NAN], [3.0, NAN]])


def test_every_sweep_of_the_policy_is_wrapped() -> None:
    wrapped = WithMargin(CostOptimal(w=0.3, ws=(0.2, 1.0)), 0.5)
    assert list(wrapped.sweeps) == ["w=0.3", "w=0.2", "w=1"]
    assert {type(one) for one in wrapped.sweeps.values()} == {WithMargin}
    surface = object()
    assert wrapped.with_surface(surface)._policy._surface is surface
    assert wrapped._policy._surface is not surface


def test_limits_are_a_floor_the_capacity_and_what_was_used() -> None:
    # Capacity 4: at most 4.2, and 6 for the second service, which has used as much before.
    usage = usage_from([[1.0, 9.0], [6.0, 9.0], [1.0, 9.0], [1.0, 9.0]], 4.0)
    wanted = Wanted([[8.0, 8.0, 0.001, NAN]])
    found = WithinLimits(wanted, floor=0.01).request(usage, at(1), (1.0,))
    np.testing.assert_allclose(found[0, 0], [4.2, 6.0, 0.01, NAN])
    found = WithinLimits(wanted, 0.5, ceiling=5.0, of_capacity=None).request(usage, at(1), (1.0,))
    np.testing.assert_allclose(found[0, 0], [5.0, 5.0, 0.5, NAN])


def test_limits_without_a_known_capacity_are_what_was_used() -> None:
    usage = usage_from([[1.0, 9.0], [NAN, NAN]], NAN)
    found = WithinLimits(Wanted([[8.0, 8.0]])).request(usage, at(1), (1.0,))
    np.testing.assert_array_equal(found[0, 0], [1.0, 8.0])


def test_rounding_goes_up_to_the_next_multiple() -> None:
    usage = usage_from(np.ones((5, 1)))
    found = Rounded(Wanted([[0.01, 0.25, 0.26, 0.75, NAN]]), step=0.25).request(
        usage, at(1), (1.0,)
    )
    np.testing.assert_array_equal(found[0, 0], [0.25, 0.25, 0.5, 0.75, NAN])
    # 0.3 in float32 is a little more than three times 0.1, and still three.
    tenths = Rounded(Wanted([[0.3, 0.7, 0.0, 1.1, NAN]]), step=0.1).request(usage, at(1), (1.0,))
    np.testing.assert_allclose(tenths[0, 0], [0.3, 0.7, 0.0, 1.1, NAN], rtol=1e-6)


def test_rounding_goes_up_to_the_next_size_and_not_beyond_the_largest() -> None:
    usage = usage_from(np.ones((5, 1)))
    wanted = Wanted([[0.1, 1.0, 1.1, 9.0, NAN]])
    found = Rounded(wanted, sizes=[1, 2, 4]).request(usage, at(1), (1.0,))
    np.testing.assert_array_equal(found[0, 0], [1.0, 1.0, 2.0, 4.0, NAN])


def test_small_changes_and_reductions_too_soon_are_not_made() -> None:
    # Capacity 10, steps of 6 h, a cooldown of 12 h (2 steps) after a reduction.
    wanted = [
        9.5,  # cutoff 4: 5 % less than 10, too small
        5.0,  # cutoff 5: half, made
        4.0,  # cutoff 6: 20 % less, but 6 h after the reduction
        8.0,  # cutoff 7: more, made
        4.0,  # cutoff 8: half, 18 h after the reduction, made
        NAN,  # cutoff 9: nothing wanted: what is in force stays
        4.3,  # cutoff 10: 7.5 % more, too small
    ]
    usage, cutoffs = usage_from(np.ones((1, 12)), 10.0, step="6h"), at(4, 5, 6, 7, 8, 9, 10)
    policy = WithHysteresis(Wanted([[value] for value in wanted]), 0.1, "12h")
    found = policy.request(usage, cutoffs, (1.0,))
    np.testing.assert_allclose(found[0, :, 0], [10.0, 5.0, 5.0, 8.0, 4.0, 4.0, 4.0])


def test_cooldown_can_hold_raises_too() -> None:
    usage, cutoffs = usage_from(np.ones((1, 8)), 10.0, step="6h"), at(4, 5, 6)
    wanted = Wanted([[5.0], [8.0], [8.0]])
    free = WithHysteresis(wanted, 0.1, "12h").request(usage, cutoffs, (1.0,))
    held = WithHysteresis(wanted, 0.1, "12h", hold_raises=True).request(usage, cutoffs, (1.0,))
    np.testing.assert_array_equal(free[0, :, 0], [5.0, 8.0, 8.0])
    np.testing.assert_array_equal(held[0, :, 0], [5.0, 5.0, 8.0])


def test_hysteresis_keeps_knobs_and_services_apart() -> None:
    # Capacity 10. Times 1: 6 is made, 7 is 17 % more, made. Times 1.6: 9.6 is 4 % less, too small;
    # 11.2 is 12 % more, made. The second service has no request before cutoff 5.
    usage = usage_from(np.ones((2, 8)), 10.0, step="6h")
    policy = WithHysteresis(Wanted([[6.0, NAN], [7.0, 6.0]]), 0.1, "12h")
    found = policy.request(usage, at(4, 5), (1.0, 1.6))
    np.testing.assert_allclose(found[0], [[6.0, NAN], [7.0, 6.0]])
    np.testing.assert_allclose(found[1], [[10.0, NAN], [11.2, 10.0]], rtol=1e-6)


def test_hysteresis_without_a_capacity_takes_the_first_request() -> None:
    usage = usage_from(np.ones((1, 8)), NAN, step="6h")
    found = WithHysteresis(Wanted([[6.0], [6.1]])).request(usage, at(4, 5), (1.0,))
    np.testing.assert_array_equal(found[0, :, 0], [6.0, 6.0])


def test_wrappers_nest_in_a_yaml() -> None:
    home = "optimizer.decisions.policies.wrappers"
    node = policy_node("vpa")
    for target, settings in (
        (f"{home}.WithMargin", {"margin": 0.1}),
        (f"{home}.WithinLimits", {"floor": 0.1, "ceiling": None, "of_capacity": 1.05}),
        (f"{home}.Rounded", {"sizes": [0.5, 1, 2]}),
        ("optimizer.decisions.policies.hysteresis.WithHysteresis", {"tolerance": 0.1}),
    ):
        node = {"_target_": target, "policy": node, **settings}
    policy = build(node, "policy")
    assert isinstance(policy, Policy)
    assert policy.knob == "percentile"
    usage = usage_from(np.full((1, 24), 0.7), 2.0)
    # Bucket end 0.7 -> 0.7254; 1.15 and 1.1 on top 0.918; the next size is 1, half of 2.
    assert policy.request(usage, at(24), (0.9,)).item() == 1.0


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: WithMargin(Wanted([[1.0]]), -1.0), "policy.margin"),
        (lambda: WithinLimits(Wanted([[1.0]]), floor=-1.0), "policy.floor"),
        (lambda: WithinLimits(Wanted([[1.0]]), floor=2.0, ceiling=1.0), "policy.ceiling"),
        (lambda: WithinLimits(Wanted([[1.0]]), of_capacity=0.0), "policy.of_capacity"),
        (lambda: Rounded(Wanted([[1.0]])), "policy.step"),
        (lambda: Rounded(Wanted([[1.0]]), step=1.0, sizes=[1.0]), "policy.step"),
        (lambda: Rounded(Wanted([[1.0]]), step=0.0), "policy.step"),
        (lambda: Rounded(Wanted([[1.0]]), sizes=[]), "policy.sizes"),
        (lambda: Rounded(Wanted([[1.0]]), sizes=[2.0, 1.0]), "policy.sizes"),
        (lambda: WithHysteresis(Wanted([[1.0]]), tolerance=-0.1), "policy.tolerance"),
        (lambda: WithHysteresis(Wanted([[1.0]]), cooldown="-1h"), "policy.cooldown"),
    ],
)
def test_value_out_of_range_is_named(make, key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        make()


def test_wrapped_policies_learn_if_what_they_wrap_does() -> None:
    assert not WithMargin(Wanted([[1.0]]), 0.1).learns
    assert WithMargin(Wanted([[1.0]], learns=True), 0.1).learns
