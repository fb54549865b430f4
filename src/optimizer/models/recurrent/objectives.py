"""What the recurrent models learn and how an epoch is judged; import only inside functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from optimizer.models.imbalance.base import FocalLoss


def event_loss(logits: Tensor, y: Tensor, weight: Tensor, focal: FocalLoss | None) -> Tensor:
    """Return the weighted mean log loss, or focal loss, of a batch.

    ``logits``, ``y``, ``weight``: shape ``(n,)``; labels are 0 or 1; weights average 1 over the
    training fold, so that the step size does not depend on the strategy.
    """
    if focal is None:
        terms = functional.binary_cross_entropy_with_logits(logits, y, reduction="none")
    else:
        terms = focal_terms(logits, y, focal)
    return (weight * terms).mean()


def focal_terms(logits: Tensor, y: Tensor, focal: FocalLoss) -> Tensor:
    """Return ``-alpha_t (1 - p_t)^gamma log(p_t)`` per row, stable at any logit.

    References
    ----------
    Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, equation 5.
    """
    towards = logits * (2.0 * y - 1.0)
    alpha = torch.where(y > 0.5, focal.alpha, 1.0 - focal.alpha)
    # (1 - p_t)^gamma as an exponential: its gradient exists where 1 - p_t rounds to zero.
    modulation = torch.exp(focal.gamma * functional.logsigmoid(-towards))
    return -alpha * modulation * functional.logsigmoid(towards)


def pinball_loss(predicted: Tensor, y: Tensor, quantiles: Tensor) -> Tensor:
    """Return the mean pinball loss over the observed labels of a batch.

    A scalar; 0 where nothing was observed. ``predicted``: shape ``(n, n_horizons, n_quantiles)``.
    ``y``: shape ``(n, n_horizons)``; NaN where the future was not observed. ``quantiles``: levels
    in (0, 1), shape ``(n_quantiles,)``.
    """
    seen = ~torch.isnan(y)
    short = torch.where(seen, y, 0.0).unsqueeze(-1) - predicted
    terms = torch.maximum(quantiles * short, (quantiles - 1.0) * short).mean(dim=-1)
    return (terms * seen).sum() / seen.sum().clamp(min=1)


class Objective(Protocol):
    """A loss to descend and a score of an epoch, higher being better.

    ``sign`` turns a score into the figure that users know: -1 where the score is minus a loss.
    """

    @property
    def sign(self) -> float:
        """1 if the score is the figure itself, -1 if it is minus the figure."""
        ...

    def loss(self, output: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Return the loss of a batch."""
        ...

    def score(self, outputs: Tensor, y: Tensor) -> float:
        """Return the score of an epoch's outputs."""
        ...


@dataclass(frozen=True)
class EventObjective:
    """Log loss or focal loss, scored by average precision, or by log loss.

    ``ranked``: score by average precision; it needs positives in the validation fold.
    """

    focal: FocalLoss | None
    ranked: bool
    sign: ClassVar[float] = 1.0

    def loss(self, output: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Return the weighted loss of a batch of logits, shape ``(n, 1)``."""
        return event_loss(output[:, 0], y, weight, self.focal)

    def score(self, outputs: Tensor, y: Tensor) -> float:
        """Return the average precision, or the negative unweighted loss."""
        if not self.ranked:
            return -float(event_loss(outputs[:, 0], y, torch.ones_like(y), self.focal))
        from sklearn.metrics import average_precision_score

        return float(average_precision_score(y.numpy() > 0.5, outputs[:, 0].numpy()))


@dataclass(frozen=True)
class QuantileObjective:
    """Pinball loss of standardised quantiles.

    ``quantiles``: levels in (0, 1). ``mean``, ``std``: moments of the metric in training: labels
    are in its unit, outputs are standardised.
    """

    quantiles: tuple[float, ...]
    mean: float
    std: float
    sign: ClassVar[float] = -1.0

    def loss(self, output: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Return the pinball loss of a batch, in standard deviations."""
        del weight  # forecasts are not weighted
        levels = torch.tensor(self.quantiles, device=output.device)
        predicted = output.reshape(len(y), -1, len(self.quantiles))
        return pinball_loss(predicted, (y - self.mean) / self.std, levels)

    def score(self, outputs: Tensor, y: Tensor) -> float:
        """Return the negative pinball loss in the metric's unit."""
        return -self.std * float(self.loss(outputs, y, torch.empty(0)))
