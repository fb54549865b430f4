"""Batches of windows for Lightning; import this module only inside functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from optimizer.core.panel import FloatArray

Rows = NDArray[np.int64]
Batch = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class WindowSource:
    """Windows that can be gathered by row, with their labels and weights.

    ``gather``: from rows, shape ``(b,)``, to windows, shape ``(b, length, n_channels)``. ``y``:
    float32, shape ``(n,)`` or ``(n, n_horizons)``. ``weight``: float32, shape ``(n,)``.
    """

    gather: Callable[[Rows], FloatArray]
    y: FloatArray
    weight: FloatArray

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.y)


class WindowBatches(Dataset[Batch]):
    """Pre-batched: an item is a whole batch, so nothing is collated row by row."""

    def __init__(self, source: WindowSource) -> None:
        self.source = source

    def __getitem__(self, rows: Rows) -> Batch:
        source = self.source
        parts = (source.gather(rows), source.y[rows], source.weight[rows])
        return torch.from_numpy(parts[0]), torch.from_numpy(parts[1]), torch.from_numpy(parts[2])


class RowBatches(Sampler[Rows]):
    """Batches of rows: a new seeded draw for each epoch, or one fixed draw in order."""

    def __init__(self, size: int, limit: int, batch: int, seed: int, *, fresh: bool) -> None:
        self.size, self.limit, self.batch = size, min(size, limit), batch
        self.rng = np.random.default_rng(seed)
        self.fixed = None if fresh else np.sort(self.rng.permutation(size)[: self.limit])

    def __iter__(self) -> Iterator[Rows]:
        rows = self.fixed
        if rows is None:
            rows = self.rng.permutation(self.size)[: self.limit]
        for start in range(0, self.limit, self.batch):
            yield rows[start : start + self.batch]

    def __len__(self) -> int:
        return math.ceil(self.limit / self.batch)


def make_loader(
    source: WindowSource, limit: int, batch_size: int, seed: int, *, fresh: bool
) -> DataLoader[Batch]:
    """Return a loader of whole batches in the calling process.

    ``limit``: rows per pass at most. ``batch_size``: rows per batch. ``fresh``: a new shuffled draw
    for each pass, or one fixed draw in the order of the rows.
    """
    rows = RowBatches(len(source), limit, batch_size, seed, fresh=fresh)
    return DataLoader(WindowBatches(source), sampler=rows, batch_size=None)
