"""A policy around another one: changes are made in office hours only."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray
from optimizer.decisions.policies.protocol import Policy
from optimizer.decisions.policies.wrappers import Wrapper
from optimizer.demand.usage import Usage


class BusinessHours(Wrapper):
    """Keep the request in force outside of office hours, UTC; a raise is always made.

    Parameters
    ----------
    policy : Policy
        The one to wrap.
    first, last : int
        Hours of the day in which requests may also be lowered.
    """

    def __init__(self, policy: Policy, first: int = 8, last: int = 17) -> None:
        super().__init__(policy)
        self._first, self._last = first, last

    def _changed(self, wanted: FloatArray, usage: Usage, cutoffs: NDArray[np.int64]) -> FloatArray:
        hours = pd.DatetimeIndex(usage.timestamps[cutoffs - 1]).hour.to_numpy()
        made = wanted.copy()
        for row in range(1, len(cutoffs)):
            if not self._first <= hours[row] <= self._last:
                made[:, row] = np.fmax(made[:, row - 1], wanted[:, row])
        return made
