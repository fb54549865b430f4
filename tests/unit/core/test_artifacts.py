"""Artifacts: hashes, all-or-nothing directories and JSON that every reader takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from optimizer.core import artifacts
from optimizer.core.artifacts import (
    code_digest,
    hash_file,
    hash_values,
    refer,
    write_directory,
    write_json,
)


def test_hash_file_is_the_sha256_of_the_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hash_file(path) == known
    monkeypatch.setattr(artifacts, "CHUNK", 2)
    assert hash_file(path) == known


def test_artifact_ref_changed_or_missing_file_is_not_intact(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("one")
    ref = refer(path)
    assert Path(ref.path).is_absolute()
    assert ref.directory == tmp_path
    assert ref.is_intact()
    path.write_text("two")
    assert not ref.is_intact()
    path.unlink()
    assert not ref.is_intact()


def test_hash_values_order_of_keys_is_irrelevant_and_values_count() -> None:
    assert hash_values({"a": 1, "b": [2]}) == hash_values({"b": [2], "a": 1})
    assert hash_values({"a": 1}) != hash_values({"a": 2})
    assert hash_values([1, 2]) != hash_values([2, 1])


def test_hash_values_is_the_same_in_another_process() -> None:
    code = (
        "from optimizer.core.artifacts import hash_values; print(hash_values({'b': 1, 'a': 'x'}))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == hash_values({"b": 1, "a": "x"})


def test_code_digest_changed_line_new_file_template_or_lock_changes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, lock = tmp_path / "package", tmp_path / "constraints.txt"
    (package / "inner").mkdir(parents=True)
    monkeypatch.setattr(artifacts, "PACKAGE_DIR", package)
    monkeypatch.setattr(artifacts, "LOCK_FILE", lock)
    seen = []
    for path, text in (
        (package / "a.py", "x = 1"),
        (package / "a.py", "x = 2"),
        (package / "inner" / "b.py", ""),
        (package / "inner" / "page.html.j2", "<p>"),
        (lock, "numpy==2"),
    ):
        path.write_text(text)
        seen.append(code_digest.__wrapped__())
    assert len(set(seen)) == 5
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "a.cpython-311.pyc").write_bytes(b"compiled")
    assert code_digest.__wrapped__() == seen[-1]


def test_write_directory_failure_leaves_what_was_there(tmp_path: Path) -> None:
    final = tmp_path / "deep" / "final"
    with write_directory(final) as draft:
        (draft / "x").write_text("first")

    def fail() -> None:
        with write_directory(final) as draft:
            (draft / "x").write_text("second")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail()
    assert (final / "x").read_text() == "first"
    assert [path.name for path in final.parent.iterdir()] == ["final"]


def test_write_directory_success_replaces_all_of_it(tmp_path: Path) -> None:
    final = tmp_path / "final"
    for name in ("old", "new"):
        with write_directory(final) as draft:
            (draft / name).write_text(name)
    assert [path.name for path in final.iterdir()] == ["new"]


def test_write_json_unknown_and_infinite_numbers_become_null(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.json"
    write_json(
        path,
        {
            "a": float("nan"),
            "b": [np.float32("nan"), np.float64("inf"), np.float32(0.5), np.int64(3)],
            "c": (True, None, "text", np.bool_(True)),
            4: Path("somewhere"),
        },
    )

    def refuse(text: str) -> None:
        raise AssertionError(text)

    assert json.loads(path.read_text(), parse_constant=refuse) == {
        "a": None,
        "b": [None, None, 0.5, 3],
        "c": [True, None, "text", True],
        "4": "somewhere",
    }
    assert [file.name for file in path.parent.iterdir()] == ["x.json"]
