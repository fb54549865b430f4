"""SMOTE, then Tomek links: clear the border that SMOTE blurred."""

from __future__ import annotations

import numpy as np

from optimizer.core.panel import FloatArray
from optimizer.models.imbalance.sampling import encode
from optimizer.models.imbalance.smote import Smote


class SmoteTomek(Smote):
    """Add synthetic positives, then remove both rows of every Tomek link.

    Two rows of different classes that are each other's nearest neighbour form a Tomek link.

    Parameters
    ----------
    sampling_strategy : float
        Positives per negative after SMOTE, in (0, 1].
    k_neighbors : int
        Neighbours among which SMOTE draws the second parent, at least 1.
    max_rows : int
        A larger training fold is drawn down to this many rows first: finding the links costs
        quadratic time.

    See Also
    --------
    optimizer.models.imbalance.smote.Smote : Gaps, units and windows are handled in the same way.

    References
    ----------
    Batista, Prati and Monard, A Study of the Behavior of Several Methods for Balancing Machine
    Learning Training Data, SIGKDD Explorations 2004.
    """

    label = "smote_tomek"

    def _sample(self, X: FloatArray, y: FloatArray, seed: int) -> tuple[FloatArray, FloatArray]:
        from imblearn.under_sampling import TomekLinks

        encoding = encode(X)
        values, labels = self._synthesise(encoding, y, seed)
        links = TomekLinks(sampling_strategy="all")
        links.fit_resample(values[:, : encoding.n_inputs], labels > 0.5)
        kept = np.sort(links.sample_indices_)
        return encoding.decode(values[kept]), labels[kept]
