"""What models are fitted on: rows of one fold with their labels, and the task they serve."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from optimizer.core.panel import FloatArray, IntArray, Panel
from optimizer.features.table import FeatureTable


@dataclass(frozen=True)
class Dataset:
    """Rows of one fold, as views on the panel and the feature table: nothing is copied.

    - ``panel``: telemetry; a model may read steps ``<= step`` of a row and no others.
    - ``table``: features of all present rows of the panel.
    - ``rows``: int64, shape ``(n,)``: rows of the table, ascending.
    - ``y``: events: float32, shape ``(n,)``, 0 or 1. Forecasts: float32, shape ``(n, n_horizons)``,
      NaN where the future was not observed.
    """

    panel: Panel
    table: FeatureTable
    rows: NDArray[np.int64]
    y: FloatArray

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    @property
    def service(self) -> IntArray:
        """Service index of each row in the panel, shape ``(n,)``."""
        return self.table.service[self.rows]

    @property
    def step(self) -> IntArray:
        """Step index of each row in the panel, shape ``(n,)``: the moment of prediction."""
        return self.table.step[self.rows]

    @property
    def timestamps(self) -> NDArray[np.datetime64]:
        """Moment of prediction of each row, datetime64[us] UTC, shape ``(n,)``."""
        return self.panel.timestamps[self.step]

    def matrix(self, names: tuple[str, ...] | None = None) -> FloatArray:
        """Return the features, float32, shape ``(n, n_features)``, Fortran order, a copy."""
        return self.table.take(self.rows, names)

    def current(self, metric: str) -> FloatArray:
        """Return the metric at the moment of prediction, shape ``(n,)``, NaN in a gap."""
        return self.panel.at(metric, self.service, self.step)

    def select(self, mask: NDArray[np.bool_]) -> Dataset:
        """Return the rows where the mask, shape ``(n,)``, holds."""
        return replace(self, rows=self.rows[mask], y=self.y[mask])
