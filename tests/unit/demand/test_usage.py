from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from optimizer.core.errors import ConfigError
from optimizer.core.panel import Panel
from optimizer.demand.from_panel import has_capacity, usage_of

NAN = np.nan


def panel_of(**metrics: list[list[float]]) -> Panel:
    """Return a panel of hourly metrics, each given per service."""
    values = np.array(list(metrics.values()), dtype=np.float32)
    _, n_services, n_steps = values.shape
    start = np.datetime64("2024-01-01T01:00:00", "us")
    return Panel(
        values=values,
        metrics=tuple(metrics),
        services=tuple(f"s{i}" for i in range(n_services)),
        clusters=np.zeros((n_services, n_steps), dtype=np.int32),
        cluster_names=("c",),
        timestamps=start + np.arange(n_steps) * np.timedelta64(1, "h"),
        step=pd.Timedelta("1h"),
        present=np.ones((n_services, n_steps), dtype=bool),
    )


def test_usage_is_utilization_times_the_capacity_of_its_step() -> None:
    panel = panel_of(
        cpu_utilization=[[0.5, 0.5, 0.25, NAN], [0.1, 0.2, 0.3, 0.4]],
        cpu_capacity_cores=[[2.0, 4.0, 4.0, 4.0], [10.0, 10.0, 10.0, 10.0]],
    )
    usage = usage_of(panel, "cpu")
    # resized from 2 to 4 cores: 0.5 * 2, 0.5 * 4, 0.25 * 4
    np.testing.assert_allclose(usage.values, [[1, 2, 1, NAN], [1, 2, 3, 4]])
    np.testing.assert_array_equal(usage.capacity, [4, 10])
    assert usage.values.dtype == usage.capacity.dtype == np.float32
    assert (usage.resource, usage.services, usage.n_steps) == ("cpu", ("s0", "s1"), 4)
    np.testing.assert_array_equal(usage.timestamps, panel.timestamps)


def test_memory_goes_by_its_own_metrics() -> None:
    panel = panel_of(
        cpu_utilization=[[0.9, 0.9]],
        memory_utilization=[[0.5, 1.0]],
        memory_capacity_gib=[[8.0, 8.0]],
    )
    np.testing.assert_allclose(usage_of(panel, "memory").values, [[4, 8]])


def test_capacity_is_the_last_known_before_the_replay_and_blind_to_later_resizes() -> None:
    panel = panel_of(cpu_utilization=[[0.5] * 5], cpu_capacity_cores=[[2.0, 4.0, NAN, NAN, 8.0]])
    assert [usage_of(panel, "cpu", before=b).capacity[0] for b in (1, 2, 3, 4, 5)] == [
        2, 4, 4, 4, 8,
    ]  # fmt: skip
    # a gap is bridged with the last one known, so that usage is known there
    np.testing.assert_allclose(usage_of(panel, "cpu", before=1).values, [[1, 2, 2, 2, 4]])


def test_steps_before_the_first_capacity_are_unobserved_and_a_capacity_of_zero_is_none() -> None:
    panel = panel_of(
        cpu_utilization=[[0.5] * 4, [0.5] * 4],
        cpu_capacity_cores=[[NAN, NAN, 6.0, 6.0], [4.0, 0.0, 4.0, 4.0]],
    )
    usage = usage_of(panel, "cpu", before=1)
    np.testing.assert_allclose(usage.values, [[NAN, NAN, 3, 3], [2, 2, 2, 2]])
    # service 0 starts after the first cutoff: its first capacity comes with its first row
    np.testing.assert_array_equal(usage.capacity, [6, 4])


def test_without_a_capacity_usage_is_a_share_and_a_warning_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    panel = panel_of(cpu_utilization=[[0.5, 0.7], [0.2, 1.2]])
    with caplog.at_level(logging.WARNING):
        usage = usage_of(panel, "cpu")
    np.testing.assert_allclose(usage.values, panel.metric("cpu_utilization"))
    np.testing.assert_array_equal(usage.capacity, [1, 1])
    assert not has_capacity(panel, "cpu").any()
    assert "2 of 2 services have no known capacity" in caplog.text


def test_a_service_without_capacity_among_others_is_flagged_alone() -> None:
    panel = panel_of(
        cpu_utilization=[[0.5, 0.7], [0.2, 0.2]], cpu_capacity_cores=[[NAN, NAN], [10.0, 10.0]]
    )
    np.testing.assert_array_equal(has_capacity(panel, "cpu"), [False, True])
    usage = usage_of(panel, "cpu")
    np.testing.assert_allclose(usage.values, [[0.5, 0.7], [2, 2]])
    np.testing.assert_array_equal(usage.capacity, [1, 10])


def test_usage_of_does_not_change_the_panel() -> None:
    told = [[NAN, 0.0, 2.0]]
    panel = panel_of(cpu_utilization=[[0.5, 0.5, 0.5]], cpu_capacity_cores=told)
    usage_of(panel, "cpu")
    np.testing.assert_array_equal(panel.metric("cpu_capacity_cores"), told)


def test_past_usage_does_not_depend_on_what_comes_later() -> None:
    panel = panel_of(cpu_utilization=[[0.5] * 4], cpu_capacity_cores=[[2.0, NAN, 4.0, 5.0]])
    later = panel.values.copy()
    later[:, :, 2:] = 9.0
    was, now = (usage_of(p, "cpu", before=2) for p in (panel, replace(panel, values=later)))
    np.testing.assert_array_equal(was.values[:, :2], now.values[:, :2])
    np.testing.assert_array_equal(was.capacity, now.capacity)


def test_an_unknown_resource_or_an_absent_metric_is_a_config_error() -> None:
    panel = panel_of(cpu_utilization=[[0.5, 0.7]])
    with pytest.raises(ConfigError, match="cpu, memory"):
        usage_of(panel, "gpu")
    with pytest.raises(ConfigError, match="memory_utilization"):
        usage_of(panel, "memory")
