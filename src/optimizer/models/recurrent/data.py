"""From the rows of a fold to windows that can be learned from, resampled where asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray
from optimizer.models.imbalance.base import FocalLoss, ImbalanceStrategy
from optimizer.models.imbalance.focal import focal_prior
from optimizer.models.recurrent.windows import Windows
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import ForecastTask

if TYPE_CHECKING:
    from optimizer.models.recurrent.batches import WindowSource


def plain_source(windows: Windows, samples: Dataset) -> WindowSource:
    """Return the windows of a fold, gathered when read, equally weighted."""
    return _view_source(windows, samples, np.ones(len(samples), dtype=np.float32))


def event_source(
    windows: Windows, train: Dataset, imbalance: ImbalanceStrategy, max_rows: int, seed: int
) -> tuple[WindowSource, str]:
    """Return the training windows as the strategy wants them, and a line that says so.

    A strategy that resamples gets windows flattened to ``(n, length * n_channels)``: scaled,
    free of NaN, and at most ``max_rows`` of them. Synthetic windows are defensible: SMOTE's are
    convex combinations of two measured trajectories that both led to an event and are
    neighbours in shape and level; every step stays within what was measured, the order in time
    is kept, and since mean, spread and last value are computed from the window they stay
    consistent with it. What is lost is roughness: an average of two noisy paths is smoother
    than either. Weights are scaled to average 1.

    ``train``: training rows with labels 0 or 1.
    """
    if not imbalance.resamples:
        return _view_source(windows, train, _weight(imbalance, train.y)), ""
    rows = draw_stratified(train.y, max_rows, seed)
    drawn = windows.batch(train.service[rows], train.step[rows])
    flat, y, line = imbalance.resample(drawn.reshape(len(rows), -1), train.y[rows], seed)
    if len(rows) < len(train):
        line = f"{line} (from {len(rows):,} of {len(train):,} windows)".strip()
    resampled = np.asarray(flat, dtype=np.float32).reshape(len(y), *drawn.shape[1:])
    return _array_source(resampled, y.astype(np.float32), _weight(imbalance, y)), line


def draw_stratified(y: FloatArray, max_rows: int, seed: int) -> NDArray[np.int64]:
    """Return at most ``max_rows`` rows, ascending: all positives, then negatives at random.

    Positives take half of the rows at most.
    """
    if len(y) <= max_rows:
        return np.arange(len(y), dtype=np.int64)
    rng = np.random.default_rng(seed)
    positive = rng.permutation(np.flatnonzero(y > 0.5))[: max_rows // 2]
    negative = rng.permutation(np.flatnonzero(y <= 0.5))[: max_rows - len(positive)]
    return np.sort(np.concatenate([positive, negative])).astype(np.int64)


def prior_logit(source: WindowSource, focal: FocalLoss | None) -> float:
    """Return the log-odds that a constant should predict: where training starts.

    The weighted share of positives, half a row added to each class; for the focal loss, the
    constant that has the least of it.
    """
    weight, y = source.weight.astype(np.float64), source.y
    rate = float((weight @ y + 0.5) / (weight.sum() + 1.0))
    return float(np.log(rate / (1.0 - rate))) if focal is None else focal_prior(rate, focal)


def residual_quantiles(
    source: WindowSource, task: ForecastTask, scale: tuple[float, float], seed: int
) -> FloatArray:
    """Return the quantiles of the training residuals on persistence, in spreads of the window.

    At most 20,000 seeded rows; horizon by horizon, shape ``(n_horizons * n_quantiles,)``.
    """
    import torch

    from optimizer.models.recurrent.network import window_statistics

    rows = np.random.default_rng(seed).permutation(len(source))[:20_000]
    _, spread, last = window_statistics(torch.from_numpy(source.gather(rows)))
    residual = ((source.y[rows] - scale[0]) / scale[1] - last.numpy()) / spread.numpy()
    blank = np.isnan(residual).all(axis=0)
    residual[:, blank] = 0.0  # a horizon that was never observed says nothing
    levels = np.nanquantile(residual, task.quantiles, axis=0)
    out: FloatArray = levels.T.ravel().astype(np.float32)
    return out


def _weight(imbalance: ImbalanceStrategy, y: FloatArray) -> FloatArray:
    weight = imbalance.sample_weight(y)
    if weight is None:
        return np.ones(len(y), dtype=np.float32)
    scaled: FloatArray = (weight / weight.mean(dtype=np.float64)).astype(np.float32)
    return scaled


def _view_source(windows: Windows, samples: Dataset, weight: FloatArray) -> WindowSource:
    from optimizer.models.recurrent.batches import WindowSource

    service, step = samples.service, samples.step

    def gather(rows: NDArray[np.int64]) -> FloatArray:
        return windows.batch(service[rows], step[rows])

    return WindowSource(gather, samples.y, weight)


def _array_source(values: FloatArray, y: FloatArray, weight: FloatArray) -> WindowSource:
    from optimizer.models.recurrent.batches import WindowSource

    def gather(rows: NDArray[np.int64]) -> FloatArray:
        return values[rows]

    return WindowSource(gather, y, weight)
