"""The group ``lags``: earlier values, by number of steps."""

from __future__ import annotations

import numpy as np
import pytest
from factories import feature_grid, metrics_panel, panel_of

from optimizer.core.errors import ConfigError
from optimizer.core.schema import CPU, MEMORY, SCALE_EVENT
from optimizer.features.base import Layout
from optimizer.features.groups.lags import Lags

NAN = np.nan


def test_lags_move_values_and_their_gaps() -> None:
    found = feature_grid(panel_of([[1, NAN, 3, 4], [5, 6, 7, 8]]), Lags(cpu_lags=2))
    np.testing.assert_array_equal(found[f"{CPU}_lag_1"], [[NAN, 1, NAN, 3], [NAN, 5, 6, 7]])
    np.testing.assert_array_equal(found[f"{CPU}_lag_2"], [[NAN, NAN, 1, NAN], [NAN, NAN, 5, 6]])


def test_lags_longer_than_the_series_are_unknown() -> None:
    found = feature_grid(panel_of([[1, 2, 3]]), Lags(cpu_lags=5))
    assert np.isnan(found[f"{CPU}_lag_5"]).all()


def test_lags_lookback_is_in_time_of_the_clock() -> None:
    layout = Layout((CPU,), panel_of([[1, 2]], step="5min").step)
    specs = {f.spec.name: f.spec for f in Lags(cpu_lags=24).features(layout)}
    assert specs[f"{CPU}_lag_1"].lookback == "5min"
    assert specs[f"{CPU}_lag_24"].lookback == "2h"


def test_lags_of_absent_metrics_drop_out() -> None:
    group = Lags(cpu_lags=1, others={MEMORY: [1, 3], "latency_ms": [2]})
    found = feature_grid(metrics_panel({CPU: [[1, 2]], MEMORY: [[3, 4]]}), group)
    assert list(found) == [f"{CPU}_lag_1", f"{MEMORY}_lag_1", f"{MEMORY}_lag_3"]


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"cpu_lags": -1}, "cpu_lags"),
        ({"others": {MEMORY: [0]}}, f"others.{MEMORY}"),
        ({"others": {MEMORY: [-2]}}, f"others.{MEMORY}"),
        ({"others": {"memory": [1]}}, "others"),
        ({"others": {SCALE_EVENT: [1]}}, "others"),
    ],
)
def test_lags_wrong_setting_is_named(arguments: dict, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Lags(**arguments)
    assert caught.value.offender == f"features.groups.lags.{key}"
