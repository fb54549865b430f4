"""Directories of users that add classes and yamls of their own, without a fork.

``OPTIMIZER_EXTENSIONS`` names them, separated as in ``PATH``. Each holds ``conf/`` with yamls in
the groups of ours, and the modules that these name. Hydra's search path learns of them from
:class:`hydra_plugins.optimizer_plugins.search_path.ExtensionsSearchPath`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from optimizer.core.errors import ConfigError

VARIABLE = "OPTIMIZER_EXTENSIONS"


def extension_dirs() -> tuple[Path, ...]:
    """Return the directories that the environment names, absolute."""
    named = os.environ.get(VARIABLE, "").split(os.pathsep)
    return tuple(Path(name).resolve() for name in named if name)


def check_extensions(shipped: Path) -> None:
    """Make the extensions' modules importable, and raise if their yamls cannot be told apart.

    Raises ConfigError: a directory or its ``conf/`` is missing, or a yaml of one name is there
    twice: which of the two counts would depend on the order of directories.
    """
    homes = (
        {path.relative_to(shipped): path for path in _yamls(shipped)} if extension_dirs() else {}
    )
    for directory in extension_dirs():
        conf = directory / "conf"
        if not conf.is_dir():
            raise ConfigError(
                VARIABLE,
                seen=f"{directory}, which has no directory conf",
                allowed="directories with conf/<group>/<choice>.yaml and the modules they name",
                fix=f"create {conf}, or correct {VARIABLE}",
            )
        for path in _yamls(conf):
            name = path.relative_to(conf)
            if name in homes:
                raise ConfigError(
                    f"{name.parent}={name.stem}",
                    seen=f"two yamls of this name: {homes[name]} and {path}",
                    allowed="one yaml per choice",
                    fix=f"rename {path}",
                )
            homes[name] = path
        if str(directory) not in sys.path:
            sys.path.append(str(directory))


def _yamls(directory: Path) -> list[Path]:
    return sorted(directory.rglob("*.yaml"))
