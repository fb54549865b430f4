"""Focal loss: easy rows fade, so that the rare and hard ones set the gradient.

The functions are pure numpy on margins (log-odds), for boosters that take a custom objective.
With ``z = margin`` for a positive and ``-margin`` for a negative, ``p = sigmoid(z)`` the
probability of the row's own class, ``q = 1 - p`` and ``a`` its class weight::

    loss      a q^gamma (-log p)
    d/dz      a q^gamma (gamma p log p - q)
    d2/dz2    a q^gamma p (gamma (q - gamma p) log p + (2 gamma + 1) q)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray
from optimizer.core.validation import require_between
from optimizer.models.imbalance.base import FocalLoss, ImbalanceStrategy

Float64Array = NDArray[np.float64]


class Focal(ImbalanceStrategy):
    """Replace the log loss by the focal loss.

    Parameters
    ----------
    gamma : float
        Focusing exponent, at least 0; 0 is the weighted log loss.
    alpha : float
        Weight of the positives in (0, 1); negatives get ``1 - alpha``.

    References
    ----------
    Lin et al., Focal Loss for Dense Object Detection, ICCV 2017.
    """

    def __init__(self, gamma: float = 2.0, alpha: float = 0.25) -> None:
        require_between("imbalance.gamma", gamma, 0.0, 20.0, fix=2.0)
        require_between("imbalance.alpha", alpha, 0.0, 1.0, fix=0.25, open_low=True, open_high=True)
        self.gamma = float(gamma)
        self.alpha = float(alpha)

    @property
    def loss(self) -> FocalLoss:
        """The focal loss with this gamma and alpha."""
        return FocalLoss(gamma=self.gamma, alpha=self.alpha)


def focal_value(
    margin: NDArray[np.floating], y: NDArray[np.floating], loss: FocalLoss
) -> Float64Array:
    """Return the focal loss per row.

    ``margin``: log-odds, shape ``(n,)``. ``y``: labels, shape ``(n,)``, 0 or 1.
    """
    _, weight, log_p, _, q = _parts(margin, y, loss)
    return -weight * q**loss.gamma * log_p


def focal_gradient_hessian(
    margin: NDArray[np.floating], y: NDArray[np.floating], loss: FocalLoss
) -> tuple[Float64Array, Float64Array]:
    """Return the first and second derivative of the focal loss by the margin, per row.

    Gradient and Hessian, float64, shape ``(n,)``. The Hessian is exact: it is negative for badly
    misjudged rows, where the loss is concave (see :func:`focal_newton`). ``margin``, ``y``,
    ``loss``: as for :func:`focal_value`.
    """
    sign, weight, log_p, p, q = _parts(margin, y, loss)
    gamma = loss.gamma
    faded = weight * q**gamma
    gradient = sign * faded * (gamma * p * log_p - q)
    hessian = faded * p * (gamma * (q - gamma * p) * log_p + (2.0 * gamma + 1.0) * q)
    return gradient, hessian


def focal_newton(
    margin: NDArray[np.floating], y: NDArray[np.floating], loss: FocalLoss
) -> tuple[Float64Array, Float64Array]:
    """Return the gradient and a positive Hessian, for a booster's Newton steps.

    Where the loss is concave, an exact Hessian would send the step uphill, and one clipped to
    almost nothing would make it explode. The floor is the log loss's own curvature under the
    focal weight, ``a q^gamma p q``: there the step is no longer than the log loss's.
    """
    gradient, hessian = focal_gradient_hessian(margin, y, loss)
    _, weight, _, p, q = _parts(margin, y, loss)
    floor = weight * q**loss.gamma * p * q
    return gradient, np.maximum(np.maximum(hessian, floor), 1e-12)


def focal_prior(rate: float, loss: FocalLoss) -> float:
    """Return the constant margin of least mean focal loss, from which to start boosting.

    ``rate``: share of positives in (0, 1).
    """
    low, high = -20.0, 20.0
    labels = np.array([1.0, 0.0])
    share = np.array([rate, 1.0 - rate])
    for _ in range(60):
        middle = 0.5 * (low + high)
        gradient, _ = focal_gradient_hessian(np.full(2, middle), labels, loss)
        if float(share @ gradient) < 0.0:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def focal_curvature(rate: float, loss: FocalLoss) -> float:
    """Return the mean Hessian of :func:`focal_newton` at the constant of :func:`focal_prior`.

    Boosters hold sums of Hessians against fixed limits (L2, least child weight). Dividing the
    loss by this number and multiplying by the log loss's own, ``rate (1 - rate)``, makes those
    limits mean what they mean for the log loss.
    """
    start = np.full(2, focal_prior(rate, loss))
    _, hessian = focal_newton(start, np.array([1.0, 0.0]), loss)
    return float(rate * hessian[0] + (1.0 - rate) * hessian[1])


def sigmoid(margin: NDArray[np.floating]) -> FloatArray:
    """Return probabilities of margins, float32, without overflow."""
    half = 0.5 * np.asarray(margin, dtype=np.float64)
    return (0.5 * (1.0 + np.tanh(half))).astype(np.float32)


def _parts(
    margin: NDArray[np.floating], y: NDArray[np.floating], loss: FocalLoss
) -> tuple[Float64Array, Float64Array, Float64Array, Float64Array, Float64Array]:
    """Return sign, class weight, log p, p and q of each row's own class."""
    positive = np.asarray(y) > 0.5
    sign = np.where(positive, 1.0, -1.0)
    z = sign * np.asarray(margin, dtype=np.float64)
    weight = np.where(positive, loss.alpha, 1.0 - loss.alpha)
    log_p = -np.logaddexp(0.0, -z)
    return sign, weight, log_p, np.exp(log_p), np.exp(-np.logaddexp(0.0, z))
