"""Patches on disk: checked first, then written, each file whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from optimizer.core.errors import ConfigError
from optimizer.core.output import write_bytes
from optimizer.delivery.patches.base import MARK, PatchWriter
from optimizer.delivery.patches.plan import ReplicaProfile, Skipped, plan_patches
from optimizer.delivery.patches.settings import PatchSettings


@dataclass(frozen=True)
class Patches(PatchSettings):
    """The formats that are written, and the settings that they share.

    Raises ConfigError: a shared setting is out of range, or a format is none.

    Parameters
    ----------
    formats : dict of str to PatchWriter
        By name, in the order in which they are written.
    """

    formats: dict[str, PatchWriter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, one in self.formats.items():
            if not isinstance(one, PatchWriter):
                raise ConfigError(
                    f"patches.formats.{name}",
                    seen=f"{type(one).__name__}, which has no method render",
                    allowed="a class with render(plan, settings), see PatchWriter",
                    fix=f"add render to the class that patches.formats.{name}._target_ names",
                )

    def write(
        self, frame: pd.DataFrame, directory: Path, profile: ReplicaProfile | None = None
    ) -> list[Path]:
        """Write what a person can review and apply, and apply nothing.

        Returns the files, in the order of formats and services. What was left out, and why:
        :func:`skipped_patches`. Raises SchemaError: the frame or an object is not what it should
        be; then nothing was written.

        - ``frame``: recommendations, one row per service and resource.
        - ``directory``: gets the files of every format. A file that an earlier run wrote there in a
          folder and that is no longer needed is deleted; files without our first line are left
          alone.
        - ``profile``: replicas by hour, for schedules.
        """
        plan = plan_patches(frame, profile)
        texts: dict[str, str] = {}
        for one in self.formats.values():
            texts |= one.render(plan, self)
        paths = [directory / place for place in texts]
        for path, text in zip(paths, texts.values(), strict=True):
            write_bytes(path, text.encode())
        for path in sorted(set(directory.glob("*/*.yaml")) - set(paths)):
            if path.read_bytes().startswith(MARK.encode()):
                path.unlink()
        return paths


def skipped_patches(
    frame: pd.DataFrame, profile: ReplicaProfile | None = None
) -> tuple[Skipped, ...]:
    """Return the recommendations that ask for a change and that no file is written for.

    ``frame``: recommendations, one row per service and resource. ``profile``: replicas by hour: a
    service that wants the same at all hours needs no schedule.
    """
    return plan_patches(frame, profile).skipped
