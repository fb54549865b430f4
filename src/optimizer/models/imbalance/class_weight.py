"""Class weights: a rare positive counts as much as all the negatives it is rare among."""

from __future__ import annotations

import numpy as np

from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between
from optimizer.models.imbalance.base import ImbalanceStrategy, count_classes
from optimizer.models.imbalance.sampling import require_positives


class ClassWeight(ImbalanceStrategy):
    """Weigh each training row by its class.

    Parameters
    ----------
    positive_weight : float, optional
        Weight of a positive relative to a negative, above 0. None balances the classes: the
        positives together weigh as much as the negatives together.

    Notes
    -----
    The weights are scaled to a mean of 1, so that regularisation means the same as without
    them. Weighted probabilities are too high by construction; calibration repairs them.

    References
    ----------
    King and Zeng, Logistic Regression in Rare Events Data, Political Analysis 2001.
    """

    def __init__(self, positive_weight: float | None = None) -> None:
        if positive_weight is not None:
            require_between(
                "imbalance.positive_weight", positive_weight, 0.0, fix=10.0, open_low=True
            )
        self.positive_weight = positive_weight

    def sample_weight(self, y: FloatArray) -> FloatArray:
        """Return one weight per row with a mean of 1, float32, shape ``(n,)``.

        Raises TargetError: the training fold has no positive.
        """
        require_positives(y, 1)
        negatives, positives = count_classes(y)
        ratio = self.positive_weight or max(negatives, 1) / positives
        weight = np.where(y > 0.5, np.float32(ratio), np.float32(1.0))
        scaled: FloatArray = (weight / weight.mean(dtype=np.float64)).astype(np.float32)
        return scaled
