"""Printed output in README and docs, made by the commands above it: ``make evidence``.

A block of output stands directly below its command, and a comment between the two says how it
was made::

    <!-- evidence: <name> <quick|slow> [needs="a b"] [loose] <cuts> sha256=<of the text> -->

name
    Of the run. Blocks of one name show the same run, and must have the same command.
quick, slow
    Quick ones are run by default, slow ones when they are named or with ``--all``.
needs
    Runs that must come before, in the same scratch directory: their models and caches are used.
loose
    The figures differ from run to run, such as seconds; ``--check`` compares the words only.
cuts
    What the block shows of the output, in order; all of it without a cut. ``from="pattern"``
    begins a cut and ``to="pattern"`` or ``rows=8`` ends it, with the first line that starts so;
    ``gap="  …"`` puts a line of its own below it. An empty line parts cuts that are apart.

::

    python docs/evidence.py                 run the quick ones and write their blocks
    python docs/evidence.py backtest grid   run these, and what they need
    python docs/evidence.py --all           run all; traces need the environment variable TRACES
    python docs/evidence.py --check         run the quick ones and fail where a figure differs
    python docs/evidence.py --outputs DIR   take the output from DIR/<name>.txt, run nothing
    python docs/evidence.py --list          say what there is

A command that fails, or whose output lacks what a cut begins or ends with, leaves its blocks as
they were, and the tool ends with status 1. Whole outputs are kept in ``build/evidence/outputs``.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "evidence"
LINKED = ("flows", "benchmarks")
"""Directories that commands name by a relative path."""
MAKE = {"make train": "python flows/train.py", "make bench": "python benchmarks/run.py"}
"""What a target runs once the environment is there."""
QUIET = {
    "PYTHONUNBUFFERED": "1",
    "NO_COLOR": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
PICTURES = {"recommend": ("outputs/rec/report.html", "docs/images/report.png")}
"""Pages that a run leaves, and their pictures; only where a Chromium is installed."""
BLOCK = re.compile(
    r"^```console\n(?P<console>(?:(?!```).*\n)*)```\n+"
    r"^<!-- evidence: (?P<head>.*?) ?sha256=(?P<sha>\w*) -->\n+"
    r"^```text\n(?P<text>(?:(?!```).*\n)*)```$",
    re.MULTILINE,
)
WORD = re.compile(r'(?P<key>[a-z]+)(?:=(?:"(?P<quoted>[^"]*)"|(?P<bare>\S+)))?')
LOG_LINE = re.compile(r"\d\d:\d\d:\d\d \| |See https://docs\.prefect\.io")
ANSI = re.compile(r"\x1b\[[0-9;]*m")
MASKS = (
    (re.compile(r"\b[0-9a-f]{32}\b"), "<run>"),
    (re.compile(r"\b\d\d:\d\d:\d\d\b"), "<clock>"),
    (re.compile(r"\b[\d,.]+ s\b"), "<seconds> s"),
    (re.compile(r"\bversion [0-9a-f]+\b"), "version <version>"),
    (re.compile(r"outputs/[\w/.-]+"), "outputs/<place>"),
)
NUMBER = re.compile(r"[+-]?\d[\d,.]*(?:e[+-]?\d+)?")


@dataclass(frozen=True)
class Cut:
    """Part of an output: from a line to another, or for a number of lines."""

    begin: str
    end: str | None = None
    rows: int | None = None
    gap: str | None = None


@dataclass(frozen=True)
class Block:
    """A block of output in a page."""

    page: Path
    place: int
    name: str
    quick: bool
    needs: tuple[str, ...]
    loose: bool
    cuts: tuple[Cut, ...]
    commands: tuple[str, ...]
    sha: str
    text: str

    @property
    def intact(self) -> bool:
        """Whether the text is what the tool wrote."""
        return digest(self.text) == self.sha


@dataclass(frozen=True)
class Run:
    """The commands of all blocks of one name, and what they need."""

    name: str
    quick: bool
    needs: tuple[str, ...]
    commands: tuple[str, ...]

    @property
    def wants_traces(self) -> bool:
        """Whether it reads a trace, which the user has to get."""
        return any("$TRACES" in command for command in self.commands)


class EvidenceError(Exception):
    """A block, a name or an output that is not as it should be."""


def digest(text: str) -> str:
    """Return the SHA-256 of a block's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def pages() -> list[Path]:
    """Return the pages that may hold blocks: the README, then the docs."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def read_blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in order."""
    found = enumerate(BLOCK.finditer(page.read_text()))
    return [parse_block(page, place, match) for place, match in found]


def parse_block(page: Path, place: int, match: re.Match[str]) -> Block:
    """Return what a block and its comment say."""
    name, kind, *_ = match["head"].split()
    if kind not in {"quick", "slow"}:
        raise EvidenceError(f"{page.name}: {name} is {kind}, which is neither quick nor slow")
    cuts: list[dict[str, str]] = []
    needs: tuple[str, ...] = ()
    loose = False
    rest = match["head"].split(kind, 1)[1]
    for word in WORD.finditer(rest):
        key = word["key"]
        value = word["bare"] if word["quoted"] is None else word["quoted"]
        if key == "needs":
            needs = tuple(value.split())
        elif key == "loose":
            loose = True
        elif key == "from":
            cuts.append({"from": value})
        elif key in {"to", "rows", "gap"} and cuts:
            cuts[-1][key] = value
        else:
            raise EvidenceError(f"{page.name}: {name}: {key} is not understood here")
    return Block(
        page=page,
        place=place,
        name=name,
        quick=kind == "quick",
        needs=needs,
        loose=loose,
        cuts=tuple(
            Cut(
                one["from"], one.get("to"), int(one["rows"]) if "rows" in one else None,
                one.get("gap"),
            )
            for one in cuts
        ),
        commands=tuple(read_commands(match["console"])),
        sha=match["sha"],
        text=match["text"],
    )  # fmt: skip


def read_commands(console: str) -> Iterator[str]:
    """Yield the commands of a console block, those on several lines as one."""
    joined = re.sub(r"\\\n\s*", "", console)
    for line in joined.splitlines():
        if line.startswith("$ "):
            yield line[2:].strip()


def collect_runs(blocks: Iterable[Block]) -> dict[str, Run]:
    """Return the runs by name, in an order in which each comes after what it needs."""
    found: dict[str, Run] = {}
    for block in blocks:
        run = Run(block.name, block.quick, block.needs, block.commands)
        if found.setdefault(block.name, run) != run:
            raise EvidenceError(f"{block.name}: its blocks differ in command, needs or quick")
    ordered: dict[str, Run] = {}

    def place(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise EvidenceError(f"{name} needs itself: {' -> '.join(above)}")
        if name not in found:
            raise EvidenceError(f"{name} is needed by {above[-1]}, and no block has that name")
        for need in found[name].needs:
            place(need, (*above, name))
        ordered.setdefault(name, found[name])

    for name in found:
        place(name, ())
    return ordered


def choose(runs: Mapping[str, Run], names: Sequence[str], *, everything: bool) -> list[Run]:
    """Return what to run: the named runs and what they need, or the quick ones, or all."""
    unknown = [name for name in names if name not in runs]
    if unknown:
        raise EvidenceError(f"no block is named {', '.join(unknown)}; there are {', '.join(runs)}")
    wanted = set(names) or {name for name, run in runs.items() if everything or run.quick}
    for run in reversed(list(runs.values())):
        if run.name in wanted:
            wanted |= set(run.needs)
    return [run for name, run in runs.items() if name in wanted]


def families(runs: Mapping[str, Run]) -> dict[str, str]:
    """Return the scratch directory of each run: one for all that need each other."""
    family = {name: name for name in runs}
    for run in runs.values():
        for need in run.needs:
            old, new = family[need], family[run.name]
            family = {name: new if home == old else home for name, home in family.items()}
    return family


def perform(run: Run, scratch: Path) -> str:
    """Run the commands in a directory, show and keep what they print, and return it."""
    scratch.mkdir(parents=True, exist_ok=True)
    for name in LINKED:
        if not (scratch / name).exists():
            (scratch / name).symlink_to(ROOT / name)
    here = str(Path(sys.executable).parent)
    environment = {**os.environ, **QUIET, "PATH": os.pathsep.join([here, os.environ["PATH"]])}
    kept = BUILD / "outputs" / f"{run.name}.txt"
    kept.parent.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    with kept.open("w") as file:
        for command in run.commands:
            tell(f"\n[{run.name}] $ {command}")
            words = shlex.split(os.path.expandvars(plain_command(command)))
            with subprocess.Popen(  # noqa: S603 - commands of our own pages
                words, cwd=scratch, env=environment, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            ) as process:  # fmt: skip
                assert process.stdout is not None  # noqa: S101 - it is a pipe
                for line in process.stdout:
                    file.write(line)
                    tell(line.rstrip("\n"))
                    lines.append(line)
            if process.returncode:
                raise EvidenceError(f"{run.name}: status {process.returncode} of {command}")
    return "".join(lines).replace(f"{scratch}/", "")


def plain_command(command: str) -> str:
    """Return what is run for a command: of make what its target runs."""
    for target, plain in MAKE.items():
        if command == target or command.startswith(f"{target} "):
            given = re.search(r'ARGS="([^"]*)"', command)
            return f"{plain} {given[1]}" if given else plain
    return command


def cut_output(block: Block, output: str) -> str:
    """Return what a block shows of an output.

    Raises
    ------
    EvidenceError
        A line that a cut begins or ends with is not there.
    """
    lines = [ANSI.sub("", line).rstrip() for line in output.splitlines()]
    lines = [line for line in lines if not LOG_LINE.match(line)]
    if not block.cuts:
        return "\n".join(lines).strip("\n") + "\n"
    shown: list[str] = []
    at = 0
    for number, cut in enumerate(block.cuts):
        begin = find_line(lines, cut.begin, at, block.name)
        end = begin + 1
        if cut.rows is not None:
            end = begin + cut.rows
        elif cut.end is not None:
            end = find_line(lines, cut.end, begin, block.name) + 1
        if number and begin > at:
            shown.append("")
        shown += lines[begin:end]
        if cut.gap is not None:
            shown.append(cut.gap)
        at = end
    return "\n".join(shown).rstrip("\n") + "\n"


def find_line(lines: Sequence[str], start: str, at: int, name: str) -> int:
    """Return the place of the first line from a place on that starts with a pattern."""
    for place in range(at, len(lines)):
        if re.match(start, lines[place].lstrip()):
            return place
    raise EvidenceError(f"{name}: no line of the output starts with {start!r}")


def write_block(block: Block, text: str) -> None:
    """Put a text and its sha256 in the place of a block's own."""
    page = block.page.read_text()
    match = list(BLOCK.finditer(page))[block.place]
    whole = match[0]
    changed = whole[: match.start("text") - match.start()] + text + "```"
    changed = changed.replace(f"sha256={match['sha']} -->", f"sha256={digest(text)} -->", 1)
    block.page.write_text(page[: match.start()] + changed + page[match.end() :])


def mask(text: str, *, loose: bool) -> str:
    """Return a text without what differs from run to run."""
    for pattern, name in MASKS:
        text = pattern.sub(name, text)
    if loose:
        text = re.sub(r"[ ─]+", " ", NUMBER.sub("#", text))
    return text


def compare(block: Block, text: str) -> bool:
    """Tell whether a block shows what its command prints now, and show the difference."""
    old, new = (mask(one, loose=block.loose).splitlines() for one in (block.text, text))
    for line in difflib.unified_diff(old, new, f"{block.page.name}: {block.name}", "now", n=0):
        tell(line)
    return old == new


def draw(name: str, scratch: Path) -> None:
    """Take the picture of a page that a run left, where a Chromium is installed."""
    if name not in PICTURES:
        return
    page, picture = scratch / PICTURES[name][0], ROOT / PICTURES[name][1]
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if browser is None:
        tell(f"{picture.name} is left as it is: no chromium is installed")
        return
    draft = BUILD / picture.name
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    size = ["--window-size=1200,1130", f"--screenshot={draft}"]
    done = subprocess.run(  # noqa: S603 - our own page
        [browser, *words, *size, page.as_uri()], capture_output=True, timeout=120, check=False
    )
    if done.returncode == 0 and draft.is_file():
        draft.replace(picture)


def tell(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="runs; the quick ones if none is named")
    parser.add_argument("--all", action="store_true", help="the slow ones too")
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    parser.add_argument("--outputs", type=Path, help="directory of outputs, in place of running")
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    return parser.parse_args()


def list_runs(runs: Mapping[str, Run]) -> None:
    """Say what there is."""
    for run in runs.values():
        kind = "quick" if run.quick else "slow "
        needs = f"  (needs {' '.join(run.needs)})" if run.needs else ""
        tell(f"{run.name:<20} {kind}  {'; '.join(run.commands)}{needs}")


def renew(run: Run, blocks: Sequence[Block], scratch: Path, asked: argparse.Namespace) -> bool:
    """Run a run, and write its blocks or compare them; tell whether all went well."""
    own = [block for block in blocks if block.name == run.name]
    try:
        if asked.outputs is None:
            output = perform(run, scratch)
        else:
            output = (asked.outputs / f"{run.name}.txt").read_text()
        texts = [cut_output(block, output) for block in own]
    except (EvidenceError, OSError) as error:
        tell(f"error: {error}; its blocks are left as they are")
        return False
    if asked.check:
        same = [compare(block, text) for block, text in zip(own, texts, strict=True)]
        return all(same)
    for block, text in zip(own, texts, strict=True):
        write_block(block, text)
    if asked.outputs is None:
        draw(run.name, scratch)
    tell(f"{run.name}: written to {', '.join(sorted({block.page.name for block in own}))}")
    return True


def main() -> int:
    """Run what was asked for; return 1 if anything failed or differs."""
    asked = arguments()
    blocks = [block for page in pages() for block in read_blocks(page)]
    runs = collect_runs(blocks)
    if asked.list:
        list_runs(runs)
        return 0
    home = families(runs)
    if asked.outputs is None:
        shutil.rmtree(BUILD / "scratch", ignore_errors=True)
    failed: list[str] = []
    for run in choose(runs, asked.names, everything=asked.all):
        if run.wants_traces and asked.outputs is None and "TRACES" not in os.environ:
            tell(f"{run.name} is left out: set TRACES to the directory of the traces")
        elif any(need in failed for need in run.needs):
            tell(f"{run.name} is left out: what it needs has failed")
            failed.append(run.name)
        elif not renew(run, blocks, BUILD / "scratch" / home[run.name], asked):
            failed.append(run.name)
    if failed:
        tell(f"failed or differs: {', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except EvidenceError as error:
        raise SystemExit(f"error: {error}") from None
