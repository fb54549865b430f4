"""The buckets of the autoscaler's histograms: a sample is known to within its bucket."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from optimizer.core.panel import FloatArray
from optimizer.demand.decay import Floats
from optimizer.demand.usage import CPU, MEMORY

GIB = 2.0**30


@dataclass(frozen=True)
class Buckets:
    """Buckets that grow by a constant ratio.

    ``first``: size of the first bucket, in the resource's unit. ``largest``: the last bucket starts
    here or above. ``growth``: size of a bucket over that of the one before, above 1.
    """

    first: float
    largest: float
    growth: float = 1.05

    @cached_property
    def starts(self) -> Floats:
        """Start of each bucket, shape ``(n_buckets,)``: ``first · (growth^k - 1)/(growth - 1)``."""
        ratio = self.growth - 1.0
        last = int(np.ceil(np.log(self.largest * ratio / self.first + 1.0) / np.log(self.growth)))
        powers: Floats = np.power(self.growth, np.arange(last + 1, dtype=np.float64))
        return self.first * (powers - 1.0) / ratio


BUCKETS = {CPU: Buckets(0.01, 1000.0), MEMORY: Buckets(1e7 / GIB, 1e12 / GIB)}
"""Upstream's: from 0.01 core to 1000 cores, from 10 MB to 1 TB."""


def bucket_ends(values: FloatArray, resource: str) -> FloatArray:
    """Return the end of the bucket that each value falls in, and of the last its start.

    A percentile of these is a percentile of the histogram. ``values``: any shape, in the resource's
    unit; NaN stays NaN. ``resource``: ``"cpu"`` or ``"memory"``.
    """
    starts = BUCKETS[resource].starts
    bucket = np.searchsorted(starts, values, side="right")  # of the next bucket
    ends = starts[np.clip(bucket, 1, len(starts) - 1)]
    return np.where(np.isnan(values), np.nan, ends).astype(np.float32)
