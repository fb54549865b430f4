"""The group ``rolling``: statistics of trailing windows."""

from __future__ import annotations

import numpy as np
import pytest
from factories import feature_grid, metrics_panel, panel_of

from optimizer.core.errors import ConfigError
from optimizer.core.schema import CPU, MEMORY
from optimizer.features.groups.rolling import Rolling

NAN = np.nan
ALL = ["mean", "std", "min", "max", "median"]


def test_rolling_four_hours_of_known_values_are_as_computed_by_hand() -> None:
    group = Rolling(windows=["4h"], statistics={CPU: ALL})
    found = feature_grid(panel_of([[1, 3, NAN, 5, 10]]), group)
    last = {kind: float(found[f"{CPU}_{kind}_4h"][0, -1]) for kind in ALL}  # of 3, gap, 5, 10
    assert last == pytest.approx(
        {"mean": 6.0, "std": np.sqrt(13.0), "min": 3.0, "max": 10.0, "median": 5.0}
    )


def test_rolling_too_few_observed_steps_are_unknown() -> None:
    group = Rolling(windows=["8h"], statistics={CPU: ALL})
    found = feature_grid(panel_of([[5, NAN, NAN, NAN, NAN, NAN, NAN, NAN, 7, 9]]), group)
    for kind in ALL:  # a quarter of eight steps is two
        known = ~np.isnan(found[f"{CPU}_{kind}_8h"][0])
        np.testing.assert_array_equal(np.flatnonzero(known), [9])


def test_rolling_window_counts_time_not_steps() -> None:
    group = Rolling(windows=["1h"], statistics={CPU: ["max"]})
    values = [[9.0, *[1.0] * 12]]
    coarse = feature_grid(panel_of(values, step="30min"), group)[f"{CPU}_max_1h"][0]
    fine = feature_grid(panel_of(values, step="5min"), group)[f"{CPU}_max_1h"][0]
    assert coarse[1] == 9.0
    assert coarse[2] == 1.0
    assert fine[11] == 9.0
    assert fine[12] == 1.0


def test_rolling_services_do_not_touch_each_other() -> None:
    group = Rolling(windows=["3h"], statistics={CPU: ["mean"]})
    both = feature_grid(panel_of([[1, 2, 3], [7, 8, 9]]), group)[f"{CPU}_mean_3h"]
    np.testing.assert_allclose(both[:, -1], [2.0, 8.0])
    np.testing.assert_array_equal(both[:, 0], [NAN, NAN])


def test_rolling_absent_metric_drops_out() -> None:
    group = Rolling(windows=["3h"], statistics={MEMORY: ["mean"], CPU: ["max"]})
    found = feature_grid(metrics_panel({CPU: [[1, 2, 3]]}), group)
    assert list(found) == [f"{CPU}_max_3h"]


@pytest.mark.parametrize(
    ("arguments", "key", "seen"),
    [
        ({"windows": ["6x"]}, "windows", "6x"),
        ({"windows": []}, "windows", ""),
        ({"statistics": {CPU: ["mode"]}}, f"statistics.{CPU}", "mode"),
        ({"statistics": {"cpu": ["mean"]}}, "statistics", "cpu"),
    ],
)
def test_rolling_wrong_setting_is_named(arguments: dict, key: str, seen: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Rolling(**arguments)
    assert caught.value.offender == f"features.groups.rolling.{key}"
    assert seen in str(caught.value.seen)
