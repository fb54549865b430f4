"""The configuration: resolved values, and failures that name the key at fault."""

from __future__ import annotations

import pytest

from optimizer.core.config import CONF_DIR, build, explained, load_config
from optimizer.core.errors import ConfigError
from optimizer.models.boosting.lightgbm import LightGBM
from optimizer.training.experiment import build_components, build_runtime


def refusal(*overrides: str) -> ConfigError:
    """Return the error that the overrides end in, before any data is read."""
    with pytest.raises(ConfigError) as caught:
        build_components(load_config(list(overrides)))
    return caught.value


def test_load_config_defaults_are_the_documented_experiment() -> None:
    config = load_config()
    chosen = ("data", "features", "target", "model", "imbalance")
    assert [config.choices[key] for key in chosen] == [
        "synthetic", "full", "scale_event", "lightgbm", "none",
    ]  # fmt: skip
    assert config.target["horizon"] == "1h"
    assert config.target["ceiling"] == 0.8


def test_load_config_override_changes_value_and_keeps_the_rest() -> None:
    plain, changed = load_config(), load_config(["model.num_leaves=7", "seed=3"])
    differing = {k for k, v in plain.flatten().items() if changed.flatten()[k] != v}
    assert differing == {
        "model.num_leaves", "seed", "data.seed", "evaluation.bootstrap_seed", "surface.cpu.seed",
        "surface.memory.seed",
    }  # fmt: skip


def test_load_config_target_brings_its_baselines() -> None:
    assert "logistic" in load_config().baselines
    assert "linear" in load_config(["target=utilization"]).baselines
    assert "logistic" not in load_config(["target=utilization"]).baselines


def test_load_config_twice_is_independent() -> None:
    first = load_config()
    first.model["rounds"] = -1
    assert load_config().model["rounds"] != -1


def test_flatten_names_leaves_as_on_the_command_line() -> None:
    flat = load_config(["features=minimal"]).flatten()
    assert flat["features.groups.lags.cpu_lags"] == 6
    assert flat["split.folds"] == 1


def test_build_makes_the_component_with_its_arguments() -> None:
    config = load_config(["model.rounds=5"])
    model = build(config.model, "model")
    assert isinstance(model, LightGBM)
    assert model.rounds == 5


def test_build_wrong_type_names_key_and_class() -> None:
    error = refusal("split.folds=two")
    assert error.offender == "split"
    assert "optimizer.targets.splits.RollingOrigin" in error.allowed
    assert "'folds': 'two'" in str(error.seen)


@pytest.mark.parametrize(
    "group", ["data", "features", "target", "split", "model", "imbalance", "quality", "evaluation"]
)
def test_unknown_choice_lists_exactly_the_yamls_there_are(group: str) -> None:
    error = refusal(f"{group}=nonsense")
    assert (error.offender, error.seen) == (group, "'nonsense'")
    there = sorted(path.stem for path in (CONF_DIR / group).glob("*.yaml"))
    assert error.allowed == ", ".join(there)
    assert error.fix == f"set {group}=<one of these>"


@pytest.mark.parametrize(
    ("override", "offender", "near"),
    [
        ("modle=lightgbm", "modle", "model"),
        ("modle.rounds=3", "modle.rounds", "model.rounds"),
        ("sed=3", "sed", "seed"),
        ("+sed=3", "sed", "seed"),
        ("model.round=3", "model.round", "model.rounds"),
        ("+model.round=3", "model.round", "model.rounds"),
        ("++model.round=3", "model.round", "model.rounds"),
        ("target.horizn=1h", "target.horizn", "target.horizon"),
        ("horizon=1h", "horizon", "target.horizon"),
        ("registery.name=x", "registery.name", "registry.name"),
        ("policy.cpu.lambda=3", "policy.cpu.lambda", "policy.cpu.lambda_"),
        ("tracking.url=x", "tracking.url", "tracking.uri"),
        ("+registry.nam=x", "registry.nam", "registry.name"),
        (
            "features.groups.lag.cpu_lags=3",
            "features.groups.lag.cpu_lags",
            "features.groups.lags.cpu_lags",
        ),
    ],
)
def test_misspelt_key_is_told_with_the_one_that_was_meant(
    override: str, offender: str, near: str
) -> None:
    error = refusal(override)
    assert error.offender == offender
    assert error.seen == "an unknown key"
    assert error.fix == f"did you mean {near}"


def test_key_that_is_like_none_is_not_guessed() -> None:
    assert refusal("policy.cpu.margin=1.1").fix == "remove it"


def test_misspelt_key_beside_another_choice_knows_that_choice() -> None:
    error = refusal("data=table", "data.path=x", "data.clok=end")
    assert error.offender == "data.clok"
    assert error.fix == "did you mean data.clock"
    assert "data.n_services" not in error.allowed


def test_misspelt_key_lists_its_neighbours_only() -> None:
    assert refusal("target.typo=1").allowed.split(", ") == [
        "target.ceiling", "target.horizon", "target.metric", "target.source",
    ]  # fmt: skip


@pytest.mark.parametrize("choice", ["table", "bitbrains", "planetlab", "nab", "azure_vm"])
def test_missing_path_is_told_with_the_words_to_add(choice: str) -> None:
    error = refusal(f"data={choice}")
    assert (error.offender, error.seen) == ("data.path", "no value")
    assert error.fix == "add data.path=<value> to the command"


@pytest.mark.parametrize(
    ("overrides", "offender"),
    [
        (("imbalance=focal", "target=utilization"), "imbalance=focal"),
        (("imbalance=smote", "target=utilization"), "imbalance=smote"),
        (("model=logistic", "target=utilization"), "model=logistic"),
        (("model=linear",), "model=linear"),
        (("baselines=utilization",), "model=seasonal_naive"),
        (("~baselines",), "baselines"),
    ],
)
def test_impossible_pair_is_told_with_a_way_out(overrides: tuple[str, ...], offender: str) -> None:
    error = refusal(*overrides)
    assert error.offender == offender
    assert error.fix


@pytest.mark.parametrize(
    ("override", "offender"),
    [
        ("seed=-1", "seed"),
        ("seed=abc", "seed"),
        ("seed=1.5", "seed"),
        ("threads=0", "threads"),
        ("threads=-2", "threads"),
        ("tracking.uri=null", "tracking.uri"),
        ("model.rounds=0", "model.rounds"),
        ("model.rounds=many", "model.rounds"),
        ("data.event_rate=2", "data.event_rate"),
        ("evaluation.beta=0", "evaluation.beta"),
        ("features.groups.seasonal.lead=25h", "features.groups.seasonal.lead"),
        ("features.groups.rolling.windows=[6x]", "features.groups.rolling.windows"),
        ("target._target_=optimizer.Nothing", "target._target_"),
        ("+features.groups.typo=3", "features.groups.typo._target_"),
        ("+baselines.typo=3", "baselines.typo._target_"),
        ("features.groups.lags=null", "features.groups.lags._target_"),
    ],
)
def test_wrong_value_names_its_key_what_is_allowed_and_a_fix(override: str, offender: str) -> None:
    error = refusal(override)
    assert error.offender == offender
    assert error.allowed
    assert error.fix


@pytest.mark.parametrize(
    ("override", "fix"),
    [
        ("baselines.logistic.C=-1", "set baselines.logistic.C=1"),
        ("baselines.same_hour_mean.days=0", "set baselines.same_hour_mean.days=7"),
        ("features.groups.same_time.lead=25h", "set features.groups.same_time.lead=1h"),
    ],
)
def test_wrong_value_of_a_class_in_two_places_names_the_place_that_was_set(
    override: str, fix: str
) -> None:
    error = refusal(override)
    assert (error.offender, error.fix) == (override.split("=", maxsplit=1)[0], fix)


@pytest.mark.parametrize("override", ["model", "model=lightgbm=", "=3", "model=null"])
def test_no_override_at_all_is_shown_as_given(override: str) -> None:
    error = refusal(override)
    assert override in str(error.seen)
    assert "model=lstm" in error.allowed


def test_build_runtime_takes_what_is_given() -> None:
    runtime = build_runtime(load_config(["threads=3", "seed=0"]))
    assert (runtime.threads, runtime.seed) == (3, 0)
    assert build_runtime(load_config()).threads >= 1


def test_load_config_inside_a_running_hydra_leaves_it_running() -> None:
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        running = GlobalHydra.instance().hydra
        load_config(["seed=1"])
        assert GlobalHydra.instance().hydra is running


def test_an_error_of_the_work_is_not_told_as_one_of_the_configuration() -> None:
    with pytest.raises(ValueError, match="of the work"), explained(["model=lstm"]):
        raise ValueError("of the work")
