"""Which project of the store some data and features belong to."""

from __future__ import annotations

from pathlib import Path

import pytest

from optimizer.core.config import CONF_DIR, build, load_config
from optimizer.features.store.settings import name_project


def project(*overrides: str) -> str:
    config = load_config(list(overrides))
    return name_project(build(config.store, "store"), build(config.data, "data").name, config)


def test_project_of_the_default_is_the_one_that_feature_store_yaml_names() -> None:
    text = (CONF_DIR.parent / "feature_repo" / "feature_store.yaml").read_text()
    assert project() == "synthetic"
    assert "\nproject: synthetic\n" in text


@pytest.mark.parametrize("override", ["model=lstm", "target=utilization", "threads=1"])
def test_project_does_not_depend_on_what_is_learned(override: str) -> None:
    assert project(override) == "synthetic"


@pytest.mark.parametrize("override", ["seed=8", "data.days=30", "data.freq=30min", "features=core"])
def test_project_of_other_data_or_features_is_another(override: str) -> None:
    assert project(override).startswith("synthetic_")


def test_project_of_a_file_is_its_name_and_one_given_wins(tmp_path: Path) -> None:
    path = tmp_path / "my-fleet.parquet"
    path.touch()
    assert project("data=table", f"data.path={path}") == "my_fleet"
    assert project("seed=8", "store.project=payments") == "payments"
