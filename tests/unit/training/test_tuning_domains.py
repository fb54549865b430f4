"""One key's values by hand: what Optuna is told, and what of a configuration can be a trial."""

from __future__ import annotations

import math

import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from optimizer.core.errors import ConfigError
from optimizer.training.tuning.domains import Domain, interval_domain, range_domain

RATE = Domain("model.rate", low=0.01, high=0.2, log=True)
LEAVES = Domain("model.leaves", low=8, high=64)
WINDOW = Domain("model.window", choices=("24h", "48h"))


@pytest.mark.parametrize(
    ("domain", "distribution"),
    [
        (RATE, FloatDistribution(0.01, 0.2, log=True)),
        (Domain("x", low=0.0, high=0.9, step=0.3), FloatDistribution(0.0, 0.9, step=0.3)),
        (LEAVES, IntDistribution(8, 64)),
        (Domain("x", low=1, high=64, log=True), IntDistribution(1, 64, log=True)),
        (Domain("x", low=1, high=9, step=2), IntDistribution(1, 9, step=2)),
        (WINDOW, CategoricalDistribution(("24h", "48h"))),
    ],
)
def test_distribution_is_optunas_of_the_same_values(
    domain: Domain, distribution: BaseDistribution
) -> None:
    assert domain.distribution == distribution


def test_only_whole_ends_make_whole_numbers() -> None:
    assert LEAVES.integer
    assert not RATE.integer
    assert not Domain("x", choices=("1", "2")).integer


def test_name_tells_the_case_apart() -> None:
    assert RATE.name == "model.rate"
    assert Domain("model.rate", case="gru", low=0.1, high=0.2).name == "model.rate (gru)"


@pytest.mark.parametrize(
    ("domain", "ends"),
    [(RATE, ("0.01", "0.2")), (LEAVES, ("8", "64")), (WINDOW, ("24h", "48h"))],
)
def test_ends_are_texts_of_the_command_line(domain: Domain, ends: tuple[str, str]) -> None:
    assert domain.ends() == ends


@pytest.mark.parametrize(
    ("domain", "text", "value"),
    [
        (RATE, "0.05", 0.05),
        (RATE, "1e-05", 1e-5),
        (RATE, "3", 3.0),  # outside, but it exists
        (RATE, "auto", None),
        (RATE, "None", None),
        (RATE, "nan", None),
        (RATE, "inf", None),
        (LEAVES, "63", 63),
        (LEAVES, "1000", 1000),
        (LEAVES, "0", 0),
        (LEAVES, "6.5", None),
        (WINDOW, "48h", "48h"),
        (WINDOW, "48H", "48h"),
        (WINDOW, "72h", None),
    ],
)
def test_read_keeps_what_a_trial_can_have(domain: Domain, text: str, value: object) -> None:
    found = domain.read(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["0", "0.0", "-1"])
@pytest.mark.parametrize(
    "domain", [RATE, Domain("x", low=1, high=64, log=True)], ids=["float", "int"]
)
def test_read_has_no_place_on_a_log_scale_for_zero_or_less(domain: Domain, text: str) -> None:
    assert domain.read(text) is None


@pytest.mark.parametrize(
    ("choices", "value", "choice"),
    [
        (("True", "False"), True, "True"),
        (("true", "false"), False, "false"),
        (("1", "10"), 10.0, "10"),
        (("0.0001", "0.001"), 1e-3, "0.001"),
        (("[1,7]", "[1,3.5,7,14]"), [1.0, 3.5, 7.0, 14.0], "[1,3.5,7,14]"),
        (("[a,b]", "[c]"), ["a", "b"], "[a,b]"),
        (("null", "4h"), None, "null"),
        (("none", "focal"), "none", "none"),
        (("none", "focal"), None, None),  # no value is not the choice that is called none
        (("'a b'", "c"), "a b", "'a b'"),
        (("x\\=1", "c"), "x=1", "x\\=1"),
        (("[1,7]", "[1,3.5]"), [7, 1], None),
        (("1", "2"), "{odd", None),
    ],
)
def test_read_finds_the_choice_that_means_a_value_however_it_is_written(
    choices: tuple[str, ...], value: object, choice: str | None
) -> None:
    assert Domain("x", choices=choices).read(str(value)) == choice


@pytest.mark.parametrize(
    ("ends", "low", "high", "step"),
    [
        ((1, 10, 3), 1, 7, 3),  # 10 is not a value of it
        ((1, 11, 3), 1, 10, 3),
        ((1, 2.5, 1), 1, 2, 1),
        ((0.0, 1.0, 0.25), 0.0, 0.75, 0.25),
    ],
)
def test_range_ends_at_its_last_value_before_the_stop(
    ends: tuple[float, float, float], low: float, high: float, step: float
) -> None:
    assert range_domain("x", "x=…", ends, ()) == Domain("x", low=low, high=high, step=step)


@pytest.mark.parametrize(("start", "type_"), [(0, float), (0.0, float)])
def test_range_with_a_broken_step_is_of_floats_whatever_its_start(
    start: float, type_: type
) -> None:
    domain = range_domain("x", "x=…", (start, 1, 0.1), ())
    assert type(domain.low) is type_
    assert not domain.integer
    assert domain.distribution.step == 0.1
    assert domain.high == pytest.approx(0.9)


@pytest.mark.parametrize("ends", [(0.0, math.inf), (-math.inf, 1.0)])
def test_interval_without_an_end_is_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="an end at infinity"):
        interval_domain("x", "x=…", ends, ())
