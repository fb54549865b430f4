"""Rows to learn the exceedance surface from: levels around the past, and what came above them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray
from optimizer.demand.usage import Usage
from optimizer.models.exceedance.features import HALFLIVES, WINDOWS, Clock, SurfaceTable, log_levels
from optimizer.models.exceedance.past import DecayedHistory, trailing


@dataclass(frozen=True)
class LevelRows:
    """Levels of a table's rows, and the share of the coming steps above each.

    - ``levels``: float32, shape ``(n_cutoffs, n_services, n_levels)``.
    - ``past``: float32, shape ``(n_cutoffs, n_services, n_levels, n_halflives)``: decayed share of
      past steps above the level.
    - ``outcome``: float32, shape as ``levels``: share of the coming interval's observed steps above
      the level, or 1 where any is; NaN where fewer than half of them were observed.
    """

    levels: FloatArray
    past: FloatArray
    outcome: FloatArray

    def part(self, which: NDArray[np.bool_]) -> LevelRows:
        """Return the rows of some of the cutoffs."""
        return LevelRows(self.levels[which], self.past[which], self.outcome[which])


def draw_levels(
    table: SurfaceTable, bounds: tuple[float, FloatArray], number: int, seed: int
) -> FloatArray:
    """Return levels around each row's references: half of them close by, half up to far off.

    float32, shape ``(n_cutoffs, n_services, number)``. ``number``: levels per row. ``seed``: seeds
    the draw; the levels of a cutoff do not depend on the other cutoffs.
    """
    floor, cap = bounds
    out = np.empty((*table.references.shape[:2], number), dtype=np.float32)
    for row, cutoff in enumerate(table.cutoffs.tolist()):
        rng = np.random.default_rng([seed, cutoff])
        references = table.references[row]
        shape = (len(references), number)
        picked = np.take_along_axis(
            references, rng.integers(references.shape[1], size=shape), axis=1
        )
        spread = np.where(rng.random(shape) < 0.5, 0.04, 0.5)
        levels = picked * np.exp(spread * rng.standard_normal(shape))
        levels = np.where(np.isnan(levels), cap[row][:, None] * rng.random(shape), levels)
        out[row] = np.clip(levels, floor, cap[row][:, None])
    return out


def past_exceedance(usage: Usage, cutoff: int, levels: FloatArray) -> FloatArray:
    """Return the decayed share of past steps above each level, ``(n_services, n_levels, 3)``."""
    clock = Clock(usage.step, 1)
    past = trailing(usage.values, cutoff, clock.steps(WINDOWS[-1]))
    return DecayedHistory(past, [clock.steps(life) for life in HALFLIVES]).exceedance(levels)


def exceeding_share(usage: Usage, cutoff: int, interval: int, levels: FloatArray) -> FloatArray:
    """Return the share of the coming interval's observed steps above each level.

    float32, shape as ``levels``; NaN where fewer than half of the steps were observed.

    - ``usage``: read from the cutoff on: this is an outcome, known once the interval has ended.
    - ``cutoff``, ``interval``: first step and number of steps of the interval.
    - ``levels``: shape ``(n_services, n_levels)``.
    """
    coming = usage.values[:, cutoff : cutoff + interval]
    count = np.sum(~np.isnan(coming), axis=1)[:, None]
    above = np.sum(coming[:, None, :] > levels[:, :, None], axis=2)
    share = above / np.maximum(count, 1)
    return np.where(2 * count >= interval, share, np.nan).astype(np.float32)


def exceeding_peak(usage: Usage, cutoff: int, interval: int, levels: FloatArray) -> FloatArray:
    """Return 1 where the coming interval's peak is above the level, else 0; NaN as there."""
    share = exceeding_share(usage, cutoff, interval, levels)
    return np.where(np.isnan(share), np.nan, share > 0).astype(np.float32)


OUTCOMES = {"steps": exceeding_share, "peak": exceeding_peak}
"""What a surface may learn: the share of steps above a level, or whether any step is."""


def level_rows(
    usage: Usage, table: SurfaceTable, interval: int, levels: FloatArray, outcome: str = "steps"
) -> LevelRows:
    """Return the rows of a table at given levels; see :class:`LevelRows` and ``OUTCOMES``."""
    past = np.stack(
        [past_exceedance(usage, c, levels[i]) for i, c in enumerate(table.cutoffs.tolist())]
    )
    read, cutoffs = OUTCOMES[outcome], table.cutoffs.tolist()
    found = np.stack([read(usage, c, interval, levels[i]) for i, c in enumerate(cutoffs)])
    return LevelRows(levels, past, found)


def assemble(
    features: FloatArray, references: FloatArray, levels: FloatArray, past: FloatArray
) -> FloatArray:
    """Return the model's inputs: one row per level.

    float32, shape ``(n * n_levels, n_features + n_references + n_halflives)``. ``features``,
    ``references``: shapes ``(n, n_features)`` and ``(n, n_references)``. ``levels``: shape ``(n,
    n_levels)``. ``past``: shape ``(n, n_levels, n_halflives)``.
    """
    ratios = log_levels(levels, references)
    wide = (*levels.shape, features.shape[1])
    whole = np.concatenate([np.broadcast_to(features[:, None], wide), ratios, past], axis=2)
    return whole.reshape(-1, whole.shape[2])
