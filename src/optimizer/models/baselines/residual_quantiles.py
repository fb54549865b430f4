"""Quantiles for point forecasts, so that simple baselines compete on pinball loss too.

A point forecast has no quantiles of its own. It gets those of its past errors: each service's
residuals on the training fold, per horizon, or the fleet's where a service has too few.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray, IntArray
from optimizer.core.state import Stateful
from optimizer.models.base import Runtime, TrainingLog
from optimizer.models.lookback import gather, last_observed
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import ForecastTask

LEAST_RESIDUALS = 50
"""Residuals from which a service has quantiles of its own."""


@dataclass(frozen=True)
class ServiceTable:
    """One row of numbers per service known at fit, and one for all others.

    ``services``: services known at fit. ``values``: float32, shape ``(n_services + 1, ...)``: the
    last row is the fleet's.
    """

    services: tuple[str, ...]
    values: FloatArray

    def lookup(self, samples: Dataset) -> FloatArray:
        """Return the row of each sample's service, the fleet's for an unseen one."""
        known = {name: index for index, name in enumerate(self.services)}
        names = samples.panel.services
        index = np.array([known.get(name, len(known)) for name in names], dtype=np.int64)
        return self.values[index[samples.service]]


def service_means(service: IntArray, values: FloatArray, services: tuple[str, ...]) -> ServiceTable:
    """Return the mean of the values of each service; the fleet's where it has none.

    ``service``: int32, shape ``(n,)``: index into ``services``. ``values``: float32, shape
    ``(n,)``; NaN is left out.
    """
    known = ~np.isnan(values)
    total = np.bincount(service[known], values[known], minlength=len(services))
    count = np.bincount(service[known], minlength=len(services))
    fleet = total.sum() / max(count.sum(), 1)
    mean = np.where(count > 0, total / np.maximum(count, 1), fleet)
    return ServiceTable(services, np.append(mean, fleet).astype(np.float32))


def residual_quantiles(
    service: IntArray, residual: FloatArray, services: tuple[str, ...], quantiles: tuple[float, ...]
) -> ServiceTable:
    """Return the quantiles of the residuals of each service.

    Values of shape ``(n_services + 1, n_horizons, n_quantiles)``: what to add to the point. The 0.5
    column is 0, so that the point forecast keeps its own absolute error; columns below are at most
    0 and columns above at least 0, so that quantiles ascend.

    - ``service``: int32, shape ``(n,)``: index into ``services``.
    - ``residual``: float32, shape ``(n, n_horizons)``: actual minus forecast; NaN is left out.
    - ``quantiles``: levels, ascending.
    """
    levels = np.asarray(quantiles, dtype=np.float64)
    shape = (len(services) + 1, residual.shape[1], len(levels))
    out = np.zeros(shape, dtype=np.float64)
    for horizon in range(residual.shape[1]):
        known = ~np.isnan(residual[:, horizon])
        out[:, horizon] = _grouped(service[known], residual[known, horizon], len(services), levels)
    out[..., levels < 0.5] = np.minimum(out[..., levels < 0.5], 0.0)
    out[..., levels > 0.5] = np.maximum(out[..., levels > 0.5], 0.0)
    out[..., levels == 0.5] = 0.0
    return ServiceTable(services, out.astype(np.float32))


def _grouped(
    group: IntArray, values: FloatArray, n_groups: int, levels: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return linear-interpolated quantiles per group, and of all values in the last row."""
    fleet = np.asarray(np.quantile(values, levels) if len(values) else np.zeros(len(levels)))
    ordered = values[np.lexsort((values, group))].astype(np.float64)
    count = np.bincount(group, minlength=n_groups)
    start = np.cumsum(count) - count
    own = count >= LEAST_RESIDUALS
    place = start[own, None] + levels * (count[own, None] - 1)
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, (start + count)[own, None] - 1)
    out: NDArray[np.float64] = np.tile(fleet, (n_groups + 1, 1)).astype(np.float64)
    weight = place - below
    out[:n_groups][own] = (1.0 - weight) * ordered[below] + weight * ordered[above]
    return out


class PointForecaster(Stateful, ABC):
    """A forecast of points, with quantiles from each service's past residuals.

    A subclass says what its points are. A point that is NaN, because there was a gap where it
    would look, is the last value observed; and where there is none either, the service's mean
    over the training fold (the fleet's for an unseen service).
    """

    fitted_attributes: ClassVar[tuple[str, ...]] = ("_task", "_means", "_offsets")

    _task: ForecastTask
    _means: ServiceTable
    _offsets: ServiceTable

    def fit_forecast(
        self, train: Dataset, valid: Dataset, task: ForecastTask, runtime: Runtime
    ) -> TrainingLog:
        """Learn means and residual quantiles from the training rows; validation is not used."""
        self._task = task
        services = train.panel.services
        self._means = service_means(train.service, train.current(task.metric), services)
        self._learn(train, task, runtime)
        residual = train.y - self.points(train)
        self._offsets = residual_quantiles(train.service, residual, services, task.quantiles)
        return TrainingLog()

    def predict_quantiles(self, samples: Dataset) -> FloatArray:
        """Return quantiles, shape ``(n, n_horizons, n_quantiles)``, ascending along the last.

        The 0.5 column is the point forecast. None is below 0, the lower bound of every metric.
        """
        points = self.points(samples)[:, :, None]
        quantiles: FloatArray = np.maximum(points + self._offsets.lookup(samples), 0.0)
        return quantiles.astype(np.float32, copy=False)

    def points(self, samples: Dataset) -> FloatArray:
        """Return the point forecast of each row and horizon, shape ``(n, n_horizons)``."""
        points = self._points(samples, self._task)
        last = last_observed(samples.panel.metric(self._task.metric))
        fallback = gather(last, samples.service, samples.step)
        fallback = np.where(np.isnan(fallback), self._means.lookup(samples), fallback)
        return np.where(np.isnan(points), fallback[:, None], points).astype(np.float32)

    def _learn(self, train: Dataset, task: ForecastTask, runtime: Runtime) -> None:
        """Learn what the points need; most need nothing."""

    @abstractmethod
    def _points(self, samples: Dataset, task: ForecastTask) -> FloatArray:
        """Return the points, shape ``(n, n_horizons)``, NaN where nothing was observed."""
