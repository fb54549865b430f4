"""What one boosting fit is given and gives back, whatever the library."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray
from optimizer.models.boosting.residual_baselines import RESIDUAL_BASELINES, residual_baselines_for
from optimizer.models.imbalance.base import FocalLoss, ImbalanceStrategy, count_classes
from optimizer.models.imbalance.focal import focal_curvature, focal_newton, focal_prior
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import ForecastTask

TRAIN_CURVE_ROWS = 200_000
"""Training rows up to which the training curve is recorded beside the validation curve."""


@dataclass(frozen=True)
class BoostingData:
    """Matrices of one fit: training rows as resampled and weighted, validation rows as they are.

    ``X``, ``X_valid``: float32, shape ``(n, n_features)``, NaN in gaps. ``y``, ``y_valid``:
    float32, shape ``(n,)``: 0 or 1, or the residual on an anchor. ``weight``: float32, shape
    ``(n,)``.
    """

    X: FloatArray
    y: FloatArray
    X_valid: FloatArray
    y_valid: FloatArray
    weight: FloatArray | None = None

    def constant_loss(self, quantiles: tuple[float, ...]) -> float:
        """Return the validation pinball loss of the training rows' own quantiles, 1 if it is 0."""
        levels = np.asarray(quantiles)
        short = self.y_valid[:, None] - np.quantile(self.y, levels)
        return float(np.maximum(levels * short, (levels - 1.0) * short).mean()) or 1.0

    @property
    def records_training(self) -> bool:
        """Whether the training curve is worth its cost."""
        return len(self.y) <= TRAIN_CURVE_ROWS


@dataclass(frozen=True)
class EventGoal:
    """What an event booster optimises and where it stops.

    ``loss``: the focal loss; None is the log loss. ``stop_on``: ``"log_loss"``,
    ``"average_precision"`` or None for no early stopping. ``rate``: share of positives in the rows
    fitted on, in (0, 1).
    """

    loss: FocalLoss | None
    stop_on: str | None
    rate: float

    @property
    def start(self) -> float:
        """Constant margin that a focal fit starts from; 0 for the log loss."""
        return 0.0 if self.loss is None else focal_prior(self.rate, self.loss)

    def objective(
        self, y: FloatArray
    ) -> Callable[[FloatArray], tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Return margins to gradient and Hessian of the focal loss, scaled as the log loss's."""
        loss = self.loss or FocalLoss(gamma=0.0, alpha=0.5)
        scale = self.rate * (1.0 - self.rate) / focal_curvature(self.rate, loss)

        def derive(margin: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            gradient, hessian = focal_newton(margin, y, loss)
            return scale * gradient, scale * hessian

        return derive


@dataclass(frozen=True)
class FittedBooster:
    """A fitted library model and the trace of its fit.

    ``model``: the library's model, cut to its best iteration. ``curves``: per curve name one value
    per round.
    """

    model: Any
    curves: dict[str, list[float]] = field(default_factory=dict)
    best_iteration: int = 0
    offset: float = 0.0

    def converted(self, convert: Callable[[Any], Any]) -> FittedBooster:
        """Return it with its model, or each of a tuple of them, in another form; no curves."""
        model = self.model
        several = isinstance(model, tuple)
        made = tuple(convert(one) for one in model) if several else convert(model)
        return replace(self, model=made, curves={})


def goal_of(fold: BoostingData, imbalance: ImbalanceStrategy) -> EventGoal:
    """Return what to optimise and where to stop, given the rows and the strategy."""
    negatives, positives = count_classes(fold.y)
    changed = imbalance.resamples or imbalance.loss is not None or fold.weight is not None
    stop_on: str | None = "average_precision" if changed else "log_loss"
    if 0 in count_classes(fold.y_valid):
        stop_on = None
    rate = min(max(positives / max(positives + negatives, 1), 1e-6), 1.0 - 1e-6)
    return EventGoal(loss=imbalance.loss, stop_on=stop_on, rate=rate)


@dataclass(frozen=True)
class Member:
    """One of the models of a horizon.

    ``anchor``: what its residuals are counted from, a key of
    :data:`optimizer.models.boosting.residual_baselines.RESIDUAL_BASELINES`.
    """

    position: int
    anchor: str
    fitted: FittedBooster


def residual_folds(
    train: Dataset, valid: Dataset, task: ForecastTask, position: int
) -> Iterator[tuple[str, BoostingData]]:
    """Yield the horizon's anchors, each with the rows whose future was observed.

    The folds share their features; labels are the residuals on the anchor.
    """
    sides = [side.select(~np.isnan(side.y[:, position])) for side in (train, valid)]
    X, X_valid = (side.matrix() for side in sides)
    for anchor in residual_baselines_for(task.horizons[position]):
        y, y_valid = (
            side.y[:, position] - RESIDUAL_BASELINES[anchor](side, task.metric) for side in sides
        )
        yield anchor, BoostingData(X, y, X_valid, y_valid)


Report = Callable[[Any], None]


Boosted = tuple[Any, dict[str, list[float]]]
"""A booster cut to its best iteration, and its curves."""
