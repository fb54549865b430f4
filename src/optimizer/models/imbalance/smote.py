"""SMOTE: new positives on the lines between neighbouring ones."""

from __future__ import annotations

import numpy as np

from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_count
from optimizer.models.imbalance.sampling import Encoding, Resampler, encode


class Smote(Resampler):
    """Add synthetic positives until they are ``sampling_strategy`` times the negatives.

    Parameters
    ----------
    sampling_strategy : float
        Positives per negative afterwards, in (0, 1]. The default of 0.25 (one row in five)
        rather than full balance: of 2 % positives, balance would make 49 in 50 synthetic.
    k_neighbors : int
        Neighbours among which the second parent is drawn, at least 1.
    max_rows : int
        A larger training fold is drawn down to this many rows first. The draw keeps as many
        measured positives as leave SMOTE half of the way to go.

    Notes
    -----
    Neighbours are searched on columns in units of their standard deviation, gaps filled by the
    training fold's median; the rows returned are in their own units and keep their gaps. A
    synthetic row has a gap where the nearer of its parents has one.

    Recurrent models pass windows, flattened. A synthetic window is then a convex combination
    ``a + u (b - a)``, ``0 <= u <= 1``, of two measured trajectories that both led to an event:
    at every step it lies between two measured values, hence within the physical range, and it
    is as continuous in time as its parents are. Interpolating step by step between different
    neighbours would break that; one ``u`` for the whole window does not.

    References
    ----------
    Chawla et al., SMOTE: Synthetic Minority Over-sampling Technique, JAIR 2002.
    """

    label = "smote"

    def __init__(
        self, sampling_strategy: float = 0.25, k_neighbors: int = 5, max_rows: int = 50_000
    ) -> None:
        super().__init__(sampling_strategy, max_rows)
        self.k_neighbors = require_count("imbalance.k_neighbors", k_neighbors, 1, fix=5)

    def _positives_needed(self) -> int:
        return self.k_neighbors + 1

    def _drawn_ratio(self) -> float:
        return self.sampling_strategy / 2.0

    def _sample(self, X: FloatArray, y: FloatArray, seed: int) -> tuple[FloatArray, FloatArray]:
        encoding = encode(X)
        values, labels = self._synthesise(encoding, y, seed)
        return encoding.decode(values), labels

    def _synthesise(
        self, encoding: Encoding, y: FloatArray, seed: int
    ) -> tuple[FloatArray, FloatArray]:
        from imblearn.over_sampling import SMOTE

        sampler = SMOTE(
            sampling_strategy=self.sampling_strategy,
            k_neighbors=self.k_neighbors,
            random_state=seed,
        )
        values, labels = sampler.fit_resample(encoding.values, y > 0.5)
        return values.astype(np.float32, copy=False), labels.astype(np.float32)
