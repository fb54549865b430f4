"""One progress bar for all boosters, silent unless asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def round_bar(total: int, label: str, shown: bool) -> Iterator[Callable[[], None]]:
    """Yield a function to call once per boosting round.

    ``total``: rounds at most. ``label``: what is being fitted. ``shown``: draw the bar; otherwise
    the function does nothing.
    """
    if not shown:
        yield lambda: None
        return
    from rich.progress import Progress

    with Progress(transient=True) as progress:
        bar = progress.add_task(label, total=total)
        yield lambda: progress.advance(bar)
