"""Labels by hand: events, forecasts, eligibility and the gap they ask for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from factories import metrics_panel, panel_of

from optimizer.core.errors import ConfigError
from optimizer.core.schema import CPU, MEMORY, SCALE_EVENT
from optimizer.targets.horizons import count_ahead, resolve_horizon
from optimizer.targets.scale_event import ScaleEvent
from optimizer.targets.utilization import Utilization

NAN = np.nan
HOUR = pd.Timedelta("1h")


def test_count_ahead_counts_the_coming_steps_without_the_present() -> None:
    flags = np.array([[True, False, True, True, False]])
    np.testing.assert_array_equal(count_ahead(flags, 2), [[1, 2, 1, 0, 0]])
    np.testing.assert_array_equal(count_ahead(flags, 9), [[2, 2, 1, 0, 0]])


def test_scale_event_by_rule_is_as_labelled_by_hand() -> None:
    panel = panel_of([[0.1, 0.2, 0.9, 0.8, 0.3, 0.4, 0.5]])
    labels = ScaleEvent("2h", ceiling=0.8).label(panel)
    # the last row but one sees one of its two coming steps, the last sees none
    np.testing.assert_array_equal(labels.y, [[1, 1, 1, 0, 0, 0, NAN]])
    np.testing.assert_array_equal(labels.eligible, [[1, 1, 0, 0, 1, 1, 0]])
    np.testing.assert_array_equal(labels.events, [[0, 0, 1, 0, 0, 0, 0]])
    assert labels.rule == f"rule {CPU} >= 0.8"
    assert labels.y.dtype == np.float32


def test_scale_event_negative_needs_half_of_the_coming_steps_and_a_positive_none() -> None:
    half = ScaleEvent("4h", source="rule").label(panel_of([[0.1, NAN, NAN, 0.2, 0.3, NAN]]))
    assert half.y[0, 0] == 0
    assert half.eligible[0, 0]
    less = ScaleEvent("4h", source="rule").label(panel_of([[0.1, NAN, NAN, 0.2, NAN, NAN]]))
    assert np.isnan(less.y[0, 0])
    assert not less.eligible[0, 0]
    seen = ScaleEvent("4h", source="rule").label(panel_of([[0.1, NAN, NAN, 0.9, NAN, NAN]]))
    assert seen.y[0, 0] == 1
    assert seen.eligible[0, 0]


def test_scale_event_row_unobserved_or_absent_now_is_not_eligible() -> None:
    panel = panel_of([[NAN, 0.1, 0.1, 0.1, 0.1]])
    panel = replace(panel, present=np.array([[True, True, False, True, True]]))
    eligible = ScaleEvent("1h").label(panel).eligible
    np.testing.assert_array_equal(eligible, [[0, 1, 0, 1, 0]])


def test_scale_event_own_column_comes_first_and_the_ceiling_still_excludes() -> None:
    panel = metrics_panel({CPU: [[0.1, 0.2, 0.9, 0.3]], SCALE_EVENT: [[0, 0, 0, 1]]})
    labels = ScaleEvent("1h").label(panel)
    np.testing.assert_array_equal(labels.y, [[0, 0, 1, NAN]])
    np.testing.assert_array_equal(labels.eligible, [[1, 1, 0, 0]])
    assert labels.rule == f"column {SCALE_EVENT}"
    ruled = ScaleEvent("1h", source="rule").label(panel)
    np.testing.assert_array_equal(ruled.y, [[0, 1, 0, NAN]])


def test_scale_event_column_that_is_absent_is_named() -> None:
    with pytest.raises(ConfigError, match=f"metric {SCALE_EVENT}"):
        ScaleEvent("1h", source="column").label(panel_of([[0.1, 0.2]]))


def test_scale_event_of_memory_holds_memory_to_the_ceiling() -> None:
    panel = metrics_panel({CPU: [[0.9, 0.9, 0.9]], MEMORY: [[0.1, 0.6, 0.1]]})
    labels = ScaleEvent("1h", ceiling=0.5, metric=MEMORY).label(panel)
    np.testing.assert_array_equal(labels.y, [[1, 0, NAN]])
    np.testing.assert_array_equal(labels.eligible, [[1, 0, 0]])


def test_scale_event_begins_where_the_step_before_had_none() -> None:
    panel = panel_of([[0.9, 0.9, 0.1, 0.9, 0.9]])
    np.testing.assert_array_equal(ScaleEvent("1h").label(panel).events, [[1, 0, 0, 1, 0]])


def test_utilization_is_the_value_at_each_horizon_ascending() -> None:
    target = Utilization(["3h", "1h"], quantiles=[0.9, 0.5, 0.1])
    labels = target.label(panel_of([[1, NAN, 3, 4]]))
    np.testing.assert_array_equal(labels.y[0, :, 0], [NAN, 3, 4, NAN])
    np.testing.assert_array_equal(labels.y[0, :, 1], [4, NAN, NAN, NAN])
    np.testing.assert_array_equal(labels.eligible, [[1, 0, 1, 0]])
    assert not labels.events.any()
    assert target.task(HOUR).horizon_steps == (1, 3)
    assert target.task(HOUR).quantiles == (0.1, 0.5, 0.9)


def test_utilization_horizon_beyond_the_series_is_unknown_everywhere() -> None:
    labels = Utilization(["1h", "9h"]).label(panel_of([[1, 2, 3]]))
    assert np.isnan(labels.y[:, :, 1]).all()
    np.testing.assert_array_equal(labels.eligible, [[1, 1, 0]])


def test_gap_is_horizon_plus_look_ahead() -> None:
    assert ScaleEvent("6h").gap == pd.Timedelta("12h")
    assert Utilization("24h").gap == pd.Timedelta("48h")
    assert Utilization(["1h", "24h"]).gap == pd.Timedelta("25h")


def test_resolve_horizon_no_multiple_of_the_step_is_refused() -> None:
    assert resolve_horizon("1h", pd.Timedelta("5min")) == (HOUR, 12)
    with pytest.raises(ConfigError, match=r"target\.horizon: got 90min") as caught:
        resolve_horizon("90min", HOUR)
    assert "1h" in caught.value.allowed


@pytest.mark.parametrize(
    ("kind", "arguments", "key"),
    [
        (ScaleEvent, {"ceiling": 0}, "target.ceiling"),
        (ScaleEvent, {"ceiling": 2.1}, "target.ceiling"),
        (ScaleEvent, {"metric": "latency_ms"}, "target.metric"),
        (ScaleEvent, {"source": "oracle"}, "target.source"),
        (ScaleEvent, {"horizon": "soon"}, "target.horizon"),
        (Utilization, {"horizon": ["1h", "soon"]}, "target.horizon"),
        (Utilization, {"metric": "cpu"}, "target.metric"),
        (Utilization, {"quantiles": [0.1, 0.9]}, "target.quantiles"),
        (Utilization, {"quantiles": [0.1, 0.5, 0.8]}, "target.quantiles"),
        (Utilization, {"quantiles": [0, 0.5, 1]}, "target.quantiles"),
        (Utilization, {"quantiles": []}, "target.quantiles"),
    ],
)
def test_target_wrong_setting_is_named(kind: type, arguments: dict, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        kind(**arguments)
    assert caught.value.offender == key
