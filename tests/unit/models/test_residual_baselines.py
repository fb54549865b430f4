"""What residuals are counted from: hand-computed numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from factories import panel_of, tiny_panel, tiny_table

from optimizer.core.schema import CPU
from optimizer.models.boosting.residual_baselines import (
    RESIDUAL_BASELINES,
    recent_median,
    residual_baselines_for,
)
from optimizer.targets.dataset import Dataset


@pytest.mark.parametrize(
    ("horizon", "expected"),
    [("1h", ("last",)), ("23h", ("last",)), ("24h", ("level", "median"))],
)
def test_anchors_change_a_day_ahead(horizon: str, expected: tuple[str, ...]) -> None:
    assert residual_baselines_for(pd.Timedelta(horizon)) == expected


def test_recent_median_is_of_three_days_without_their_gaps_or_zero() -> None:
    cpu = np.full((1, 160), np.nan)
    cpu[0, [0, 10, 71]] = 0.1, 0.2, 0.6
    panel = panel_of(cpu)
    rows = np.array([9, 10, 71, 72, 82, 143])
    samples = Dataset(panel, tiny_table(panel), rows, np.zeros(6, dtype=np.float32))
    np.testing.assert_allclose(
        recent_median(samples, CPU), [0.1, 0.15, 0.2, 0.4, 0.6, 0.0], rtol=1e-6
    )


@pytest.mark.parametrize("name", sorted(RESIDUAL_BASELINES))
def test_anchor_is_never_missing_and_does_not_see_the_future(name: str) -> None:
    panel = tiny_panel(3, 120, seed=4)
    table = tiny_table(panel)
    rows = np.flatnonzero(table.step < 90)
    samples = Dataset(panel, table, rows, np.zeros(len(rows), dtype=np.float32))
    before = RESIDUAL_BASELINES[name](samples, CPU)
    assert before.dtype == np.float32
    assert not np.isnan(before).any()
    panel.values[:, :, 90:] = 9.0
    np.testing.assert_array_equal(RESIDUAL_BASELINES[name](samples, CPU), before)
