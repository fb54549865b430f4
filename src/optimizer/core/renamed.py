"""Keys of earlier versions, and what they are called now: an old key is told its new name."""

from __future__ import annotations

import re
from collections.abc import Iterable

from optimizer.core.errors import ConfigError

RENAMED = {
    r"policy": r"policy/cpu and policy/memory",
    r"policy\.(?!cpu\b|memory\b)(.+)": r"policy.cpu.\1 or policy.memory.\1",
    r"registry\.enter": "registry.register",
    r"patches\.(memory_limit_ratio|cpu_limit_ratio|remove_cpu_limit)": (
        r"patches.formats.kubernetes.\1"
    ),
    r"patches\.(vpa|keda)_api_version": r"patches.formats.\1.api_version",
    r"replay\.(floor|headroom)": r"bounds.\1",
    r"replay\.every": "interval",
    r"replay\.refit": "surface.cpu.refit or surface.memory.refit",
    r"target\.interval": "interval",
    r"target\.surface\.(outcome|levels_per_row|max_rows|calendar)": r"surface.cpu.\1",
    r"target\.surface\.floor": "bounds.floor",
    r"target\.surface(\..+)?": r"surface.cpu.model\1 or surface.memory.model\1",
    r"target\.recalibration(\..+)?": r"surface.cpu.recalibration\1",
    r"target\.(per_interval|least_history|calibration|levels)": r"surface.cpu.\1",
    r"feedback\.every": "interval",
    r"feedback\.refit": "surface.cpu.refit or surface.memory.refit",
    r"feedback\.surface(\..+)?": r"surface.cpu.model\1 or surface.memory.model\1",
    r"feedback(\..+)?": r"simulate\1",
}
"""Pattern of a whole key before the rename, and its new name."""


def new_name(key: str) -> str | None:
    """Return what a key of an earlier version is called now; None if it is no such key."""
    for old, new in RENAMED.items():
        match = re.fullmatch(old, key)
        if match:
            return match.expand(new)
    return None


def refuse_renamed(overrides: Iterable[str]) -> None:
    """Raise if an override has a key that an earlier version had.

    Raises ConfigError: it names the new key.
    """
    for given in overrides:
        override = given.lstrip("+~")
        key = override.split("=")[0]
        name = new_name(key)
        if name is not None:
            raise ConfigError(
                key,
                seen="a key of an earlier version",
                allowed=f"its new name: {name}",
                fix=f"write {name}" if " " in name else f"write {name}{override[len(key) :]}",
            )
