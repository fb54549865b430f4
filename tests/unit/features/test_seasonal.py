"""The group ``seasonal``: the hour to come, on earlier days."""

from __future__ import annotations

import numpy as np
import pytest
from factories import feature_grid, metrics_panel, panel_of

from optimizer.core.errors import ConfigError
from optimizer.core.schema import CPU, MEMORY
from optimizer.features.groups.seasonal import Seasonal

NAN = np.nan
CLOCK = np.arange(80.0)[None, :]


def test_seasonal_day_k_is_the_coming_step_k_days_ago() -> None:
    found = feature_grid(panel_of(CLOCK), Seasonal(days=3))
    for day in (1, 2, 3):
        column = found[f"{CPU}_same_hour_{day}d"][0]
        assert column[75] == 75 + 1 - 24 * day
        assert np.isnan(column[: 24 * day - 1]).all()
        assert column[24 * day - 1] == 0


def test_seasonal_mean_and_maximum_pass_over_missing_days() -> None:
    values = CLOCK.copy()
    values[0, 75 + 1 - 48] = NAN
    found = feature_grid(panel_of(values), Seasonal(days=3))
    assert found[f"{CPU}_same_hour_mean_3d"][0, 75] == pytest.approx((52 + 4) / 2)
    assert found[f"{CPU}_same_hour_max_3d"][0, 75] == 52
    assert np.isnan(found[f"{CPU}_same_hour_2d"][0, 75])
    assert np.isnan(found[f"{CPU}_same_hour_mean_3d"][0, 22])


def test_seasonal_lead_of_five_minutes_data_is_in_time() -> None:
    values = np.arange(400.0)[None, :]
    found = feature_grid(panel_of(values, step="5min"), Seasonal(days=1, lead="1h"))
    assert found[f"{CPU}_same_hour_1d"][0, 350] == 350 + 12 - 288


def test_seasonal_other_metrics_get_mean_and_maximum_only() -> None:
    panel = metrics_panel({CPU: CLOCK, MEMORY: 2 * CLOCK})
    found = feature_grid(panel, Seasonal(metrics=[MEMORY, "latency_ms"], days=2))
    assert list(found) == [f"{MEMORY}_same_hour_mean_2d", f"{MEMORY}_same_hour_max_2d"]
    assert found[f"{MEMORY}_same_hour_mean_2d"][0, 75] == 52 + 28


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"days": 0}, "days"),
        ({"lead": "25h"}, "lead"),
        ({"lead": "soon"}, "lead"),
        ({"metrics": ["cpu"]}, "metrics"),
    ],
)
def test_seasonal_wrong_setting_is_named(arguments: dict, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Seasonal(**arguments)
    assert caught.value.offender == f"features.groups.seasonal.{key}"


def test_seasonal_lead_of_a_day_is_this_hour_of_the_last_days() -> None:
    group = Seasonal(days=3, lead="24h", label="same_time")
    found = feature_grid(panel_of(CLOCK), group)
    assert f"{CPU}_same_time_1d" not in found  # that is the value now
    assert found[f"{CPU}_same_time_2d"][0, 75] == 75 - 24
    assert found[f"{CPU}_same_time_mean_3d"][0, 75] == 75 - 24
    assert found[f"{CPU}_same_time_max_3d"][0, 75] == 75
