"""Rules of imports that import-linter does not know; it has the direction (pyproject.toml)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "optimizer"
MODULES = sorted(PACKAGE.rglob("*.py"))
LONGEST = 500
"""Lines of a module: beyond them it holds more than one thought."""
ROOM = 13
"""Modules of a room, its ``__init__`` aside."""
HEAVY = {
    "torch", "pytorch_lightning", "great_expectations", "sklearn", "imblearn", "xgboost",
    "lightgbm", "catboost", "matplotlib", "mlflow", "feast", "polars",
}  # fmt: skip
LAZY = {
    "models/recurrent/network.py": "torch modules, imported only when a recurrent model runs",
    "models/recurrent/objectives.py": "torch losses, imported only when a recurrent model runs",
    "models/recurrent/training.py": "a Lightning module, imported only by a recurrent fit",
    "models/recurrent/batches.py": "torch batches, imported only when a recurrent model runs",
    "models/recurrent/prediction.py": "torch, imported only when a recurrent model predicts",
}


def imports_of(path: Path, *, top_level: bool) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    for node in ast.iter_child_nodes(tree) if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_heavy_libraries_are_imported_where_they_are_used(path: Path) -> None:
    if name_of(path) not in LAZY:
        assert not set(imports_of(path, top_level=True)) & HEAVY


def test_components_are_built_without_heavy_libraries() -> None:
    code = (
        "import sys; from optimizer.core.config import load_config; "
        "from optimizer.training.experiment import build_components; "
        "[build_components(load_config([f'model={m}'])) for m in ('lightgbm', 'lstm')]; "
        f"print(sorted(set(sys.modules) & {HEAVY!r}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize("room", sorted({path.parent for path in MODULES}), ids=name_of)
def test_rooms_hold_few_modules_and_say_what_they_are_for(room: Path) -> None:
    assert len(list(room.glob("*.py"))) - 1 <= ROOM
    assert ast.get_docstring(ast.parse((room / "__init__.py").read_text()))


COMMANDS = [
    path for path in sorted((ROOT / "flows").glob("*.py")) if "__main__" in path.read_text()
]


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_commands_set_the_environment_before_prefect_reads_it(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if line.startswith("from ")]
    prefect = [number for number, line in enumerate(lines) if line.startswith("from prefect")]
    ours = [number for number, line in enumerate(lines) if line.startswith("from flows import env")]
    if path.stem in {"__main__", "freshness"}:  # they import what does so first, or no Prefect
        assert not prefect
    else:
        assert ours[0] < min([*prefect, len(lines)])
