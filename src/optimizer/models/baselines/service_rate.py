"""Each service's own past rate: how far knowing which service it is goes."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from optimizer.core.panel import FloatArray
from optimizer.core.state import Stateful
from optimizer.core.validation import require_between
from optimizer.models.base import Runtime, TrainingLog
from optimizer.models.baselines.residual_quantiles import ServiceTable
from optimizer.models.baselines.service_rates import service_rates
from optimizer.models.imbalance.base import ImbalanceStrategy
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import EventTask


class ServiceRate(Stateful):
    """Score a row by its service's share of positives so far, shrunk to the fleet's.

    Parameters
    ----------
    shrinkage : float
        Rows that the fleet's rate counts for, at least 0.

    Notes
    -----
    ``(positives + shrinkage * fleet) / (rows + shrinkage)`` over the training AND validation
    rows, both of which precede the test fold; an unseen service has the fleet's rate. Nothing
    at t is used.
    """

    fitted_attributes: ClassVar[tuple[str, ...]] = ("_rates",)

    _rates: ServiceTable

    def __init__(self, shrinkage: float = 20.0) -> None:
        require_between("model.shrinkage", shrinkage, 0.0, fix=20.0)
        self.shrinkage = float(shrinkage)

    def fit_events(
        self,
        train: Dataset,
        valid: Dataset,
        task: EventTask,
        imbalance: ImbalanceStrategy,
        runtime: Runtime,
    ) -> TrainingLog:
        """Count the positives of each service; the imbalance strategy is moot."""
        services = train.panel.services
        service = np.concatenate([train.service, valid.service])
        y = np.concatenate([train.y, valid.y])
        rates = service_rates(service, y, len(services), self.shrinkage)
        fleet = y.mean(dtype=np.float64) if len(y) else 0.0
        self._rates = ServiceTable(services, np.append(rates, fleet).astype(np.float32))
        return TrainingLog()

    def score_events(self, samples: Dataset) -> FloatArray:
        """Return the rate of each row's service, shape ``(n,)``."""
        return self._rates.lookup(samples)
