"""One model of how often a level will be exceeded, for every service and any level."""

from __future__ import annotations

import numpy as np

from optimizer.core.errors import InsufficientHistoryError
from optimizer.core.panel import FloatArray
from optimizer.core.state import Stateful
from optimizer.core.validation import require_choice, require_count
from optimizer.demand.bounds import RequestBounds
from optimizer.demand.usage import Usage
from optimizer.models.base import ExceedanceModel, Runtime
from optimizer.models.exceedance.features import HALFLIVES, REFERENCES, SurfaceTable
from optimizer.models.exceedance.rows import (
    OUTCOMES,
    LevelRows,
    assemble,
    draw_levels,
    level_rows,
    past_exceedance,
)

LEAST_ROWS = 400
"""Fewer rows than this teach nothing."""


class ExceedanceSurface(Stateful):
    """P(a step of the coming interval uses more than a level | history): one global model.

    The target is the share of exceeding steps; the inputs are a service's features, log(level ÷
    each reference) and its own decayed past exceedance of the level. The model is constrained to be
    non-increasing in the level. Raises ConfigError: a setting is out of its range; it is named
    ``surface.<setting>``.

    Parameters
    ----------
    model : ExceedanceModel
        Learns the share.
    bounds : RequestBounds
        Least and largest level.
    levels_per_row : int
        Levels drawn around the references of each service and cutoff.
    max_rows : int
        Most rows of a fit, drawn at random.
    calendar : bool
        Whether the time of day and week are inputs: only where the clock is real.
    outcome : str
        ``"steps"``: P(a step uses more than the level). ``"peak"``: P(any step does), for memory,
        where one step kills.

    References
    ----------
    Rzadca et al., Autopilot, EuroSys 2020 (requests as minima of a cost).
    """

    def __init__(
        self,
        model: ExceedanceModel,
        bounds: RequestBounds,
        *,
        levels_per_row: int = 4,
        max_rows: int = 60_000,
        calendar: bool = False,
        outcome: str = "steps",
    ) -> None:
        self.levels_per_row = require_count("surface.levels_per_row", levels_per_row, 1, fix=4)
        self.max_rows = require_count("surface.max_rows", max_rows, LEAST_ROWS, fix=60_000)
        self.outcome = require_choice("surface.outcome", outcome, OUTCOMES)
        self.model = model
        self.bounds = bounds
        self.calendar = calendar

    def rows(self, usage: Usage, table: SurfaceTable, interval: int, seed: int) -> LevelRows:
        """Return levels drawn for a table, and their outcomes."""
        bounds = self.bounds.range(usage, table.cutoffs)
        levels = draw_levels(table, bounds, self.levels_per_row, seed)
        return level_rows(usage, table, interval, levels, self.outcome)

    def fit(self, table: SurfaceTable, rows: LevelRows, runtime: Runtime) -> ExceedanceSurface:
        """Learn from intervals that have ended.

        ``table``: features where the intervals begin. Raises InsufficientHistoryError: fewer than
        400 rows have an outcome.
        """
        X, y = self._training(table, rows, runtime.seed)
        falling, rising = len(REFERENCES), len(HALFLIVES)
        free = X.shape[1] - falling - rising
        monotone = [0] * free + [-1] * falling + [1] * rising
        self.model.fit_exceedance(X, y, monotone, runtime)
        return self

    def _training(
        self, table: SurfaceTable, rows: LevelRows, seed: int
    ) -> tuple[FloatArray, FloatArray]:
        """Return at most ``max_rows`` rows with an outcome."""
        usable = np.isfinite(rows.outcome) & table.known[:, :, None]
        found = np.flatnonzero(usable)
        if len(found) < LEAST_ROWS:
            raise InsufficientHistoryError(
                "rightsizing.surface",
                seen=f"{len(found)} rows with an outcome",
                allowed=f"at least {LEAST_ROWS}",
                fix="give more history, or shorten the interval that a request holds",
            )
        if len(found) > self.max_rows:
            rng = np.random.default_rng(seed)
            found = np.sort(rng.choice(found, self.max_rows, replace=False))
        cutoff, service, level = np.unravel_index(found, rows.levels.shape)
        X = assemble(
            table.features[cutoff, service],
            table.references[cutoff, service],
            rows.levels[cutoff, service, level][:, None],
            rows.past[cutoff, service, level][:, None],
        )
        return X, rows.outcome[cutoff, service, level]

    def exceedance(self, usage: Usage, table: SurfaceTable, levels: FloatArray) -> FloatArray:
        """Return P(a step of the interval after each cutoff uses more than each level).

        float32, shape as ``levels``, in [0, 1], non-increasing along the last axis; NaN for a
        service without history.

        - ``usage``: a cutoff reads ``usage.values[:, :cutoff]`` only.
        - ``table``: features at the cutoffs to ask for.
        - ``levels``: float32, positive, in the resource's unit, ascending along the last axis,
          shape ``(n_cutoffs, n_services, n_levels)``.
        """
        out = np.empty(levels.shape, dtype=np.float32)
        for i, cutoff in enumerate(table.cutoffs.tolist()):
            past = past_exceedance(usage, cutoff, levels[i])
            X = assemble(table.features[i], table.references[i], levels[i], past)
            share = self.model.predict_exceedance(X).reshape(levels.shape[1:])
            out[i] = np.where(table.known[i][:, None], share, np.nan)
        return np.minimum.accumulate(out, axis=2)

    def contributions(
        self, usage: Usage, table: SurfaceTable, levels: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return the inputs at one level per service, and what each adds to the log-odds.

        Inputs and what each adds to the log-odds, shape ``(n_services, n_inputs)`` each. ``table``:
        features of one cutoff. ``levels``: shape ``(n_services,)``.
        """
        wide = levels[:, None]
        past = past_exceedance(usage, int(table.cutoffs[0]), wide)
        X = assemble(table.features[0], table.references[0], wide, past)
        return X, self.model.contributions(X)


def expected_shortfall(levels: FloatArray, exceedance: FloatArray) -> FloatArray:
    """Return E(usage - level)⁺ as the integral of the exceedance above each level.

    Trapezoids between the levels; nothing beyond the last one, the cap. A jump is exact where its
    level is given twice, with the exceedance before and after. float32, same shape, in the unit of
    the levels, 0 at the last. ``levels``, ``exceedance``: same shape, ascending and non-increasing
    along the last axis.
    """
    middle = 0.5 * (exceedance[..., 1:] + exceedance[..., :-1])
    parts = np.diff(levels, axis=-1) * middle
    out = np.zeros(levels.shape, dtype=np.float32)
    out[..., :-1] = np.cumsum(parts[..., ::-1], axis=-1)[..., ::-1]
    return out
