"""A service's own past as a forecast: hand-computed numbers."""

from __future__ import annotations

import numpy as np
import pytest
from factories import forecast_task, panel_of, tiny_table

from optimizer.models.boosting.empirical_quantiles import DAYS, empirical_quantiles
from optimizer.targets.dataset import Dataset

LEVELS = (0.25, 0.5, 0.75)


def forecasts(cpu: np.ndarray, horizon: str) -> list[np.ndarray]:
    """Return both experts' quantiles at every hour of one service, models saying 0.2 and 0.4."""
    panel = panel_of(cpu[None])
    table = tiny_table(panel)
    rows = np.arange(table.n_rows)
    samples = Dataset(panel, table, rows, np.zeros(len(rows), np.float32))
    models = [np.full((len(rows), 3), value, np.float32) for value in (0.2, 0.4)]
    task = forecast_task(panel, ("1h", horizon), LEVELS)
    return list(empirical_quantiles(samples, models, task, 1))


def test_recent_quantiles_are_of_three_days_or_the_mean_of_the_models() -> None:
    cpu = np.full(160, np.nan)
    cpu[[0, 10, 71]] = 0.1, 0.2, 0.6
    found = forecasts(cpu, "24h")[0]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[71], [0.15, 0.2, 0.4], rtol=1e-6)
    np.testing.assert_allclose(found[82], 0.6, rtol=1e-6)
    np.testing.assert_allclose(found[150], 0.3, rtol=1e-6)


@pytest.mark.parametrize(
    ("horizon", "hour", "newest"), [("24h", 5, 20), ("30h", 11, 19), ("7d", 5, 20), ("20d", 5, 20)]
)
def test_same_hour_quantiles_are_of_fourteen_days_or_the_mean_of_the_models(
    horizon: str, hour: int, newest: int
) -> None:
    cpu = np.full(24 * 40, np.nan)
    days = np.arange(40)
    cpu[24 * days[:30] + hour] = days[:30] / 100  # at the target's hour the number of the day
    found = forecasts(cpu, horizon)[1]
    at = 24 * days + 5
    last_fourteen = np.arange(newest - DAYS + 1, newest + 1) / 100
    np.testing.assert_allclose(found[at[20]], np.quantile(last_fourteen, LEVELS), rtol=1e-5)
    np.testing.assert_allclose(found[at[20] + 1], 0.3, rtol=1e-6)  # another hour
    assert (np.diff(found, axis=1) >= 0).all()
    assert not np.isnan(found).any()
