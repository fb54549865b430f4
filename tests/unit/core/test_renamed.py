"""Keys of earlier versions are told their new names, and these do exist."""

from __future__ import annotations

import re

import pytest

from optimizer.core.config import load_config
from optimizer.core.errors import ConfigError
from optimizer.core.renamed import new_name, refuse_renamed

OLD = {
    "policy": "policy/cpu and policy/memory",
    "policy.lambda_": "policy.cpu.lambda_ or policy.memory.lambda_",
    "registry.enter": "registry.register",
    "patches.cpu_limit_ratio": "patches.formats.kubernetes.cpu_limit_ratio",
    "patches.vpa_api_version": "patches.formats.vpa.api_version",
    "replay.floor": "bounds.floor",
    "replay.headroom": "bounds.headroom",
    "replay.every": "interval",
    "replay.refit": "surface.cpu.refit or surface.memory.refit",
    "target.interval": "interval",
    "target.surface.outcome": "surface.cpu.outcome",
    "target.surface.floor": "bounds.floor",
    "target.surface.rounds": "surface.cpu.model.rounds or surface.memory.model.rounds",
    "target.recalibration.prior": "surface.cpu.recalibration.prior",
    "target.levels": "surface.cpu.levels",
    "feedback.every": "interval",
    "feedback.surface.rounds": "surface.cpu.model.rounds or surface.memory.model.rounds",
    "feedback.rounds": "simulate.rounds",
    "feedback.autoscaler.target": "simulate.autoscaler.target",
}


@pytest.mark.parametrize("old", OLD)
def test_old_key_is_told_its_new_name(old: str) -> None:
    assert new_name(old) == OLD[old]
    with pytest.raises(ConfigError, match=re.escape(f"its new name: {OLD[old]}")) as caught:
        load_config([f"{old}=3"])
    assert caught.value.offender == old


def test_a_single_new_name_keeps_the_value() -> None:
    with pytest.raises(ConfigError) as caught:
        refuse_renamed(["model=lstm", "+replay.every=12h"])
    assert caught.value.offender == "replay.every"
    assert caught.value.fix == "write interval=12h"


def test_new_names_are_keys() -> None:
    known = load_config().flatten()
    for new in OLD.values():
        for key in re.split(" or | and ", new):
            if not key.startswith(("policy/", "patches.formats.")):  # groups, and what is chosen
                assert key in known, key


@pytest.mark.parametrize("key", ["policy.cpu.lambda_", "interval", "simulate.rounds", "seed"])
def test_present_key_is_none_of_them(key: str) -> None:
    assert new_name(key) is None
    refuse_renamed([f"{key}=3"])
