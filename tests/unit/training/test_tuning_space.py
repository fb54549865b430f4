"""The sweep grammar, cases, and trials as overrides and back."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from searches import make_search

from optimizer.core.config import load_config
from optimizer.core.errors import ConfigError
from optimizer.training.tuning.domains import Domain
from optimizer.training.tuning.grammar import is_sweep, parse_sweep, parse_value
from optimizer.training.tuning.settings import Search
from optimizer.training.tuning.space import Space, build_space

KEY = "model.x"
CASES = {
    "model": {
        "lightgbm": {
            "model.learning_rate": "interval(0.1, 0.2)",
            "model.num_leaves": "range(8,64)",
        },
        "gru": {"model.learning_rate": "tag(log, interval(0.001, 0.01))"},
    }
}


def search_of(**params: str) -> Search:
    return make_search(params={f"model.{key}": text for key, text in params.items()})


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("interval(1, 10)", Domain(KEY, low=1.0, high=10.0)),
        ("int(interval(8, 255))", Domain(KEY, low=8, high=255)),
        ("range(1, 10, 3)", Domain(KEY, low=1, high=7, step=3)),
        ("range(4)", Domain(KEY, low=0, high=3, step=1)),
        ("range(0, 1, 0.25)", Domain(KEY, low=0.0, high=0.75, step=0.25)),
        ("choice(24h, 48h)", Domain(KEY, choices=("24h", "48h"))),
        ("24h,48h", Domain(KEY, choices=("24h", "48h"))),
        ("choice([a, b], [c])", Domain(KEY, choices=("[a,b]", "[c]"))),
        ("tag(log, interval(0.01, 1))", Domain(KEY, low=0.01, high=1.0, log=True)),
        ("tag(log, int(interval(1, 64)))", Domain(KEY, low=1, high=64, log=True)),
        ("tag(log, range(1, 64))", Domain(KEY, low=1, high=63, step=1, log=True)),
    ],
)
def test_sweep_is_read_as_hydra_means_it(text: str, domain: Domain) -> None:
    found = parse_sweep(KEY, text)
    assert found == domain
    assert [type(one) for one in (found.low, found.high)] == [
        type(one) for one in (domain.low, domain.high)
    ]
    assert is_sweep(f"{KEY}={text}")


@pytest.mark.parametrize("text", ["3", "24h", "[a,b]", "interval(1", "nonsense(1, 2)"])
def test_plain_and_broken_values_are_no_sweeps(text: str) -> None:
    assert not is_sweep(f"{KEY}={text}")


@pytest.mark.parametrize(
    ("text", "seen", "allowed", "fix"),
    [
        ("interval(3, 1)", "3 to 1", "a low end below", "write interval(1, 3)"),
        ("interval(2, 2)", "2 to 2", "a low end below", "give the value itself"),
        ("tag(log, interval(0, 1))", "logarithmic scale from 0", "above 0", "drop tag(log"),
        ("tag(log, int(interval(0, 9)))", "logarithmic scale from 0", "above 0", "drop tag(log"),
        ("range(5, 1)", "5 to 1 by 1", "a start below the stop", "swap the ends"),
        ("range(5, 5)", "5 to 5 by 1", "a start below the stop", "give the value"),
        ("range(1, 5, 0)", "1 to 5 by 0", "a step above 0", "give the value"),
        ("tag(log, range(1, 9, 2))", "a logarithmic range has no step", "interval(a, b)", "text"),
        ("tag(steep, interval(1, 2))", "'steep' (an unknown tag)", "tag(log", "correct"),
        ("interval(0, inf)", "an end at infinity", "interval(a, b)", "correct"),
        ("3", "'3' (no sweep)", "choice(x, y)", "correct"),
        ("interval(1", "'interval(1'", "interval(a, b)", "correct"),
        ("choice()", "empty choice", "choice(x, y)", "correct"),
    ],
)
def test_wrong_text_names_key_value_what_is_allowed_and_the_fix(
    text: str, seen: str, allowed: str, fix: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        build_space(search_of(x=text), [])
    assert caught.value.offender == f"search.params.model.x={text}"
    assert seen in str(caught.value.seen)
    assert allowed in caught.value.allowed
    assert fix in caught.value.fix


def test_wrong_text_of_a_case_is_found_under_its_case() -> None:
    cases = {"model": {"gru": {KEY: "interval(3, 1)"}}}
    search = make_search(params={"model": "choice(gru, lstm)"}, cases=cases)
    with pytest.raises(ConfigError, match=r"^search\.cases\.model\.gru\.model\.x=interval"):
        build_space(search, [])


def test_nothing_to_search_is_told() -> None:
    with pytest.raises(ConfigError, match=r"^search\.params: got nothing.*add search=lightgbm"):
        build_space(make_search(params={}), [])


def test_sweeps_of_the_command_line_add_to_the_params_and_replace_them() -> None:
    given = ["model.rate=interval(0, 1)", "+model.depth=range(2, 5)"]
    space = build_space(search_of(rate="interval(5, 6)", leaves="choice(8, 9)"), given)
    assert space.domains == (
        Domain("model.rate", low=0.0, high=1.0),
        Domain("model.leaves", choices=("8", "9")),
        Domain("model.depth", low=2, high=4, step=1),
    )


def make_cases(choices: str = "choice(lightgbm, gru, logistic)", *given: str) -> Space:
    return build_space(make_search(params={"model": choices}, cases=CASES), given)


@pytest.mark.parametrize(
    ("model", "keys"),
    [
        ("lightgbm", ["model", "model.learning_rate", "model.num_leaves"]),
        ("gru", ["model", "model.learning_rate"]),
        ("logistic", ["model"]),
    ],
)
def test_cases_exist_under_their_choice_only(model: str, keys: list[str]) -> None:
    space = make_cases()
    assert [domain.key for domain in space.active({"model": model})] == keys
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    study.enqueue_trial({"model": model})
    params = space.suggest(study.ask())
    assert list(space.by_key(params)) == keys
    assert [one.split("=")[0] for one in space.overrides(params)] == keys
    ranges = {"lightgbm": (0.1, 0.2), "gru": (0.001, 0.01)}
    for case, (low, high) in ranges.items():
        assert (f"model.learning_rate ({case})" in params) == (case == model)
        assert low <= params.get(f"model.learning_rate ({case})", low) <= high


def test_cases_of_choices_that_are_not_searched_are_left_out() -> None:
    assert {domain.case for domain in make_cases("choice(gru, logistic)").domains} == {"", "gru"}


def test_param_of_all_cases_replaces_those_of_each() -> None:
    space = make_cases("choice(lightgbm, gru)", "model.learning_rate=interval(0.3, 0.4)")
    names = [domain.name for domain in space.domains]
    assert names == ["model", "model.learning_rate", "model.num_leaves (lightgbm)"]


@pytest.mark.parametrize("params", [{}, {"model": "range(1, 3)"}])
def test_cases_without_a_choice_of_their_group_are_refused(params: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"^search\.cases\.model: got no choice.*add search\."):
        build_space(make_search(params=params, cases=CASES), [])


def test_overrides_begin_with_the_groups() -> None:
    space = build_space(search_of(rate="interval(0, 1)"), ["imbalance=choice(none, focal)"])
    params = {"model.rate": 0.25, "imbalance": "focal"}
    assert space.overrides(params) == ["imbalance=focal", "model.rate=0.25"]


def test_overrides_of_a_trial_are_read_back_as_the_same_trial() -> None:
    sweeps = {
        "model": "choice(lstm, gru)",
        "imbalance": "choice(none, focal)",
        "model.learning_rate": "tag(log, interval(0.0000001, 0.0001))",
        "model.num_layers": "int(interval(1, 3))",
        "model.dropout": "range(0, 0.5, 0.1)",
        "model.window": "choice(24h, 48h, 7d)",
        "model.calendar": "choice(true, false)",
        "evaluation.false_alarm_rates": "choice([1, 7], [1, 3.5, 7, 14])",
    }
    space = build_space(make_search(params=sweeps), [])
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    for _ in range(6):
        params = space.suggest(study.ask())
        config = load_config(["features=minimal", *space.overrides(params)])
        assert config.model["calendar"] is (params["model.calendar"] == "True")
        assert config.model["window"] == params["model.window"]
        assert space.read({**config.flatten(), **config.choices}) == params


def test_read_finds_the_defaults_also_outside_the_ranges() -> None:
    space = make_cases("choice(lightgbm, gru)")
    values = {"model": "lightgbm", "model.learning_rate": 0.05, "model.num_leaves": 63}
    assert space.read(values) == {
        "model": "lightgbm",
        "model.learning_rate (lightgbm)": 0.05,
        "model.num_leaves (lightgbm)": 63,
    }


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"model": "lstm", "model.learning_rate": 0.05}, "model=lstm"),
        ({"model": "gru"}, "model.learning_rate=nothing"),
        ({"model": "gru", "model.learning_rate": 0.0}, "model.learning_rate=0.0"),
        ({"model": "lightgbm", "model.learning_rate": None}, "model.learning_rate=None"),
    ],
)
def test_read_tells_which_value_the_space_does_not_hold(values: dict[str, Any], told: str) -> None:
    with pytest.raises(LookupError) as caught:
        make_cases("choice(lightgbm, gru)").read(values)
    assert str(caught.value) == told


def test_samples_try_every_choice_and_both_ends_of_every_range() -> None:
    space = build_space(search_of(x="choice(1, 2, 3)", y="interval(0, 1)"), [])
    assert list(space.samples()) == [
        ["model.x=1", "model.y=0.0"],
        ["model.x=2", "model.y=1.0"],
        ["model.x=3", "model.y=0.0"],
    ]


def test_samples_try_every_case_and_choices_that_have_none() -> None:
    assert list(make_cases("choice(gru, logistic)").samples()) == [
        ["model=gru", "model.learning_rate=0.001"],
        ["model=gru", "model.learning_rate=0.01"],
        ["model=logistic"],
    ]
    assert list(make_cases("choice(linear, logistic)").samples()) == [
        ["model=linear"],
        ["model=logistic"],
    ]


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("model.window=48h", ("model.window", "48h")),
        ("model.calendar=false", ("model.calendar", False)),
        ("+model.rate=1e-05", ("model.rate", 1e-5)),
        ("evaluation.false_alarm_rates=[1,3.5]", ("evaluation.false_alarm_rates", [1, 3.5])),
        ("registry.name='a b'", ("registry.name", "a b")),
        ("split.gap=null", ("split.gap", None)),
        ("tracking.uri=${oc.env:URI}", ("tracking.uri", "${oc.env:URI}")),
    ],
)
def test_parse_value_is_plain(override: str, found: tuple[str, Any]) -> None:
    assert parse_value(override) == found
