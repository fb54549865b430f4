"""The direction of imports, and other rules of the house, read off the sources."""

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
NEVER = {"prefect", "flows", "feature_repo", "steps", "tasks"}
ONLY_IN = {"mlflow": "io/", "feast": "io/", "hydra": "config", "omegaconf": "config"}
HEAVY = {
    "torch", "pytorch_lightning", "great_expectations", "sklearn", "imblearn", "xgboost",
    "lightgbm", "catboost", "matplotlib", "mlflow", "feast", "polars",
}  # fmt: skip
LAZY = {
    "io/pyfunc.py": "a subclass of mlflow's class, imported only when a model is registered",
    "models/recurrent_network.py": "torch modules, imported only when a recurrent model runs",
    "models/recurrent_objectives.py": "torch losses, imported only when a recurrent model runs",
    "models/recurrent_training.py": "a Lightning module, imported only by a recurrent fit",
    "models/recurrent_batches.py": "torch batches, imported only when a recurrent model runs",
    "models/recurrent_prediction.py": "torch, imported only when a recurrent model predicts",
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
def test_imports_keep_their_direction(path: Path) -> None:
    found = set(imports_of(path, top_level=False))
    assert not found & NEVER
    for library, home in ONLY_IN.items():
        assert library not in found or name_of(path).startswith(home), f"{library} only in {home}"


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
    assert len(path.read_text().splitlines()) <= 300


COMMANDS = [
    path for path in sorted((ROOT / "flows").glob("*.py")) if "__main__" in path.read_text()
]


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_commands_set_the_environment_before_prefect_reads_it(path: Path) -> None:
    found = imports_of(path, top_level=True)
    assert next(name for name in found if name != "__future__") == "environment"
