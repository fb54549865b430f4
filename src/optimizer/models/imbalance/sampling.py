"""What all resamplers share: the seeded draw, the care of gaps, and the line that says it all.

A resampler sees the rows of the training fold and nothing else. Neighbour searches cost up to
quadratic time, so a large fold is first drawn down to ``max_rows``.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.core.errors import TargetError
from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between, require_count
from optimizer.models.imbalance.base import ImbalanceStrategy, count_classes

_MARK = np.float32(1e-6)
"""Size of a missing-value mark beside standardised columns: too small to move a distance."""


class Resampler(ImbalanceStrategy):
    """Base of the strategies that change which rows a model is fitted on.

    ``sampling_strategy``: positives per negative after resampling, in (0, 1]. ``max_rows``: a
    larger training fold is drawn down to this many rows first.
    """

    label = "resample"

    def __init__(self, sampling_strategy: float, max_rows: int) -> None:
        require_between(
            "imbalance.sampling_strategy", sampling_strategy, 0.0, 1.0, fix=0.25, open_low=True
        )
        self.max_rows = require_count("imbalance.max_rows", max_rows, 1, fix=50_000)
        self.sampling_strategy = float(sampling_strategy)

    @property
    def resamples(self) -> bool:
        """Whether ``resample`` changes anything: always."""
        return True

    def resample(
        self, X: FloatArray, y: FloatArray, seed: int
    ) -> tuple[FloatArray, FloatArray, str]:
        """Return resampled rows, their labels, and a line that says what was done.

        ``X``: float32, shape ``(n, n_inputs)``; may hold NaN, and so may the result. ``y``:
        float32, shape ``(n,)``, 0 or 1. Raises TargetError: too few positives.
        """
        require_positives(y, self._positives_needed())
        chosen = draw_rows(y, self.max_rows, self._drawn_ratio(), seed)
        drawn = y[chosen]
        require_positives(drawn, self._positives_needed(), drawn_to=self.max_rows)
        negatives, positives = count_classes(drawn)
        rows = X[chosen] if len(chosen) < len(y) else X
        if positives >= self.sampling_strategy * negatives:
            return rows, drawn, self._line(len(y), drawn, drawn)
        out, labels = self._sample(rows, drawn, seed)
        return out, labels, self._line(len(y), drawn, labels)

    def _positives_needed(self) -> int:
        """Return how many positives the sampler needs at least."""
        return 1

    def _drawn_ratio(self) -> float:
        """Return the most positives per negative that a draw may hold."""
        return self.sampling_strategy

    @abstractmethod
    def _sample(self, X: FloatArray, y: FloatArray, seed: int) -> tuple[FloatArray, FloatArray]:
        """Resample the drawn rows, whose positives are too rare."""

    def _line(self, n_rows: int, drawn: FloatArray, out: FloatArray) -> str:
        steps = [f"{n_rows:,}"]
        if len(drawn) < n_rows:
            steps.append(f"sample {len(drawn):,} rows")
        share = 100.0 * count_classes(out)[1] / len(out)
        return f"{self.label}: {' -> '.join(steps)} -> {len(out):,} rows ({share:.0f} % positive)"


def require_positives(y: FloatArray, needed: int, drawn_to: int | None = None) -> None:
    """Raise unless the labels hold enough positives and a negative.

    ``y``: labels of the training fold, shape ``(n,)``, 0 or 1. ``drawn_to``:
    ``imbalance.max_rows``, if the labels are those of a draw. Raises TargetError: too few
    positives, or no negative.
    """
    negatives, positives = count_classes(y)
    if positives >= needed and negatives > 0:
        return
    fix = "use a longer history, a lower target.ceiling or imbalance=class_weight"
    if positives == 0:
        fix = "use a longer history or a lower target.ceiling"
    if negatives == 0:
        fix = "use a higher target.ceiling"
    if drawn_to is not None:
        fix = f"raise imbalance.max_rows above {drawn_to:,}"
    raise TargetError(
        "labels of the training fold",
        seen=f"{positives:,} positive and {negatives:,} negative rows",
        allowed=f"at least {needed} positive and 1 negative",
        fix=fix,
    )


def draw_rows(y: FloatArray, max_rows: int, ratio: float, seed: int) -> NDArray[np.int64]:
    """Return the rows of a draw that keeps as many positives as the ratio allows.

    int64, ascending, without repeats. ``y``: labels, shape ``(n,)``, 0 or 1. ``max_rows``: rows to
    draw at most; all rows are returned if there are no more than that. ``ratio``: most positives
    per negative in the draw, above 0.
    """
    if len(y) <= max_rows:
        return np.arange(len(y), dtype=np.int64)
    rng = np.random.default_rng(seed)
    positive, negative = np.flatnonzero(y > 0.5), np.flatnonzero(y <= 0.5)
    n_positive = min(len(positive), max(1, int(max_rows * ratio / (1.0 + ratio))))
    n_negative = min(len(negative), max_rows - n_positive)
    parts = (
        rng.choice(positive, n_positive, replace=False),
        rng.choice(negative, n_negative, replace=False),
    )
    return np.sort(np.concatenate(parts)).astype(np.int64)


@dataclass(frozen=True)
class Encoding:
    """Rows made fit for a neighbour search, and the way back.

    ``values``: float32, shape ``(n, n_inputs + n_gappy)``: columns in units of their standard
    deviation, gaps filled by the column's median, then one mark per column that has gaps.
    ``scale``: float32, shape ``(n_inputs,)``. ``gappy``: int64: columns that have gaps.
    """

    values: FloatArray
    scale: FloatArray
    gappy: NDArray[np.int64]

    @property
    def n_inputs(self) -> int:
        """Number of columns of the original rows."""
        return len(self.scale)

    def decode(self, values: FloatArray) -> FloatArray:
        """Return rows in their own units, with gaps where the marks say so.

        A synthetic row lies between two parents, and so do its marks: its value is missing
        where it is missing in the nearer parent. Missingness therefore never tells a synthetic
        row from a measured one, as it would if all synthetic rows were complete.
        """
        out = values[:, : self.n_inputs] * self.scale
        missing = values[:, self.n_inputs :] > 0.5 * _MARK
        for position, column in enumerate(self.gappy):
            out[missing[:, position], column] = np.nan
        return out


def encode(X: FloatArray) -> Encoding:
    """Return the rows in a form that SMOTE can search and interpolate.

    ``X``: float32, shape ``(n, n_inputs)``; may hold NaN. A column of NaN only becomes 0.
    """
    n_inputs = X.shape[1]
    gappy = np.array([j for j in range(n_inputs) if np.isnan(X[:, j]).any()], dtype=np.int64)
    values = np.empty((len(X), n_inputs + len(gappy)), dtype=np.float32)
    values[:, :n_inputs] = X
    for position, column in enumerate(gappy):
        missing = np.isnan(X[:, column])
        known = X[~missing, column]
        values[missing, column] = np.median(known) if len(known) else 0.0
        values[:, n_inputs + position] = missing * _MARK
    spread = values[:, :n_inputs].std(axis=0, dtype=np.float64)
    scale = np.where(spread > 0.0, spread, 1.0).astype(np.float32)
    values[:, :n_inputs] /= scale
    return Encoding(values=values, scale=scale, gappy=gappy)
