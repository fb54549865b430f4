"""A trial as a named experiment: the yaml composes to what its overrides compose to."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from optimizer.core import config as config_module
from optimizer.core.config import CONF_DIR, load_config
from optimizer.training.tuning import export
from optimizer.training.tuning.export import render_experiment, write_experiment

FEW = "features=minimal"


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the configuration: nothing is left in the project's own."""
    copy = tmp_path / "conf"
    shutil.copytree(CONF_DIR, copy, ignore=shutil.ignore_patterns("experiment"))
    monkeypatch.setattr(config_module, "CONF_DIR", copy)
    monkeypatch.setattr(export, "CONF_DIR", copy)
    return copy


def values_of(overrides: list[str]) -> dict[str, Any]:
    values = load_config(overrides).to_dict()
    values["choices"].pop("experiment", None)
    del values["overrides"]  # as the user gave them
    return values


@pytest.mark.parametrize(
    "overrides",
    [
        [FEW],
        [FEW, "model=xgboost", "model.max_depth=4", "model.learning_rate=1e-05"],
        [FEW, "model=lstm", "model.window=24h", "model.calendar=False", "imbalance=focal"],
        [FEW, "target=utilization", "target.horizon=[1h,6h]", "model=linear"],
        [FEW, "evaluation.false_alarm_rates=[1,3.5]", "seed=3", "+threads=1"],
        [FEW, "evaluation.alarm_renewal=null", "registry.name='a b: c'", "now=2024-01-01"],
        [FEW, "data.seed=${seed}", "seed=9", "store=local", "cache.dir=on"],
        ["features=full", "features.groups.calendar.country=DE", "features.groups.lags.cpu_lags=3"],
    ],
    ids=lambda overrides: " ".join(overrides[1:]),
)
def test_experiment_composes_to_the_same_as_its_overrides(overrides: list[str], conf: Path) -> None:
    write_experiment("best", overrides, "Trial 3 of study x: quality 0.5.")
    found = values_of(["experiment=best"])
    assert found == values_of(overrides) != values_of([])


def test_experiment_can_be_changed_on_the_command_line(conf: Path) -> None:
    write_experiment("best", [FEW, "model=lstm", "model.window=24h"], "x")
    changed = ["model.window=72h", "imbalance=focal"]
    assert values_of(["experiment=best", *changed]) == values_of([FEW, "model=lstm", *changed])


def test_experiment_on_another_one_has_the_last_word(conf: Path) -> None:
    first = [FEW, "model=lightgbm", "model.rounds=50", "imbalance=focal", "seed=1"]
    write_experiment("first", first, "x")
    more = ["model.num_leaves=8", "imbalance=none", "seed=2"]
    write_experiment("second", ["experiment=first", *more], "x")
    assert values_of(["experiment=second"]) == values_of([*first[:3], *more])


def test_render_says_where_it_comes_from_and_puts_choices_before_values() -> None:
    text = render_experiment(["model.rounds=5", "model=lightgbm", "split.gap=4h"], "Trial 3.")
    assert text.splitlines()[:2] == ["# @package _global_", "# Trial 3."]
    assert yaml.safe_load(text) == {
        "defaults": ["_self_", {"override /model": "lightgbm"}],
        "model": {"rounds": 5},
        "split": {"gap": "4h"},
    }


def test_write_replaces_an_older_file_and_leaves_no_draft(conf: Path) -> None:
    write_experiment("best", ["seed=1"], "x")
    path = write_experiment("best", ["seed=2"], "x")
    assert path == conf / "experiment" / "best.yaml"
    assert load_config(["experiment=best"]).seed == 2
    assert list(path.parent.iterdir()) == [path]
    assert not (CONF_DIR / "experiment" / "best.yaml").exists()
