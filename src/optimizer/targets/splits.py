"""Rolling-origin folds: train, validation and test in the order of time, with a gap between."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import count_steps, parse_duration
from optimizer.core.errors import ConfigError, InsufficientHistoryError
from optimizer.core.panel import Panel


@dataclass(frozen=True)
class Fold:
    """Half-open ranges of steps; each ends a gap before the next begins.

    ``train``, ``valid``, ``test``: first step and the step after the last. ``gap_steps``: steps
    left out at the end of training and of validation.
    """

    train: tuple[int, int]
    valid: tuple[int, int]
    test: tuple[int, int]
    gap_steps: int


@dataclass(frozen=True)
class RollingOrigin:
    """Cut the observed time into folds; the newest part is the last fold's test.

    With several folds the test share is divided among them: each fold tests on the next piece,
    validates on the share before it and trains on all that is older (Tashman 2000,
    "Out-of-sample tests of forecasting accuracy").

    Parameters
    ----------
    folds : int
        Number of folds, at least 1.
    train, valid, test : float
        Shares of the observed steps; they sum to 1.
    gap : str, optional
        Time left out between two parts; the target's own minimum if absent.
    """

    folds: int = 1
    train: float = 0.60
    valid: float = 0.15
    test: float = 0.25
    gap: str | None = None

    def __post_init__(self) -> None:
        """Check the settings."""
        shares = (self.train, self.valid, self.test)
        if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
            raise ConfigError(
                "split.train, split.valid, split.test",
                seen=", ".join(f"{share:g}" for share in shares),
                allowed="three positive shares that sum to 1",
                fix="set split.train=0.6 split.valid=0.15 split.test=0.25",
            )
        if self.folds < 1:
            raise ConfigError(
                "split.folds", seen=self.folds, allowed="1 or more", fix="set split.folds=1"
            )

    def gap_of(self, least: pd.Timedelta) -> pd.Timedelta:
        """Return the gap, checked against the least that the target allows.

        Raises ConfigError: the configured gap is shorter: a label of one fold would read the next.
        """
        if self.gap is None:
            return least
        gap = parse_duration(self.gap, "split.gap")
        if gap < least:
            raise ConfigError(
                "split.gap",
                seen=self.gap,
                allowed=f"at least {least}: the horizon plus the label's look-ahead",
                fix="leave split.gap out, or lengthen it",
            )
        return gap

    def split(self, panel: Panel, least_gap: pd.Timedelta) -> list[Fold]:
        """Return the folds, oldest first.

        Only steps at which any service was observed count as time, so that a trace of separate days
        is cut by its days. Where the folds lie depends on the clock, never on values. Raises
        InsufficientHistoryError: a part would be empty after its gap.
        """
        piece = self.test / self.folds
        edges = [1 - piece * left for left in range(self.folds, -1, -1)]
        return [self._cut(panel, least_gap, pair, "split.folds") for pair in pairwise(edges)]

    def validation_folds(self, panel: Panel, least_gap: pd.Timedelta, count: int) -> list[Fold]:
        """Return folds that validate before every test fold and test on nothing, oldest first.

        The newest trains and validates on the rows of the first fold of :meth:`split`; each earlier
        one validates on the share before and trains on all that is older. Raises
        InsufficientHistoryError: a part would be empty after its gap.
        """
        first = 1 - self.test / self.folds * self.folds  # as split() has it, to the last digit
        origins = [first - self.valid * back for back in range(count - 1, -1, -1)]
        return [self._cut(panel, least_gap, (one, one), "search.folds") for one in origins]

    def _cut(
        self, panel: Panel, least_gap: pd.Timedelta, test: tuple[float, float], key: str
    ) -> Fold:
        """Return the fold whose test lies between two shares of the observed time."""
        gap = count_steps(self.gap_of(least_gap), panel.step)
        seen = np.flatnonzero(panel.present.any(axis=0))
        tested = _at(seen, test[0]), _at(seen, test[1])
        valid = _at(seen, max(test[0] - self.valid, 0.0)), tested[0] - gap
        train = int(seen[0]), valid[0] - gap
        lengths = [stop - start for start, stop in (train, valid, tested)]
        if min(lengths[:2]) < 1 or (test[1] > test[0] and lengths[2] < 1):
            raise InsufficientHistoryError(
                f"split, fold that ends at {test[1]:.0%} of the time",
                seen=f"{len(seen)} observed steps of {panel.step}",
                allowed=f"parts longer than the gap of {gap} steps",
                fix=f"give more history, shorten target.horizon or lower {key}",
            )
        return Fold(train, valid, tested, gap)


def _at(seen: NDArray[np.int64], share: float) -> int:
    """Return the step before which a share of the observed steps lies."""
    index = round(share * len(seen))
    return int(seen[index]) if index < len(seen) else int(seen[-1]) + 1
