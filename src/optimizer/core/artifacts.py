"""Artifacts on disk: content hashes, atomic writes, and what the code itself hashes to."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE_DIR = Path(__file__).resolve().parents[1]
LOCK_FILE = PACKAGE_DIR.parents[1] / "constraints.txt"
CHUNK = 1 << 22


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
    """Return a hash of the package's sources and the lock file: a changed line changes it."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE_DIR.rglob("*.py")):
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
