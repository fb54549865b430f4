"""What an imbalance strategy may do: resample, weight, or change the loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.core.panel import FloatArray


@dataclass(frozen=True)
class FocalLoss:
    """Parameters of the focal loss ``-alpha_t (1 - p_t)^gamma log(p_t)``.

    ``gamma``: focusing exponent, at least 0; 0 is the weighted log loss. ``alpha``: weight of the
    positives in (0, 1); negatives get ``1 - alpha``.

    References
    ----------
    Lin et al., Focal Loss for Dense Object Detection, ICCV 2017.
    """

    gamma: float = 2.0
    alpha: float = 0.25


class ImbalanceStrategy:
    """Do nothing: the base of every strategy, and the strategy ``none`` itself.

    A strategy sees the training fold only. It acts through three doors, each of which every
    model honours: ``resample``, ``sample_weight`` and ``loss``.
    """

    @property
    def resamples(self) -> bool:
        """Whether ``resample`` changes anything; if not, models skip the copy."""
        return False

    @property
    def loss(self) -> FocalLoss | None:
        """The loss to use instead of the log loss, or None."""
        return None

    def resample(
        self, X: FloatArray, y: FloatArray, seed: int
    ) -> tuple[FloatArray, FloatArray, str]:
        """Return resampled rows, their labels, and a line that says what was done.

        ``X``: float32, shape ``(n, n_inputs)``; may hold NaN. Recurrent models pass windows
        flattened to ``(n, window * n_channels)``. ``y``: float32, shape ``(n,)``, 0 or 1.
        """
        return X, y, ""

    def sample_weight(self, y: FloatArray) -> FloatArray | None:
        """Return one weight per row, float32, shape ``(n,)``, or None for equal weights."""
        return None


def count_classes(y: FloatArray) -> tuple[int, int]:
    """Return the number of negatives and positives."""
    positives = int(np.sum(y > 0.5))
    return len(y) - positives, positives
