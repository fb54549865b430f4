"""How a training tells its progress, so that whoever watches can end one that leads nowhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np


class TrainingStopped(Exception):  # noqa: N818 - nothing has gone wrong
    """The watcher ended the training; nothing was learned that should be used."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True)
class TrainingCallback:
    """Takes the validation figure of a training that goes on.

    Events report the average precision, forecasts a pinball loss (of boosters: relative to that of
    a constant, since each of their models has a scale of its own). The values of trainings of one
    model are comparable at equal shares. ``tell``: called with the share of the whole work that is
    done, in (0, 1], and the value; raises :class:`TrainingStopped` to end the training. None:
    nobody watches. ``start``, ``stop``: the part of the whole that this training is.
    """

    tell: Callable[[float, float], None] | None = None
    start: float = 0.0
    stop: float = 1.0

    @property
    def active(self) -> bool:
        """Whether anybody watches: if not, no figure need be computed for it."""
        return self.tell is not None

    def part(self, index: int, count: int) -> TrainingCallback:
        """Return the watch of one of several trainings that follow each other."""
        width = (self.stop - self.start) / count
        start = self.start + index * width
        return replace(self, start=start, stop=start + width)

    def report(self, share: float, value: float) -> None:
        """Report a value when a share in (0, 1] of this training is done.

        Raises TrainingStopped: the watcher has seen enough.
        """
        if self.tell is not None and np.isfinite(value):
            self.tell(self.start + share * (self.stop - self.start), float(value))


@contextmanager
def round_bar(total: int, label: str, shown: bool) -> Iterator[Callable[[], None]]:
    """Yield a function to call once per boosting round; it draws one progress bar for all boosters.

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
