"""What MkDocs builds from the sources: the Python API and every key of the configuration.

A page says where: ``<!-- api: core -->`` becomes the modules of a room, ``<!-- example: model -->``
the files of an example, and ``<!-- configuration -->`` every choice of every group with its keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
PACKAGE = ROOT / "src" / "optimizer"
API = re.compile(r"^<!-- api: (\w+) -->$", re.MULTILINE)
EXAMPLE = re.compile(r"^<!-- example: (\w+) -->$", re.MULTILINE)
CONFIGURATION = "<!-- configuration -->"
CHANGELOG = "<!-- changelog -->"
ROLE = re.compile(r":(?:mod|class|func|meth|data|attr|exc):<code>(~?)([\w.]+)</code>")
LINE = re.compile(
    r"^(?P<indent> *)(?P<key>[\w./@ -]+?):(?: +(?P<value>[^#\s].*?))?(?: +# ?(?P<note>.*))?$"
)
MOUNTS = {
    "features/group": ("features.groups.{choice}",),
    "model/exceedance": ("surface.cpu.model", "surface.memory.model"),
    "surface": ("surface.cpu", "surface.memory"),
    "patches/format": ("patches.formats.{choice}",),
    "policy/cpu": ("policy.cpu",),
    "policy/memory": ("policy.memory",),
    "search/sampler": ("search.sampler",),
    "search/pruner": ("search.pruner",),
    "search/params": ("search.params",),
    "hydra/launcher": ("hydra.launcher",),
    "hydra/sweeper": ("hydra.sweeper",),
    "hydra/job_logging": ("hydra.job_logging",),
    "hydra/hydra_logging": ("hydra.hydra_logging",),
}
"""Where the keys of a group stand, if not below the group's own name."""
TITLES = {
    "features/group": "one group of features; `features` chooses which",
    "model/exceedance": "what an exceedance surface is made of; chosen as "
    "`model/exceedance@surface.cpu.model=…`",
    "patches/format": "one format of patches; `patches` chooses which",
    "search/params": "what a search varies; `search` chooses which",
    "baselines": "chosen by the target, never by hand",
    "surface": "how usage above any level is forecast; chosen as `surface@surface.cpu=…`",
}
"""What a reader must know of a group."""


@dataclass(frozen=True)
class Key:
    """A key of a yaml with its value as written and its comment."""

    name: str
    value: str
    note: str


@dataclass(frozen=True)
class Choice:
    """A yaml: what its first comment says, what it builds on, and its keys."""

    group: str
    name: str
    about: str
    target: str
    defaults: tuple[str, ...]
    keys: tuple[Key, ...]

    @property
    def mounts(self) -> tuple[str, ...]:
        """What the keys begin with on the command line."""
        places = MOUNTS.get(self.group, (self.group.replace("/", "."),))
        return tuple(place.format(choice=self.name) for place in places)


def read_choice(path: Path) -> Choice:
    """Return what a yaml says, comments too."""
    group = path.parent.relative_to(CONF).as_posix()
    about: list[str] = []
    keys: list[Key] = []
    defaults: list[str] = []
    parents: list[tuple[int, str]] = []
    head = True
    in_defaults = False
    for raw in path.read_text().splitlines():
        line = raw.rstrip()
        if head and line.startswith("#"):
            about.append(line[1:].strip())
            continue
        head = head and not line
        text = line.strip()
        if text.startswith("- "):
            if in_defaults:
                defaults.append(text[2:].split(" #")[0])
            elif parents and keys and not keys[-1].value:
                keys[-1] = Key(keys[-1].name, "a list", keys[-1].note)
            continue
        match = LINE.match(line)
        if match is None or text.startswith("#"):
            continue
        indent = len(match["indent"])
        parents = [one for one in parents if one[0] < indent]
        in_defaults = match["key"] == "defaults" and not indent
        if in_defaults:
            continue
        parents.append((indent, match["key"]))
        name = ".".join(part for _, part in parents)
        keys.append(Key(name, (match["value"] or "").strip(), (match["note"] or "").strip()))
    target = next((key.value for key in keys if key.name == "_target_"), "")
    return Choice(
        group=group,
        name=path.stem,
        about=" ".join(about),
        target=target,
        defaults=tuple(defaults),
        keys=tuple(key for key in keys if not key.name.endswith("_target_")),
    )


def read_configuration() -> dict[str, list[Choice]]:
    """Return the choices of every group; those of ``config.yaml`` itself under ``"."``."""
    found: dict[str, list[Choice]] = {}
    for path in sorted(CONF.rglob("*.yaml")):
        choice = read_choice(path)
        found.setdefault(choice.group, []).append(choice)
    return found


def known_keys() -> set[str]:
    """Return every key that some choice has, and every group, as the command line names them."""
    found = set()
    for group, choices in read_configuration().items():
        found.add(group)
        for choice in choices:
            for mount in choice.mounts:
                prefix = "" if group == "." else f"{mount}."
                found |= {f"{prefix}{key.name}" for key in choice.keys}
    return found


def write_configuration() -> str:
    """Return the page of all groups as Markdown."""
    found = read_configuration()
    (top,) = found.pop(".")
    lines = ["## Keys of no group", "", *write_keys(top, "")]
    for group, choices in found.items():
        if group.startswith("hydra/") and "logging" in group:
            continue
        lines += ["", f"## `{group}`", ""]
        if group in TITLES:
            lines += [f"{TITLES[group][0].upper()}{TITLES[group][1:]}.", ""]
        lines += ["| choice | what it is |", "|---|---|"]
        lines += [f"| `{one.name}` | {cell(one.about)} |" for one in choices]
        for choice in choices:
            lines += ["", f"### `{group}={choice.name}`", ""]
            built = [f"`{one}`" for one in choice.defaults if one != "_self_"]
            if choice.target:
                lines += [f"Builds `{choice.target}`.", ""]
            if built:
                lines += [f"Takes over {', '.join(built)}.", ""]
            lines += write_keys(choice, f"{choice.mounts[0]}.")
    return "\n".join(lines)


def write_keys(choice: Choice, prefix: str) -> list[str]:
    """Return the table of a choice's keys."""
    if not choice.keys:
        return []
    rows = [
        f"| `{prefix}{key.name}` | {f'`{key.value}`' if key.value else ''} | {cell(key.note)} |"
        for key in choice.keys
        if key.value or key.note
    ]
    return ["| key | value | what it says |", "|---|---|---|", *rows]


def cell(text: str) -> str:
    """Return a text as a cell of a table can hold it."""
    return text.replace("|", "\\|").replace("<", "\\<")


def modules(room: str) -> Iterator[str]:
    """Yield the dotted names of a room's modules that say something."""
    for path in sorted((PACKAGE / room).rglob("*.py")):
        if path.name != "__init__.py" and (path.parent / "__init__.py").is_file():
            yield ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


def write_api(room: str) -> str:
    """Return the page of a room as Markdown that mkdocstrings reads."""
    return "\n\n".join(f"::: {name}" for name in modules(room))


def example_files(kind: str) -> list[Path]:
    """Return the files of an example, the module first; the same that a test runs."""
    directory = ROOT / "docs" / "examples" / kind
    return [*sorted(directory.glob("*.py")), *sorted(directory.rglob("*.yaml"))]


def write_example(kind: str) -> str:
    """Return the files of an example as blocks that pymdownx.snippets fills."""
    blocks = []
    for path in example_files(kind):
        title = path.relative_to(ROOT / "docs" / "examples" / kind)
        place = path.relative_to(ROOT / "docs")
        language = {".py": "python", ".yaml": "yaml"}[path.suffix]
        blocks.append(f'```{language} title="{title}"\n--8<-- "{place}"\n```')
    return "\n\n".join(blocks)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put what is generated where a page asks for it."""
    markdown = API.sub(lambda match: write_api(match[1]), markdown)
    markdown = EXAMPLE.sub(lambda match: write_example(match[1]), markdown)
    if CHANGELOG in markdown:
        text = (ROOT / "CHANGELOG.md").read_text().removeprefix("# Changelog\n")
        markdown = markdown.replace(CHANGELOG, text)
    if CONFIGURATION in markdown:
        markdown = markdown.replace(CONFIGURATION, write_configuration())
    return markdown


def on_page_content(html: str, **_: Any) -> str:
    """Write Sphinx's roles, which docstrings use, as code."""
    return ROLE.sub(
        lambda match: f"<code>{match[2].rpartition('.')[2] if match[1] else match[2]}</code>", html
    )
