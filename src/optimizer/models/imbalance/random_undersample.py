"""Random undersampling: fewer negatives, drawn at random."""

from __future__ import annotations

import numpy as np

from optimizer.core.panel import FloatArray
from optimizer.models.imbalance.sampling import Resampler


class RandomUndersample(Resampler):
    """Drop negatives at random until the positives are ``sampling_strategy`` times as many.

    Parameters
    ----------
    sampling_strategy : float
        Positives per negative afterwards, in (0, 1].
    max_rows : int
        A larger training fold is drawn down to this many rows first.

    Notes
    -----
    Rows are kept whole, gaps included: nothing is imputed.
    """

    label = "random_undersample"

    def __init__(self, sampling_strategy: float = 0.25, max_rows: int = 50_000) -> None:
        super().__init__(sampling_strategy, max_rows)

    def _sample(self, X: FloatArray, y: FloatArray, seed: int) -> tuple[FloatArray, FloatArray]:
        from imblearn.under_sampling import RandomUnderSampler

        sampler = RandomUnderSampler(sampling_strategy=self.sampling_strategy, random_state=seed)
        sampler.fit_resample(np.arange(len(y))[:, None], y > 0.5)
        kept = np.sort(sampler.sample_indices_)
        return X[kept], y[kept]
