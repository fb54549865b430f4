"""Lines and tables on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any


def show_table(title: str, head: tuple[str, ...], rows: Sequence[Sequence[str]]) -> None:
    """Print a table as plain text, the first row in bold where the terminal can."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for index, name in enumerate(head):
        text = index == 0 or name == "values"
        table.add_column(name, justify="left" if text else "right", no_wrap=name != "values")
    for index, row in enumerate(rows):
        table.add_row(*map(escape, row), style="bold" if index == 0 else None)
    console = Console(width=None if sys.stdout.isatty() else 132, highlight=False)
    if "values" not in head:  # a figure is never cut: rather a line that the terminal wraps
        wide = Console(width=1000)
        console.width = max(console.width, wide.measure(table).maximum)
    console.print(table)


def echo(*lines: Any) -> None:
    """Print lines to standard output, at once."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
