"""One model of how often a level will be exceeded, for every service and any level."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.errors import InsufficientHistoryError
from optimizer.features.panel import FloatArray
from optimizer.rightsizing.base import Usage
from optimizer.rightsizing.surface_features import HALFLIVES, REFERENCES, SurfaceTable, describe
from optimizer.rightsizing.surface_rows import (
    LevelRows,
    assemble,
    draw_levels,
    level_rows,
    past_exceedance,
    request_bounds,
)

LEAST_ROWS = 400
"""Fewer rows than this teach nothing."""


class ExceedanceSurface:
    """P(a step of the coming interval uses more than a level | history): one global LightGBM.

    The target is the share of exceeding steps (cross-entropy); the inputs are a service's
    features, log(level ÷ each reference) and its own decayed past exceedance of the level. The
    model is constrained to be non-increasing in the level.

    Parameters
    ----------
    rounds, learning_rate, num_leaves, min_child_samples, feature_fraction, lambda_l2
        As in LightGBM.
    levels_per_row : int
        Levels drawn around the references of each service and cutoff.
    max_rows : int
        Most rows of a fit, drawn at random.
    floor : float
        Least level, in the resource's unit.
    calendar : bool
        Whether the time of day and week are inputs: only where the clock is real.

    References
    ----------
    Meinshausen, Quantile Regression Forests, JMLR 2006 (whole distributions from trees);
    Rzadca et al., Autopilot, EuroSys 2020 (requests as minima of a cost).
    """

    def __init__(  # noqa: PLR0913 - the knobs of one library
        self,
        *,
        rounds: int = 300,
        learning_rate: float = 0.05,
        num_leaves: int = 31,
        min_child_samples: int = 100,
        feature_fraction: float = 0.4,
        lambda_l2: float = 5.0,
        levels_per_row: int = 4,
        max_rows: int = 60_000,
        floor: float = 0.01,
        calendar: bool = False,
    ) -> None:
        self.rounds = rounds
        self.learning_rate = learning_rate
        self.num_leaves = num_leaves
        self.min_child_samples = min_child_samples
        self.feature_fraction = feature_fraction
        self.lambda_l2 = lambda_l2
        self.levels_per_row = levels_per_row
        self.max_rows = max_rows
        self.floor = floor
        self.calendar = calendar
        self._interval = 1
        self._threads = 1
        self._booster: Any = None

    def fit(
        self,
        usage: Usage,
        cutoffs: NDArray[np.int64],
        interval: int,
        seed: int = 0,
        threads: int = 1,
    ) -> ExceedanceSurface:
        """Learn from intervals that have ended.

        Parameters
        ----------
        usage : Usage
            Read up to the end of the last interval, ``cutoffs[-1] + interval``.
        cutoffs : numpy.ndarray
            int64, ascending: where the intervals to learn from begin.
        interval : int
            Their length in steps.
        seed, threads : int
            Of the draws and of LightGBM.

        Raises
        ------
        InsufficientHistoryError
            Fewer than 400 rows have an outcome.
        """
        table = describe(usage, cutoffs, interval, calendar=self.calendar)
        return self.fit_rows(
            table, self.rows(usage, table, interval, seed), interval, seed, threads
        )

    def rows(self, usage: Usage, table: SurfaceTable, interval: int, seed: int) -> LevelRows:
        """Return levels drawn for a table, and their outcomes."""
        bounds = request_bounds(usage, table.cutoffs, self.floor)
        levels = draw_levels(table, bounds, self.levels_per_row, seed)
        return level_rows(usage, table, interval, levels)

    def fit_rows(
        self, table: SurfaceTable, rows: LevelRows, interval: int, seed: int, threads: int
    ) -> ExceedanceSurface:
        """Learn from rows that are at hand; see :meth:`fit`."""
        import lightgbm as lgb

        X, y = self._training(table, rows, seed)
        data = lgb.Dataset(X, y, params={"verbosity": -1, "max_bin": 255})
        self._interval, self._threads = interval, threads
        self._booster = lgb.train(self._params(X.shape[1], seed, threads), data, self.rounds)
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
                fix="start the replay later, or shorten its interval",
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

    def _params(self, width: int, seed: int, threads: int) -> dict[str, Any]:
        falling, rising = len(REFERENCES), len(HALFLIVES)
        return {
            "objective": "cross_entropy",
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "min_data_in_leaf": self.min_child_samples,
            "feature_fraction": self.feature_fraction,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "lambda_l2": self.lambda_l2,
            "monotone_constraints": [0] * (width - falling - rising)
            + [-1] * falling
            + [1] * rising,
            "seed": seed,
            "deterministic": True,
            "force_col_wise": True,
            "num_threads": threads,
            "verbosity": -1,
        }

    def exceedance(
        self,
        usage: Usage,
        cutoffs: NDArray[np.int64],
        levels: FloatArray,
        table: SurfaceTable | None = None,
    ) -> FloatArray:
        """Return P(a step of the interval after each cutoff uses more than each level).

        Parameters
        ----------
        usage : Usage
            A cutoff reads ``usage.values[:, :cutoff]`` only.
        cutoffs : numpy.ndarray
            int64, ascending, shape ``(n_cutoffs,)``.
        levels : numpy.ndarray
            Positive, in the resource's unit, ascending along the last axis; broadcast to
            ``(n_cutoffs, n_services, n_levels)``.
        table : SurfaceTable, optional
            Features that hold these cutoffs, if they are at hand.

        Returns
        -------
        numpy.ndarray
            float32, shape ``(n_cutoffs, n_services, n_levels)``, in [0, 1], non-increasing along
            the last axis; NaN for a service without history.
        """
        shape = (len(cutoffs), usage.n_services, np.asarray(levels).shape[-1])
        levels = np.broadcast_to(np.asarray(levels, dtype=np.float32), shape)
        table = table or describe(usage, cutoffs, self._interval, calendar=self.calendar)
        rows = table.rows(cutoffs)
        out = np.empty(shape, dtype=np.float32)
        for i, cutoff in enumerate(cutoffs.tolist()):
            features, references = table.features[rows[i]], table.references[rows[i]]
            past = past_exceedance(usage, cutoff, levels[i])
            X = assemble(features, references, levels[i], past)
            share = self._booster.predict(X, num_threads=self._threads).reshape(shape[1:])
            out[i] = np.where(table.known[rows[i]][:, None], share, np.nan)
        return np.minimum.accumulate(out, axis=2)


def expected_shortfall(levels: FloatArray, exceedance: FloatArray) -> FloatArray:
    """Return E(usage - level)⁺ as the integral of the exceedance above each level.

    Trapezoids between the levels; nothing beyond the last one, the cap. A jump is exact where
    its level is given twice, with the exceedance before and after.

    Parameters
    ----------
    levels, exceedance : numpy.ndarray
        Same shape, ascending and non-increasing along the last axis.

    Returns
    -------
    numpy.ndarray
        float32, same shape, in the unit of the levels, 0 at the last.
    """
    middle = 0.5 * (exceedance[..., 1:] + exceedance[..., :-1])
    parts = np.diff(levels, axis=-1) * middle
    out = np.zeros(levels.shape, dtype=np.float32)
    out[..., :-1] = np.cumsum(parts[..., ::-1], axis=-1)[..., ::-1]
    return out
