"""Running groups over a panel: planning, writing, memory and history."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from factories import panel_of, tiny_panel

from optimizer.core.errors import ConfigError, InsufficientHistoryError
from optimizer.core.schema import CPU, MEMORY
from optimizer.features import engine
from optimizer.features.base import Layout, divide, shift
from optimizer.features.engine import (
    check_history,
    compute_features,
    longest_lookback,
    plan_features,
)
from optimizer.features.groups.calendar import Calendar
from optimizer.features.groups.lags import Lags
from optimizer.features.groups.pressure import Pressure
from optimizer.features.groups.rolling import Rolling
from optimizer.features.groups.workload import Workload

HOUR = pd.Timedelta("1h")
GROUPS = (Workload(), Lags(cpu_lags=3), Rolling(statistics={CPU: ["mean", "max", "median"]}))


def test_plan_features_group_without_its_metrics_drops_out_with_a_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        found = plan_features([Workload(), Pressure(metric=MEMORY)], Layout((CPU,), HOUR))
    assert [feature.spec.name for feature in found] == [CPU]
    assert "feature group pressure drops out" in caplog.text


def test_plan_features_same_name_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match=rf"features: got duplicate names {CPU}"):
        plan_features([Workload(), Workload()], Layout((CPU,), HOUR))


@pytest.mark.parametrize("groups", [[], [Pressure(metric=MEMORY)]])
def test_plan_features_nothing_left_is_refused(groups: list) -> None:
    with pytest.raises(ConfigError, match="features: got no feature left"):
        plan_features(groups, Layout((CPU,), HOUR))


def test_compute_features_rows_are_those_present_by_service_then_step() -> None:
    panel = panel_of([[1, 2, 3], [4, 5, 6]])
    present = np.array([[True, False, True], [False, True, True]])
    table = compute_features(replace(panel, present=present), [Workload()])
    np.testing.assert_array_equal(table.service, [0, 0, 1, 1])
    np.testing.assert_array_equal(table.step, [0, 2, 1, 2])
    np.testing.assert_array_equal(table.values, [[1, 3, 5, 6]])
    assert table.values.dtype == np.float32


def test_compute_features_size_of_blocks_is_irrelevant(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = tiny_panel(7, 250)
    whole = compute_features(panel, GROUPS)
    monkeypatch.setattr(engine, "BLOCK_CELLS", 500)  # two services a block
    np.testing.assert_array_equal(compute_features(panel, GROUPS).values, whole.values)


def test_compute_features_does_not_change_the_panel() -> None:
    panel = tiny_panel(3, 200)
    before = panel.values.copy()
    compute_features(panel, GROUPS)
    np.testing.assert_array_equal(panel.values, before)


def test_compute_features_row_independent_feature_is_spread_over_services() -> None:
    table = compute_features(panel_of(np.zeros((2, 3))), [Calendar()])
    hour = table.take(np.arange(6), ("hour_sin",))[:, 0]
    np.testing.assert_array_equal(hour[:3], hour[3:])


def test_check_history_shorter_than_the_lookback_names_the_groups() -> None:
    panel = tiny_panel(2, 168)
    specs = [feature.spec for feature in plan_features(GROUPS, Layout(panel.metrics, panel.step))]
    assert longest_lookback(specs) == pd.Timedelta("7d")
    with pytest.raises(InsufficientHistoryError, match=r"168 steps .*groups rolling") as caught:
        check_history(panel, specs)
    assert "features=minimal" in caught.value.fix
    check_history(tiny_panel(2, 169), specs)


def test_longest_lookback_of_nothing_is_zero() -> None:
    assert longest_lookback([]) == pd.Timedelta(0)


def test_layout_measures_time_in_steps() -> None:
    layout = Layout((CPU,), pd.Timedelta("5min"))
    assert layout.steps("1h") == 12
    assert layout.span(3) == "15min"
    assert layout.span(0) == "0h"
    assert layout.available((MEMORY, CPU)) == [CPU]


def test_shift_moves_right_and_keeps_zero() -> None:
    values = np.arange(4.0)[None, :]
    np.testing.assert_array_equal(shift(values, 1), [[np.nan, 0, 1, 2]])
    np.testing.assert_array_equal(shift(values, 9), [[np.nan] * 4])
    assert shift(values, 0) is values


def test_divide_holds_the_denominator_at_the_floor() -> None:
    np.testing.assert_allclose(
        divide(np.array([1.0, 1.0, 1.0]), np.array([0.0, 2.0, np.nan]), 0.5), [2.0, 0.5, np.nan]
    )
