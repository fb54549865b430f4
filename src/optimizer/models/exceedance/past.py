"""Sorted past samples of many services: quantiles, and the decayed share above any level.

The samples of a window are sorted once; quantiles are then a look-up, and the decayed share of
usage above a level one binary search and one look-up in running sums of weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray


def trailing(values: FloatArray, cutoff: int, steps: int) -> FloatArray:
    """Return the ``steps`` samples before a cutoff, NaN where the series has not begun.

    float32, shape ``(n_services, steps)``, from ``values[:, :cutoff]`` only. ``values``: float32,
    shape ``(n_services, n_steps)``. ``cutoff``: index of the first step that is not known yet.
    """
    known = values[:, max(0, cutoff - steps) : cutoff]
    out = np.full((len(values), steps), np.nan, dtype=np.float32)
    if known.shape[1]:
        out[:, -known.shape[1] :] = known
    return out


def rank_values(
    ordered: FloatArray, count: NDArray[np.int64], shares: Sequence[float]
) -> FloatArray:
    """Return the least sample that at least each share of the samples does not exceed.

    float32, shape ``(n_services, n_shares)``; NaN without samples. ``ordered``: ascending along the
    last axis, NaN last, shape ``(n_services, n)``. ``count``: samples of each row that are no NaN,
    shape ``(n_services,)``. ``shares``: in (0, 1]; 1 is the maximum.
    """
    wanted = np.asarray(shares, dtype=np.float64)
    ranks = np.ceil(count[:, None] * wanted - 1e-9).astype(np.int64) - 1
    return np.take_along_axis(ordered, np.maximum(ranks, 0), axis=1)


class DecayedHistory:
    """The past samples of all services, weighted by age, ready to be asked for any level.

    ``past``: float32, shape ``(n_services, n)``: samples before the cutoff, the newest last; NaN in
    gaps. ``halflives``: steps after which a sample weighs half.
    """

    def __init__(self, past: FloatArray, halflives: Sequence[float]) -> None:
        order = np.argsort(past, axis=1)
        self.ordered: FloatArray = np.take_along_axis(past, order, axis=1)
        self.count: NDArray[np.int64] = np.sum(~np.isnan(past), axis=1)
        age = np.arange(past.shape[1], 0, -1)
        self._below = np.stack([self._running(0.5 ** (age / life), order) for life in halflives])
        scale = np.take_along_axis(self.ordered, np.maximum(self.count - 1, 0)[:, None], axis=1)
        self._scale = np.where(scale > 0, scale, 1.0).astype(np.float64)
        self._offset = 2.0 * np.arange(len(past))[:, None]
        keys = self.ordered / self._scale
        self._keys = (np.where(np.isnan(keys), 1.5, keys) + self._offset).ravel()

    def _running(self, weight: NDArray[np.float64], order: NDArray[np.int64]) -> FloatArray:
        """Return the share of the weight that the k least samples have, for k = 0 … n."""
        sums = np.zeros((len(order), order.shape[1] + 1))
        weights = weight[order]
        weights[np.isnan(self.ordered)] = 0.0
        np.cumsum(weights, axis=1, out=sums[:, 1:])
        with np.errstate(invalid="ignore"):
            out: FloatArray = (sums / sums[:, -1:]).astype(np.float32)
        return out

    def exceedance(self, levels: FloatArray) -> FloatArray:
        """Return the decayed share of past steps that used more than each level.

        float32, shape ``(n_services, n_levels, n_halflives)``; NaN without samples. ``levels``:
        shape ``(n_services, n_levels)``.
        """
        keys = np.minimum(levels / self._scale, 1.25) + self._offset
        length = self.ordered.shape[1]
        found = np.searchsorted(self._keys, keys.ravel(), side="right").reshape(keys.shape)
        ranks = found - length * np.arange(len(keys))[:, None]
        below = np.take_along_axis(self._below, ranks[None], axis=2)
        return np.ascontiguousarray(np.moveaxis(1.0 - below, 0, -1))

    def percentile(self, share: float, halflife: int) -> FloatArray:
        """Return the level that ``share`` of the weight does not exceed, as VPA's recommender does.

        float32, shape ``(n_services,)``. ``share``: in (0, 1].
        """
        below = self._below[halflife][:, 1:]
        ranks = np.sum(below < share - 1e-6, axis=1)
        ranks = np.minimum(ranks, np.maximum(self.count - 1, 0))
        return np.take_along_axis(self.ordered, ranks[:, None], axis=1)[:, 0]
