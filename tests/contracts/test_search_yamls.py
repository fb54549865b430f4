"""Every yaml of a search and of a runner: composes, builds, and holds only what models accept."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest
from searches import make_search

from optimizer.core.config import CONF_DIR, build, load_config
from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.errors import ConfigError
from optimizer.training.experiment import build_components
from optimizer.training.tuning.settings import Search
from optimizer.training.tuning.space import Space, build_space
from optimizer.training.tuning.study import build_quietly, build_sampler

FEW = "features=minimal"


def choices_of(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF_DIR / group).glob("*.yaml"))


SEARCHES = [choice for choice in choices_of("search") if choice != "base"]


@cache
def composed(choice: str) -> tuple[ExperimentConfig, Search, Space]:
    config = load_config([FEW, f"search={choice}"])
    search: Search = build(config.search, "search")
    return config, search, build_space(search, [])


@pytest.mark.parametrize("choice", SEARCHES)
def test_search_composes_into_settings_and_a_space_whose_keys_exist(choice: str) -> None:
    config, search, space = composed(choice)
    assert config.choices["search"] == choice
    assert set(search.params) <= {domain.key for domain in space.domains}
    assert all(domain.distribution for domain in space.domains)
    if choice != "all":
        assert config.choices["model"] == choice
        assert {domain.key for domain in space.domains} <= set(config.flatten())


@pytest.mark.parametrize("choice", SEARCHES)
def test_every_sample_of_a_space_composes_and_builds(choice: str) -> None:
    tried = set()
    for overrides in composed(choice)[2].samples():
        config = load_config([FEW, f"search={choice}", *overrides])
        model = build_components(config).model
        known: dict[str, Any] = {**config.flatten(), **config.choices}
        for key, text in (override.split("=") for override in overrides):
            assert str(known[key]).lower() in (text, f"{text}.0"), overrides
        assert type(model).__name__.lower() == config.choices["model"], overrides
        tried.add(config.choices["model"])
    assert tried == ({choice} if choice != "all" else set(SEARCHES) - {"all"})


@pytest.mark.parametrize("choice", SEARCHES)
def test_defaults_lie_in_the_space_so_that_they_can_be_tried_first(choice: str) -> None:
    config, _, space = composed(choice)
    params = space.read({**config.flatten(), **config.choices})
    for domain in space.active(params):
        if not domain.choices:
            assert domain.low <= params[domain.name] <= domain.high, domain.name


def test_every_case_of_the_search_over_models_is_a_search_of_its_own() -> None:
    _, search, space = composed("all")
    assert space.switch == "model"
    assert set(search.cases["model"]) == set(SEARCHES) - {"all"}
    for choice, params in search.cases["model"].items():
        assert params == composed(choice)[1].params


def test_search_without_a_choice_has_nothing_to_search() -> None:
    search = build(load_config([FEW, "search=base"]).search, "search")
    with pytest.raises(ConfigError, match=r"^search\.params: got nothing"):
        build_space(search, [])
    assert len(build_space(search, ["model.num_leaves=range(8,64)"]).domains) == 1


def test_no_search_is_chosen_by_default() -> None:
    assert load_config([FEW]).search == {}


@pytest.mark.parametrize("prefix", ["", "+"])
@pytest.mark.parametrize("choice", [*SEARCHES, "base"])
def test_search_unknown_key_is_named(choice: str, prefix: str) -> None:
    with pytest.raises(ConfigError, match=r"^search\.nonsense: got an unknown key.*search\.folds"):
        load_config([FEW, f"search={choice}", f"{prefix}search.nonsense=1"])


@pytest.mark.parametrize("part", ["sampler", "pruner"])
def test_sampler_and_pruner_unknown_key_is_named(part: str) -> None:
    key = f"search.{part}.nonsense"
    with pytest.raises(ConfigError, match=rf"^{re.escape(key)}: got an unknown key"):
        load_config([FEW, "search=lightgbm", f"{key}=1"])
    with pytest.raises(ConfigError, match=rf"^{re.escape(key)}: got an unknown key"):
        load_config([FEW, "search=lightgbm", f"+{key}=1"])
    node = load_config([FEW, "search=lightgbm"]).search[part] | {"nonsense": 1}
    with pytest.raises(ConfigError, match=rf"^search\.{part}: got .*'nonsense'"):
        build_quietly(node, f"search.{part}")


@pytest.mark.parametrize("group", ["search", "search/sampler", "search/pruner", "runner"])
def test_unknown_choice_lists_the_valid_ones(group: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config([FEW, "search=lightgbm", f"{group}=nonsense"])
    assert all(choice in caught.value.allowed for choice in choices_of(group))


@pytest.mark.parametrize("choice", choices_of("search/sampler"))
def test_sampler_builds_with_a_seed_that_decides_its_draws(choice: str) -> None:
    import optuna

    config = load_config([FEW, "search=lightgbm", f"search/sampler={choice}"])
    search: Search = build(config.search, "search")
    space = build_space(make_search(), [])
    drawn = []
    for seed in (1, 1, 2):
        sampler = build_sampler(search, seed)
        assert type(sampler).__name__ == search.sampler["_target_"].rpartition(".")[2]
        study = optuna.create_study(sampler=sampler)
        for _ in range(2):  # Sobol's points begin once the space is known
            trial = study.ask()
            params = space.suggest(trial)
            study.tell(trial, 0.0)
        drawn.append(params)
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("choice", choices_of("search/pruner"))
def test_pruner_builds_and_judges_a_trial(choice: str) -> None:
    import optuna

    config = load_config([FEW, "search=lightgbm", f"search/pruner={choice}"])
    pruner = build_quietly(config.search["pruner"], "search.pruner")
    assert type(pruner).__name__ == config.search["pruner"]["_target_"].rpartition(".")[2]
    search: Search = build(config.search, "search")
    study = optuna.create_study(direction="maximize", pruner=pruner)
    pruned = 0
    for number in range(30):
        trial = study.ask()
        for step in range(1, search.reports * search.folds + 1):
            trial.report(-float(number), step)  # each worse than all before
            if trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                pruned += 1
                break
        else:
            study.tell(trial, -float(number))
    assert (pruned > 0) == (choice != "none")
    assert pruned < 30


@pytest.mark.parametrize("choice", choices_of("runner"))
def test_runner_composes_and_unknown_key_is_named(choice: str) -> None:
    config = load_config([FEW, f"runner={choice}"])
    assert config.runner.kind == config.choices["runner"] == choice
    for prefix in ("", "+"):
        with pytest.raises(ConfigError, match=r"^runner\.nonsense: got an unknown key"):
            load_config([FEW, f"runner={choice}", f"{prefix}runner.nonsense=1"])


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["search.n_trials=0"], "search.n_trials"),
        (["search.folds=0"], "search.folds"),
        (["search.reports=0"], "search.reports"),
        (["search.n_jobs=0"], "search.n_jobs"),
        (["search.max_failures=0"], "search.max_failures"),
        (["search.objectives=[speed]"], "search.objectives"),
        (["search.objectives=[]"], "search.objectives"),
        (["search.objectives=[quality,quality]"], "search.objectives"),
        (["search.enqueue=[winner]"], "search.enqueue"),
        (["search.trial_timeout=soon"], "search.trial_timeout"),
        (["+search.cases={model: {}, imbalance: {}}"], "search.cases"),
    ],
)
def test_wrong_setting_of_a_search_is_named(overrides: list[str], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(load_config([FEW, "search=lightgbm", *overrides]).search, "search")
    assert caught.value.offender == told


def test_objectives_and_time_are_read() -> None:
    overrides = ["search.objectives=[quality,seconds]", "search.trial_timeout=90s"]
    search: Search = build(load_config([FEW, "search=gru", *overrides]).search, "search")
    assert search.objectives == ("quality", "seconds")
    assert search.timeout_seconds == 90.0
    assert not search.prunes
    assert composed("gru")[1].prunes
    assert composed("gru")[1].timeout_seconds is None
