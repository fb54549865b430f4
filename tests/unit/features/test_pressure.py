"""The group ``pressure``: how often and how lately the metric was near its ceiling."""

from __future__ import annotations

import numpy as np
import pytest
from factories import feature_grid, metrics_panel, panel_of

from optimizer.core.errors import ConfigError
from optimizer.core.schema import CPU, MEMORY
from optimizer.features.base import Layout
from optimizer.features.groups.pressure import Pressure

NAN = np.nan
GROUP = Pressure(levels=[0.8], windows=["2h", "4h"])
VALUES = [[0.9, 0.1, 0.8, NAN, 0.1, 0.1, 0.1, 0.1]]


def test_pressure_share_counts_observed_steps_at_or_above_the_level() -> None:
    found = feature_grid(panel_of(VALUES), GROUP)
    np.testing.assert_allclose(
        found[f"{CPU}_above_80_share_4h"][0], [NAN, 1 / 2, 2 / 3, 2 / 3, 1 / 3, 1 / 3, 0, 0]
    )
    np.testing.assert_allclose(
        found[f"{CPU}_above_80_share_2h"][0], [NAN, 1 / 2, 1 / 2, NAN, NAN, 0, 0, 0]
    )


def test_pressure_age_grows_to_the_longest_window_and_stays_there() -> None:
    found = feature_grid(panel_of(VALUES), GROUP)
    np.testing.assert_allclose(
        found[f"{CPU}_above_80_age"][0], [0, 0.25, 0, 0.25, 0.5, 0.75, 1.0, 1.0]
    )


def test_pressure_age_of_a_service_never_above_is_the_longest_window() -> None:
    found = feature_grid(panel_of([[0.1, 0.2, 0.3]]), GROUP)
    np.testing.assert_array_equal(found[f"{CPU}_above_80_age"], [[1, 1, 1]])


def test_pressure_other_metric_carries_its_name() -> None:
    group = Pressure(metric=MEMORY, levels=[0.5], windows=["2h"])
    found = feature_grid(metrics_panel({CPU: [[1, 1]], MEMORY: [[0.5, 0.4]]}), group)
    np.testing.assert_allclose(found[f"{MEMORY}_above_50_share_2h"], [[NAN, 0.5]])


def test_pressure_absent_metric_leaves_no_feature() -> None:
    assert Pressure(metric=MEMORY).features(Layout((CPU,), panel_of([[1]]).step)) == []


@pytest.mark.parametrize(
    ("arguments", "key"),
    [({"metric": "cpu"}, "metric"), ({"windows": []}, "windows"), ({"windows": ["x"]}, "windows")],
)
def test_pressure_wrong_setting_is_named(arguments: dict, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Pressure(**arguments)
    assert caught.value.offender == f"features.groups.pressure.{key}"
