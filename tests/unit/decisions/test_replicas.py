"""Replicas times size: by a step, and with one replica lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optimizer.core.errors import ConfigError
from optimizer.decisions.recommendations.replicas import desired_replicas, split_by_step

NAN = np.nan


def test_formula_is_the_autoscaler_s() -> None:
    # 3 replicas at 90 % of a target of 60 %: ceil(3 * 90 / 60) = ceil(4.5) = 5.
    assert desired_replicas(3 * 90.0, 60.0) == 5
    # 4 at 50 of 100: 2, exactly. Nothing to do: 0. float32's 0.3 / 0.1 is 3, not 4.
    np.testing.assert_array_equal(desired_replicas([4 * 50.0, 0.0], 100.0), [2, 0])
    assert desired_replicas(np.float32(0.3), np.float32(0.1)) == 3


def test_without_a_loss_to_outlast_one_replica_is_as_cheap_as_any() -> None:
    # 3 cores by steps of 0.5: one of 3, two of 1.5, three of 1 all cost 3; the fewest win.
    found = split_by_step([[3.0]], None, [0.5], [0.04])
    assert found.replicas.tolist() == [1]
    np.testing.assert_allclose(found.size, [[3.0]])
    np.testing.assert_allclose(found.hour, [0.12])
    # At least two: two of 1.5. At least four: 0.75 is raised to 1.
    assert split_by_step([[3.0]], None, [0.5], [0.04], min_replicas=2).size.tolist() == [[1.5]]
    four = split_by_step([[3.0]], None, [0.5], [0.04], min_replicas=4, max_replicas=5)
    # Four of 1 cost 4; five of 0.6, raised to 1, cost 5.
    assert (four.replicas[0], four.size[0, 0]) == (4, 1.0)


def test_loss_of_a_replica_is_outlasted_at_the_least_price() -> None:
    # Target 4, typically 3 cores, steps of 0.1. (n - 1) * s >= 3 and n * s >= 4:
    # n = 2: max(2, 3) = 3, costs 6; n = 3: max(1.34, 1.5) = 1.5, 4.5; n = 4: max(1, 1) = 1, 4;
    # n = 5: max(0.8, 0.75) = 0.8, 4: the same, and more replicas.
    found = split_by_step([[4.0]], [[3.0]], [0.1], [1.0])
    assert found.replicas.tolist() == [4]
    np.testing.assert_allclose(found.size, [[1.0]])
    for most, size, price in ((2, 3.0, 6.0), (3, 1.5, 4.5)):
        fewer = split_by_step([[4.0]], [[3.0]], [0.1], [1.0], max_replicas=most)
        assert fewer.replicas.tolist() == [most]
        np.testing.assert_allclose(fewer.size, [[size]])
        np.testing.assert_allclose(fewer.hour, [price])
    # A service that typically does nothing needs no second replica.
    assert split_by_step([[4.0]], [[0.0]], [0.1], [1.0]).replicas.tolist() == [1]
    # One replica cannot outlast its own loss.
    alone = split_by_step([[4.0]], [[3.0]], [0.1], [1.0], max_replicas=1)
    assert alone.replicas.tolist() == [0]
    assert np.isnan([alone.size[0, 0], alone.hour[0]]).all()


def test_price_weighs_the_resources() -> None:
    # Target 2 cores, 2 GiB; typically 1 core, 2 GiB; steps of 1. Two: 1 core and 2 GiB each, 2
    # cores and 4 GiB; three: 1 and 1, that is 3 cores and 3 GiB; more cost more of both.
    loads = ([[2.0, 2.0]], [[1.0, 2.0]], [1.0, 1.0])
    assert split_by_step(*loads, [1.0, 0.5]).replicas.tolist() == [2]  # 4.0 against 4.5
    assert split_by_step(*loads, [0.5, 1.0]).replicas.tolist() == [3]  # 5.0 against 4.5


def test_what_is_unknown_has_no_replicas() -> None:
    target, typical = [[1.0, NAN], [1.0, 1.0], [1.0, 1.0]], [[1.0, 1.0], [1.0, NAN], [0.0, 0.0]]
    split = split_by_step(target, typical, [0.5, 0.5], [1.0, 1.0])
    assert split.replicas.tolist() == [0, 0, 1]
    assert np.isnan(split.size[:2]).all()
    np.testing.assert_array_equal(np.isnan(split.hour), [True, True, False])


def test_nothing_allowed_is_cheaper() -> None:
    rng = np.random.default_rng(0)
    target = rng.uniform(0.1, 4.0, (50, 2))
    typical = target * rng.uniform(0.1, 0.9, (50, 2))
    step, price = np.array([0.5, 0.25]), np.array([0.03, 0.01])
    found = split_by_step(target, typical, step, price, min_replicas=2, max_replicas=4)
    shapes = [step * np.array(k) for k in np.ndindex(18, 18)]
    for service in range(50):
        best = min(
            n * (shape @ price)
            for n in range(2, 5)
            for shape in shapes
            if (n * shape >= target[service]).all() and ((n - 1) * shape >= typical[service]).all()
        )
        assert found.hour[service] == pytest.approx(best)


@pytest.mark.parametrize(
    ("changed", "offender"),
    [
        ({"target": [1.0]}, "target"),
        ({"typical": [[1.0, 2.0]]}, "target"),
        ({"target": [[-1.0]]}, "target"),
        ({"step": [0.0]}, "replicas.step"),
        ({"step": [1.0, 1.0]}, "replicas.step"),
        ({"unit_hour": [NAN]}, "replicas.unit_hour"),
        ({"min_replicas": 0}, "replicas.min_replicas"),
        ({"min_replicas": 3, "max_replicas": 2}, "replicas.max_replicas"),
    ],
)
def test_wrong_steps_are_named(changed: dict[str, Any], offender: str) -> None:
    given = {"target": [[1.0]], "typical": None, "step": [0.1], "unit_hour": [1.0]}
    with pytest.raises(ConfigError) as caught:
        split_by_step(**{**given, **changed})
    assert caught.value.offender == offender
