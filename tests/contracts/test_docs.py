"""README and docs say what is so: output, links, code, keys and commands are held to sources."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from optimizer.core.config import CONF_DIR, load_config

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def load(name: str) -> ModuleType:
    """Import a tool of the docs, which are no package."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


evidence, hooks = load("evidence"), load("hooks")
PAGES: list[Path] = evidence.pages()
BESIDE = [ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md")]
ALL = [*PAGES, *BESIDE]
BLOCKS = [block for page in PAGES for block in evidence.read_blocks(page)]
ROOMS = sorted(path.parent.name for path in (ROOT / "src/optimizer").glob("*/__init__.py"))
KINDS = ("model", "exceedance_model", "policy", "wrapper_policy", "patch_format", "source")
HOSTS = {"github.com", "gwa.ewi.tudelft.nl", "127.0.0.1"}
"""Whom the pages name: where traces come from, and this machine."""
FENCE = re.compile(r"^```([\w-]*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
PYTHON = {"allow_stale", "version"}
"""Arguments of our functions that pages name."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def fences(page: Path, *languages: str) -> list[str]:
    return [body for language, body in FENCE.findall(page.read_text()) if language in languages]


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


# --- output


@pytest.mark.parametrize("block", BLOCKS, ids=lambda one: f"{one.page.stem}-{one.name}")
def test_output_is_what_the_tool_wrote(block: Any) -> None:
    assert block.intact, f"{block.name} was edited by hand: make evidence ARGS={block.name}"


@pytest.mark.parametrize("page", ALL, ids=name_of)
def test_every_output_stands_under_its_command(page: Path) -> None:
    assert len(fences(page, "text")) == len(evidence.read_blocks(page))


def test_runs_have_an_order_and_the_quick_ones_need_no_trace() -> None:
    runs = evidence.collect_runs(BLOCKS)
    quick = evidence.choose(runs, (), everything=False)
    assert [run.name for run in quick] == [name for name, run in runs.items() if run.quick]
    assert not any(run.wants_traces for run in quick)
    for place, run in enumerate(runs.values()):
        assert set(run.needs) <= set(list(runs)[:place])


PAGE = """# Page

```console
$ python flows/train.py \\
    model=lstm
```

<!-- evidence: one quick needs="two" from="total" to="end" from="tail" gap="…" sha256=0 -->
```text
old
```
"""
OUTPUT = (
    "09:00:00 | INFO | total\nhead\ntotal 1\n09:00:01 | INFO | log\nmore   \nend 2\nx\ntail 3\n"
)


def test_block_is_cut_from_the_output_and_sealed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    (block,) = evidence.read_blocks(page)
    assert block.commands == ("python flows/train.py model=lstm",)
    assert (block.quick, block.needs, block.intact) == (True, ("two",), False)
    text = evidence.cut_output(block, OUTPUT)
    assert text == "total 1\nmore\nend 2\n\ntail 3\n…\n"
    evidence.write_block(block, text)
    (written,) = evidence.read_blocks(page)
    assert written.intact
    assert written.text == text
    assert page.read_text().startswith(PAGE.split("sha256", maxsplit=1)[0])


def test_output_without_its_lines_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    (block,) = evidence.read_blocks(page)
    with pytest.raises(evidence.EvidenceError, match="'total'"):
        evidence.cut_output(block, "nothing\n")


def test_check_forgives_seconds_and_runs_but_no_figure() -> None:
    run = "0123456789abcdef" * 2
    assert evidence.mask(f"run {run}, 12 s", loose=False) == "run <run>, <seconds> s"
    assert evidence.mask("gain +0.2873", loose=False) == "gain +0.2873"
    assert evidence.mask("a   12.5  -3e-05", loose=True) == "a # #"


def test_commands_run_in_the_scratch_directory_and_a_failure_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "BUILD", tmp_path)
    scratch = tmp_path / "scratch" / "one"
    tell = "python -c 'import pathlib; print(pathlib.Path().resolve() / \"outputs\")'"
    run = evidence.Run("one", True, (), (tell, "python -c 'raise SystemExit(3)'"))
    assert evidence.perform(evidence.Run("one", True, (), (tell,)), scratch) == "outputs\n"
    assert (scratch / "flows").resolve() == ROOT / "flows"
    with pytest.raises(evidence.EvidenceError, match="status 3"):
        evidence.perform(run, scratch)
    assert "outputs" in (tmp_path / "outputs" / "one.txt").read_text()


# --- pages


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 150


@pytest.mark.parametrize("page", ALL, ids=name_of)
def test_page_names_no_place_of_a_machine_and_no_other_host(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r"(?<![\w.*$}])/(?:work|home|root|tmp|Users)/", text)
    assert set(re.findall(r"https?://([\w.-]+)", text)) <= HOSTS


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as Python-Markdown and GitHub make them."""
    heads = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", head).strip().lower() for head in heads]
    return {re.sub(r"\s+", "-", head) for head in plain}


@pytest.mark.parametrize("page", ALL, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if "://" in link:
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.is_file(), link
        if anchor:
            assert anchor in anchors(target), link
        if DOCS in page.parents:
            assert DOCS in target.parents, f"{link} leaves the site"


def test_site_has_every_page_and_every_room() -> None:
    def leaves(node: Any) -> list[str]:
        if isinstance(node, str):
            return [node]
        return [leaf for one in (node.values() if isinstance(node, dict) else node)
                for leaf in leaves(one)]  # fmt: skip

    told = leaves(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    assert sorted(told) == sorted(path.relative_to(DOCS).as_posix() for path in PAGES[1:])
    assert {Path(page).stem for page in told if page.startswith("reference/api/")} == {
        "index",
        *ROOMS,
    }
    for room in ROOMS:
        assert f"<!-- api: {room} -->" in (DOCS / f"reference/api/{room}.md").read_text()


# --- code


@pytest.mark.parametrize("page", ALL, ids=name_of)
def test_code_parses_and_imports_what_there_is(page: Path) -> None:
    for body in fences(page, "yaml"):
        yaml.safe_load(body)
    for body in fences(page, "python"):
        for node in ast.walk(ast.parse(body)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("optimizer"):
                module = importlib.import_module(str(node.module))
                assert [one.name for one in node.names if not hasattr(module, one.name)] == []


@pytest.mark.parametrize("page", ALL, ids=name_of)
def test_modules_and_files_named_in_the_text_are_there(page: Path) -> None:
    for span in SPAN.findall(prose(page)):
        if re.fullmatch(r"optimizer(\.\w+)+", span):
            parent, _, last = span.rpartition(".")
            found = importlib.util.find_spec(parent) is not None and (
                importlib.util.find_spec(span) is not None
                if not last[0].isupper()
                else hasattr(importlib.import_module(parent), last)
            )
            assert found, span
        if re.fullmatch(r"(flows|conf|docs|tests|src|benchmarks)/[\w/.]+", span):
            assert (ROOT / span).exists(), span


@pytest.mark.parametrize("kind", KINDS)
def test_example_has_a_module_and_a_yaml_and_stands_on_its_page(kind: str) -> None:
    suffixes = {path.suffix for path in hooks.example_files(kind)}
    assert suffixes == {".py", ".yaml"}
    assert f"<!-- example: {kind} -->" in (DOCS / "guides/extend.md").read_text()


# --- configuration


@pytest.mark.parametrize("path", sorted(CONF_DIR.rglob("*.yaml")), ids=lambda p: p.stem)
def test_reference_shows_every_key_of_a_yaml(path: Path) -> None:
    values = yaml.safe_load(path.read_text()) or {}
    choice = hooks.read_choice(path)
    keys = {key.name for key in choice.keys}
    wanted = {key for key in values if key not in {"defaults", "_target_"}}
    assert wanted <= keys | {key.split(".")[0] for key in keys}
    assert len(choice.defaults) == len(values.get("defaults", []))


KEYS: set[str] = hooks.known_keys()
GROUPS: set[str] = {group for group in hooks.read_configuration() if group != "."}


def is_known(key: str) -> bool:
    name = key.split("@", maxsplit=1)[0]
    whole = name.removesuffix(".*")
    return whole in KEYS or any(known.startswith(f"{whole}.") for known in KEYS)


@pytest.mark.parametrize("page", ALL, ids=name_of)
def test_keys_and_choices_named_in_the_text_exist(page: Path) -> None:
    for word in " ".join(SPAN.findall(prose(page))).replace('"', " ").split():
        key, equals, value = word.partition("=")
        if not re.fullmatch(r"[a-z_]+(?:[./@][a-z_0-9]+)*(?:\.\*)?", key) or key in PYTHON:
            continue
        dotted = "." in key and key.split(".")[0] in {known.split(".")[0] for known in KEYS}
        if key.startswith("hydra") or key.rpartition(".")[2] in {"json", "csv", "py", "html"}:
            continue
        if equals or dotted:
            assert is_known(key) or key == "experiment", word
        group = key.split("@")[0]
        if equals and group in GROUPS and re.fullmatch(r"[a-z_]\w*", value):
            assert (CONF_DIR / group / f"{value}.yaml").is_file(), word


# --- commands


BEGINS = re.compile(r"(python flows/\w+\.py|optimizer [a-z]+|make (train|features)\b)(?!.*<)")
EXPORT = "export OPTIMIZER_EXTENSIONS="


def commands_of(page: Path) -> set[tuple[str, str]]:
    """Return the commands of a page that compose a configuration, each with its extensions."""
    found = {("", span) for span in SPAN.findall(prose(page))}
    for body in fences(page, "console"):
        extensions = ""
        for command in evidence.read_commands(body):
            if command.startswith(EXPORT):
                extensions = command.removeprefix(EXPORT)
            found.add((extensions, command))
    return {(place, command) for place, command in found if BEGINS.match(command)}


COMMANDS = sorted({both for page in ALL for both in commands_of(page)})


def overrides_of(command: str) -> list[str]:
    """Return the overrides of a command, those that make would pass among them."""
    words = shlex.split(command.replace("$TRACES", "traces"))
    passed = [word.removeprefix("ARGS=") for word in words if word.startswith("ARGS=")]
    given = [*words[1:], *(part for text in passed for part in shlex.split(text))]
    return [word for word in given if re.match(r"[+~]?[a-z][\w/.@]*=", word)]


def swept(overrides: list[str]) -> list[list[str]]:
    """Return jobs that have every value of a sweep once."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(overrides)
    values = [
        [f"{one.get_key_element()}={value}" for value in one.sweep_string_iterator()]
        if one.is_sweep_override()
        else [text]
        for one, text in zip(parsed, overrides, strict=True)
    ]
    longest = max(map(len, values), default=1)
    return [[one[min(job, len(one) - 1)] for one in values] for job in range(longest)]


@pytest.mark.parametrize(("extensions", "command"), COMMANDS)
def test_command_composes(extensions: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPTIMIZER_STORE", raising=False)
    monkeypatch.delenv("OPTIMIZER_EXTENSIONS", raising=False)
    if extensions:
        place = Path(extensions.replace("my-extensions", "docs/examples/policy"))
        monkeypatch.setenv("OPTIMIZER_EXTENSIONS", str(ROOT / place))
        monkeypatch.setattr(sys, "path", [*sys.path])  # they are put there
    script = re.match(r"python (flows/\w+\.py)", command)
    assert script is None or (ROOT / script[1]).is_file()
    for overrides in swept(overrides_of(command)):
        load_config(overrides)
