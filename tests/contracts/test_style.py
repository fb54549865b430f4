"""Rules of the house that linters do not know, read off the sources."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "flows").rglob("*.py")])
MODULES = [path for path in SOURCES if path.name != "__init__.py"]
TEXTS = sorted(
    path
    for pattern in ("*.py", "*.yaml", "*.toml", "*.md", "Makefile", "*.txt")
    for folder in ("src", "flows", "conf", "feature_repo", "tests", "benchmarks", ".")
    for path in ((ROOT / folder).glob(pattern) if folder == "." else (ROOT / folder).rglob(pattern))
)
LONGEST = 60
Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> list[Function]:
    return [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, Function)]


def length(node: Function) -> int:
    """Return the lines of a function without its docstring."""
    first = node.body[0]
    skipped = 0
    if ast.get_docstring(node) and isinstance(first, ast.Expr):
        skipped = (first.end_lineno or first.lineno) - first.lineno + 1
    return (node.end_lineno or node.lineno) - node.lineno + 1 - skipped


def public(node: ast.Module | ast.ClassDef, prefix: str = "") -> list[tuple[str, ast.AST]]:
    """Return the public classes, functions and methods of a module, by dotted name."""
    found: list[tuple[str, ast.AST]] = []
    for child in node.body:
        if not isinstance(child, Function | ast.ClassDef) or child.name.startswith("_"):
            continue
        found.append((prefix + child.name, child))
        if isinstance(child, ast.ClassDef):
            found += public(child, f"{prefix}{child.name}.")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_everything_public_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    assert [name for name, node in public(tree) if not ast.get_docstring(node)] == []  # type: ignore[arg-type]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_functions_are_short_and_every_argument_is_annotated(path: Path) -> None:
    for node in functions(path):
        assert length(node) <= LONGEST, f"{node.name} has {length(node)} lines"
        given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        bare = [a.arg for a in given if a.annotation is None and a.arg not in {"self", "cls"}]
        assert not bare, f"{node.name}: {bare}"
        assert node.returns is not None, node.name


@pytest.mark.parametrize("path", [p for p in SOURCES if "src" in p.parts], ids=name_of)
def test_package_logs_and_never_prints(path: Path) -> None:
    tree = ast.parse(path.read_text())
    called = {
        n.func.id
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
    }
    assert not called & {"print", "breakpoint", "exec", "eval"}


@pytest.mark.parametrize("path", [p for p in SOURCES if "src" in p.parts], ids=name_of)
def test_package_has_no_loop_over_rows(path: Path) -> None:
    tree = ast.parse(path.read_text())
    called = {
        n.func.attr
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)
    }
    assert not called & {"iterrows", "itertuples", "apply", "applymap", "vectorize"}


def test_no_file_holds_a_place_of_one_machine() -> None:
    place = re.compile(r"""(?<![\w.*$}])/(?:work|home|Users)/\w""")
    found = [name_of(p) for p in TEXTS if p != Path(__file__) and place.search(p.read_text())]
    assert found == []


def test_importing_every_module_touches_no_disk_and_no_heavy_library(tmp_path: Path) -> None:
    names = [
        path.relative_to(ROOT / "src").with_suffix("").as_posix().replace("/", ".")
        for path in SOURCES
        if "src" in path.parts and path.name != "__init__.py"
    ]
    lazy = ("models.recurrent.",)
    light = [name for name in names if not any(part in name for part in lazy)]
    code = (
        "import importlib, sys\n"
        f"for name in {light!r}: importlib.import_module(name)\n"
        "heavy = {'torch', 'pytorch_lightning', 'great_expectations', 'sklearn', 'imblearn',"
        " 'xgboost', 'lightgbm', 'catboost', 'matplotlib', 'mlflow', 'feast', 'polars'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []


def test_no_seed_of_a_global_generator_is_set() -> None:
    for path in SOURCES:
        assert not re.search(
            r"np\.random\.(seed|rand|randn|choice)\(|random\.seed\(", path.read_text()
        )
