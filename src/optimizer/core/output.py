"""Files for readers: whole or not there, and pages from templates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a file that is never seen half-written, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    try:
        draft.write_bytes(content)
        return draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def open_template(package: str, name: str, **filters: Callable[..., Any]) -> Any:
    """Return a Jinja template of a package's ``templates``; a name it is not given is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    world = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    world.filters.update(filters)
    return world.get_template(name)
