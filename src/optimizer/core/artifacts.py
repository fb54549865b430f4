"""Artifacts on disk: content hashes, atomic writes, and what the code itself hashes to."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

PACKAGE_DIR = Path(__file__).resolve().parents[1]
CHUNK = 1 << 22


def shipped(name: str) -> Path:
    """Return the place of what is shipped beside the package.

    An installed package holds it inside; in a checkout it lies at the top.
    """
    inside = PACKAGE_DIR / name
    return inside if inside.exists() else PACKAGE_DIR.parents[1] / name


LOCK_FILE = shipped("constraints.txt")


@dataclass(frozen=True)
class ArtifactRef:
    """What tasks hand to each other instead of data.

    Parameters
    ----------
    path : str
        Absolute path of a file.
    sha256 : str
        Hash of its content.
    """

    path: str
    sha256: str

    @property
    def directory(self) -> Path:
        """The directory that the file lies in, with its companions."""
        return Path(self.path).parent

    def is_intact(self) -> bool:
        """Tell whether the file is there and its content is unchanged."""
        return Path(self.path).is_file() and hash_file(Path(self.path)) == self.sha256


def refer(path: Path) -> ArtifactRef:
    """Return a reference to a file as it is now."""
    return ArtifactRef(str(path.resolve()), hash_file(path))


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's content, as hexadecimal text."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def hash_values(values: Any) -> str:
    """Return a hash of plain values (what JSON can hold), the same in every process."""
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def code_digest() -> str:
    """Return a hash of the package's files and the lock file: a changed line changes it."""
    digest = hashlib.sha256()
    sources = (path for path in PACKAGE_DIR.rglob("*") if path.is_file())
    for path in sorted(path for path in sources if path.suffix != ".pyc"):
        digest.update(str(path.relative_to(PACKAGE_DIR)).encode())
        digest.update(path.read_bytes())
    if LOCK_FILE.is_file():
        digest.update(LOCK_FILE.read_bytes())
    return digest.hexdigest()


@contextmanager
def write_directory(final: Path) -> Iterator[Path]:
    """Yield a directory to fill, and put it at its place only when that has succeeded.

    Parameters
    ----------
    final : pathlib.Path
        Where the directory shall be; one that is there already is replaced.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{final.name[:16]}-", dir=final.parent))
    try:
        yield draft
        if final.exists():
            shutil.rmtree(final)
        draft.replace(final)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_json(path: Path, values: Any) -> None:
    """Write plain values as JSON; NaN becomes null, which every reader understands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(json.dumps(_without_nan(values), indent=2, default=str) + "\n")
    draft.replace(path)


def _without_nan(values: Any) -> Any:
    if isinstance(values, dict):
        return {str(key): _without_nan(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [_without_nan(value) for value in values]
    if hasattr(values, "item") and not isinstance(values, str):
        values = values.item()
    if isinstance(values, float) and (values != values or abs(values) == float("inf")):  # noqa: PLR0124
        return None
    return values


def digest(*values: Any) -> str:
    """Return the SHA-256 of values: plain ones, arrays, containers, and objects of our own.

    An object counts with its class and its attributes, a dataclass with the fields that compare.
    What is fitted counts too, so two objects are equal here if they would behave the same.
    """
    hashed = hashlib.sha256()
    for part in _parts(values):
        hashed.update(part)
    return hashed.hexdigest()


def _parts(value: Any) -> Iterator[bytes]:
    if isinstance(value, np.ndarray):
        yield f"array {value.dtype} {value.shape};".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif isinstance(value, Mapping):
        yield f"mapping {len(value)};".encode()
        for key in sorted(value, key=str):
            yield from _parts(str(key))
            yield from _parts(value[key])
    elif isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        yield f"sequence {len(items)};".encode()
        for item in items:
            yield from _parts(item)
    elif is_dataclass(value) and not isinstance(value, type):
        own = {field.name: getattr(value, field.name) for field in fields(value) if field.compare}
        yield from _object(value, own)
    elif type(value).__module__.startswith(("optimizer.", "flows.")):
        yield from _object(value, vars(value))
    else:
        yield f"{type(value).__name__} {value!r};".encode()


def _object(value: Any, attributes: Mapping[str, Any]) -> Iterator[bytes]:
    yield f"object {type(value).__qualname__};".encode()
    yield from _parts(attributes)
