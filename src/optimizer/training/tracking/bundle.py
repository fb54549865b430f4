"""Trained models on disk: a directory of plain values, without code and without pickles.

::

    state.json    format, kind, the SHA-256 of every part, and the model as optimizer.core.state
                  writes it
    arrays.npz    every array
    blob_0.bin …  libraries' own model files: LightGBM's text, XGBoost's JSON, CatBoost's cbm
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from optimizer.core.artifacts import hash_values
from optimizer.core.errors import StateError
from optimizer.core.state import decode, encode
from optimizer.models.exceedance.fitted import TrainedSurface
from optimizer.training.predictor import TrainedModel

Trained = TrainedModel | TrainedSurface
"""What can be saved and registered."""

FORMAT = 1
"""Version of the form; a later one is refused, an earlier one is for this module to read."""
STATE = "state.json"
KINDS: dict[str, type[Trained]] = {"rows": TrainedModel, "surface": TrainedSurface}
"""What a model predicts: rows of the feature table, or the exceedance surface."""


def write_bundle(trained: Trained, directory: Path) -> None:
    """Write a model into a directory, which is made.

    Raises
    ------
    StateError
        The model holds something that has no plain form, such as a class that is not Stateful.
    """
    kind = next(name for name, cls in KINDS.items() if isinstance(trained, cls))
    model, blobs = encode(trained)
    directory.mkdir(parents=True)
    for name, data in blobs.items():
        (directory / name).write_bytes(data)
    state = {
        "format": FORMAT,
        "kind": kind,
        "sha256": hash_values(model),
        "blobs": {name: hashlib.sha256(data).hexdigest() for name, data in blobs.items()},
        "model": model,
    }
    (directory / STATE).write_text(json.dumps(state, indent=1, allow_nan=False) + "\n")


def bundle_size(trained: Trained) -> int:
    """Return the bytes that a model takes when it is saved."""
    model, blobs = encode(trained)
    return len(json.dumps(model)) + sum(len(data) for data in blobs.values())


def read_bundle(directory: Path) -> Trained:
    """Return the model of a directory; nothing that the directory holds is executed.

    Raises
    ------
    StateError
        Another format, a file that is absent or was changed, or a class that may not be built.
    """
    state = _read_state(directory)
    blobs = {name: _read_blob(directory, name, sha) for name, sha in state["blobs"].items()}
    if hash_values(state["model"]) != state["sha256"]:
        raise _changed(STATE)
    trained = decode(state["model"], blobs)
    if not isinstance(trained, KINDS[state["kind"]]):
        raise _refuse(f"a {type(trained).__name__}", f"a model of kind {state['kind']}")
    return trained


def _read_state(directory: Path) -> dict[str, Any]:
    """Return the description of a bundle of this format."""
    try:
        state: Any = json.loads((directory / STATE).read_text())
    except FileNotFoundError as error:
        held = ", ".join(sorted(path.name for path in directory.glob("*"))) or "no file"
        raise _refuse(held, f"a directory with {STATE}") from error
    except ValueError as error:
        raise _changed(STATE) from error
    found: dict[str, Any] = state if isinstance(state, dict) else {}
    version = found.get("format")
    if version != FORMAT:
        raise _refuse(f"format {version}", f"format {FORMAT}")
    if found.get("kind") not in KINDS:
        raise _refuse(f"kind {found.get('kind')}", f"kind {' or '.join(KINDS)}")
    if not {"sha256", "blobs", "model"} <= set(found):
        raise _changed(STATE)
    return found


def _read_blob(directory: Path, name: str, sha256: str) -> bytes:
    """Return a file of the bundle, as it was written."""
    path = directory / name
    if Path(name).name != name or not path.is_file():
        raise _refuse(f"no file {name}", "every file that it was written with")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise _changed(name)
    return data


def _changed(name: str) -> StateError:
    return _refuse(f"{name} with another SHA-256 than it was written with", "files as written")


def _refuse(seen: str, allowed: str) -> StateError:
    return StateError(
        "saved model", seen=seen, allowed=allowed, fix="restore its files, or train again"
    )
