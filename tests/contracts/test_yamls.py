"""Every yaml composes and instantiates; every wrong key or value is told plainly."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from optimizer.core.config import CONF_DIR, build, load_config
from optimizer.core.errors import ConfigError
from optimizer.core.panel import build_panel
from optimizer.features.base import FeatureGroup, Layout
from optimizer.models.base import EventClassifier, Forecaster
from optimizer.models.exceedance.baselines import ShareBaseline
from optimizer.training.experiment import build_components

GROUPS = (
    "data", "quality", "target", "split", "model", "imbalance", "evaluation", "prices", "recommend",
    "patches", "bounds", "conformal", "replay", "simulate", "store", "policy/cpu", "policy/memory",
    "surface@surface.cpu", "surface@surface.memory", "model/exceedance@surface.cpu.model",
)  # fmt: skip
CHOICES = [
    (group, path.stem)
    for group in GROUPS
    for path in sorted((CONF_DIR / group.split("@")[0]).glob("*.yaml"))
]
FEATURE_GROUPS = sorted(path.stem for path in (CONF_DIR / "features" / "group").glob("*.yaml"))
BASELINES = sorted(path.stem for path in (CONF_DIR / "baselines").glob("*.yaml"))
FEATURES = [path.stem for path in sorted((CONF_DIR / "features").glob("*.yaml"))]


def key_of(group: str) -> str:
    """Return where the choice of a group stands."""
    return group.rpartition("@")[2].replace("/", ".")


def test_every_group_has_choices() -> None:
    assert {group for group, _ in CHOICES} == set(GROUPS)


def needs_path(group: str, choice: str) -> list[str]:
    return ["data.path=somewhere"] if group == "data" and choice != "synthetic" else []


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_yaml_composes_and_instantiates(group: str, choice: str) -> None:
    config = load_config(["features=minimal", f"{group}={choice}", *needs_path(group, choice)])
    node: Any = config.to_dict()
    for part in key_of(group).split("."):
        node = node[part]
    assert type(build(node, key_of(group))).__name__ == node["_target_"].rpartition(".")[2]


@pytest.mark.parametrize(("group", "choice"), CHOICES)
@pytest.mark.parametrize("prefix", ["", "+"])
def test_yaml_unknown_key_is_named(group: str, choice: str, prefix: str) -> None:
    overrides = ["features=minimal", f"{group}={choice}", *needs_path(group, choice)]
    key = f"{key_of(group)}.nonsense"
    with pytest.raises(ConfigError, match=rf"{re.escape(key)}: got an unknown key"):
        load_config([*overrides, f"{prefix}{key}=1"])


@pytest.mark.parametrize("group", [*GROUPS[:1], *GROUPS[2:6], *GROUPS[-5:-3], "features"])
def test_unknown_choice_lists_the_valid_ones(group: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config([f"{group}=nonsense"])
    for path in (CONF_DIR / group).glob("*.yaml"):
        assert path.stem in str(caught.value)


@pytest.mark.parametrize("choice", FEATURES)
def test_features_instantiate(choice: str) -> None:
    groups = load_config([f"features={choice}"]).features.groups
    assert all(isinstance(build(node, name), FeatureGroup) for name, node in groups.items())


@pytest.mark.parametrize("prefix", ["", "+"])
@pytest.mark.parametrize("name", FEATURE_GROUPS)
def test_feature_group_unknown_key_is_named(name: str, prefix: str) -> None:
    key = f"features.groups.{name}.nonsense"
    with pytest.raises(ConfigError, match=rf"^{key}: got an unknown key"):
        load_config([f"{prefix}{key}=1"])


@pytest.mark.parametrize("name", FEATURE_GROUPS)
def test_feature_group_describes_every_feature(name: str) -> None:
    config = load_config(["data.n_services=2", "data.n_clusters=1", "data.days=1"])
    panel = build_panel(build(config.data, "data").fetch())
    group = build(config.features.groups[name], name)
    specs = [feature.spec for feature in group.features(Layout(panel.metrics, panel.step))]
    assert specs
    assert {spec.group for spec in specs} == {group.name}
    assert all(spec.unit and spec.dtype == "float32" for spec in specs)
    assert all(pd.Timedelta(spec.lookback) >= pd.Timedelta(0) for spec in specs)


@pytest.mark.parametrize("choice", BASELINES)
def test_baselines_instantiate_and_serve_the_target_they_are_named_after(choice: str) -> None:
    parts = build_components(load_config([f"target={choice}"]))
    protocols = {"event": EventClassifier, "forecast": Forecaster, "exceedance": ShareBaseline}
    protocol = protocols[parts.target.kind]
    assert len(parts.baselines) >= 5
    assert all(isinstance(model, protocol) for model in parts.baselines.values())


@pytest.mark.parametrize("prefix", ["", "+"])
@pytest.mark.parametrize("choice", BASELINES)
def test_baselines_unknown_key_is_named(choice: str, prefix: str) -> None:
    for name in load_config([f"target={choice}"]).baselines:
        key = f"baselines.{name}.nonsense"
        with pytest.raises(ConfigError, match=rf"^{key}: got an unknown key"):
            load_config(["features=minimal", f"target={choice}", f"{prefix}{key}=1"])


@pytest.mark.parametrize("path", sorted(CONF_DIR.rglob("*.yaml")), ids=lambda p: p.stem)
def test_yaml_begins_with_what_it_is_and_holds_no_place_of_a_machine(path: Path) -> None:
    text = path.read_text()
    assert "#" in text or path.stem == "default", "say in a comment what it is"
    assert not re.search(r"(?<![\w.])/(work|home|root|tmp|Users)/", text)


def test_every_feature_group_is_in_full() -> None:
    known = {path.stem for path in Path(CONF_DIR / "features" / "group").glob("*.yaml")}
    assert set(load_config().features.groups) == known


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["modle=lstm"], ["modle", "did you mean model"]),
        (["+typo=3"], ["typo"]),
        (["model.learning_rat=0.1"], ["model.learning_rat", "did you mean model.learning_rate"]),
        (["data=table"], ["data.path", "no value"]),
        (["seed=abc"], ["seed"]),
        (["imbalance=focal", "target=utilization"], ["imbalance=focal", "imbalance=none"]),
        (["model=logistic", "target=utilization"], ["model=logistic", "target=scale_event"]),
        (["target.ceiling=3"], ["target.ceiling", "(0, 2]"]),
        (["target.horizon=soon"], ["target.horizon", "'soon'"]),
        (["target.metric=latency_ms"], ["target.metric", "cpu_utilization"]),
        (["split.train=0.9"], ["split.train", "sum to 1"]),
        (["split.gap=1h"], ["split.gap", "at least"]),
        (["quality.max_quarantined=2"], ["quality.max_quarantined"]),
        (["features.groups.calendar.country=Atlantis"], ["features.groups.calendar.country"]),
        (["model.learning_rate=-1"], ["model.learning_rate"]),
        (["imbalance=smote", "imbalance.k_neighbors=0"], ["imbalance.k_neighbors"]),
        (["model=lstm", "model.dropout=2"], ["model.dropout"]),
        (["data.n_services=1"], ["data.n_services"]),
    ],
)
def test_wrong_settings_are_told_before_any_data_is_read(
    overrides: list[str], told: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        build_components(load_config(overrides))
    assert all(part in str(caught.value) for part in [*told, "Allowed:", "Fix:"])


def test_seed_zero_is_a_seed() -> None:
    config = load_config(["seed=0"])
    assert config.seed == 0
    assert config.data["seed"] == 0
