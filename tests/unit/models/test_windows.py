"""Windows of the panel: the values of a naive loop, and nothing beyond the moment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from factories import event_task, panel_of, tiny_panel, tiny_samples

from optimizer.core.errors import ConfigError
from optimizer.core.panel import FloatArray, Panel
from optimizer.core.schema import CPU, SCALE_EVENT
from optimizer.models.recurrent.windows import Channels, Windows, fit_channels


def _plain(length: int, *, step: str = "1h") -> Channels:
    """Return channels of CPU alone, unscaled, without a calendar."""
    one, zero = np.ones(1), np.zeros(1)
    return Channels(length, pd.Timedelta(step), (CPU,), (), zero, one, calendar=False)


def _naive(panel: Panel, channels: Channels, service: int, step: int) -> FloatArray:
    """Return one window by a loop over its steps and metrics."""
    n = len(channels.metrics)
    out = np.zeros((channels.length, channels.n_channels))
    last = np.zeros(n)
    for position in range(channels.length):
        now = step - channels.length + 1 + position
        missing = 0
        for m, name in enumerate(channels.metrics):
            value = panel.metric(name)[service, now] if now >= 0 else np.nan
            if np.isnan(value):
                missing += 1
            else:
                value = np.log1p(value) if name in channels.logged else value
                last[m] = (value - channels.mean[m]) / channels.std[m]
        out[position, :n], out[position, n] = last, missing / n
        clock = pd.Timestamp(panel.timestamps[0]) + now * panel.step
        hours = clock.hour + clock.minute / 60.0
        week = ((clock.dayofweek - 3) % 7 + hours / 24.0) / 7.0
        angles = 2.0 * np.pi * np.array([hours / 24.0, week])
        out[position, n + 1 :: 2], out[position, n + 2 :: 2] = np.sin(angles), np.cos(angles)
    return out.astype(np.float32)


@pytest.mark.parametrize("step", ["1h", "5min"])
def test_batch_equals_a_naive_loop(step: str) -> None:
    panel = tiny_panel(4, 120, step=step, gaps=0.1)
    train = tiny_samples(event_task(panel), panel, stop=90)
    channels = fit_channels(train, CPU, 12, calendar=True)
    services, steps = np.array([0, 1, 2, 3, 3]), np.array([0, 5, 11, 60, 119])
    expected = [_naive(panel, channels, s, t) for s, t in zip(services, steps, strict=True)]
    batch = Windows(panel, channels).batch(services, steps)
    np.testing.assert_allclose(batch, np.stack(expected), atol=2e-6)


def test_gap_holds_the_last_value_of_the_window_and_is_marked() -> None:
    nan = np.nan
    panel = panel_of([[0.9, nan, 0.2, nan, nan, 0.5]])
    windows = Windows(panel, _plain(4))
    batch = windows.batch(np.array([0, 0]), np.array([4, 5]))
    # The first step of the first window is a gap; 0.9 lies before the window and is not read.
    np.testing.assert_allclose(batch[0, :, 0], [0.0, 0.2, 0.2, 0.2], rtol=1e-6)
    np.testing.assert_allclose(batch[0, :, 1], [1.0, 0.0, 1.0, 1.0])
    np.testing.assert_allclose(batch[1, :, 0], [0.2, 0.2, 0.2, 0.5], rtol=1e-6)


def test_carry_forward_reads_nothing_beyond_the_moment() -> None:
    panel = tiny_panel(3, 80, gaps=0.2)
    windows = Windows(panel, _plain(10))
    service, step = np.repeat(np.arange(3), 40), np.tile(np.arange(40), 3)
    later = panel.values.copy()
    later[:, :, 40:] = 9.0
    changed = Windows(replace(panel, values=later), _plain(10))
    np.testing.assert_array_equal(windows.batch(service, step), changed.batch(service, step))


def test_reading_a_batch_leaves_the_panel_and_other_windows_alone() -> None:
    panel = tiny_panel(2, 40, gaps=0.2)
    before = panel.values.copy()
    windows = Windows(panel, _plain(6))
    first = windows.batch(np.array([1]), np.array([20]))
    first[:] = -1.0
    assert (windows.batch(np.array([1]), np.array([20])) != -1.0).all()
    np.testing.assert_array_equal(panel.values, before)


def test_windows_are_a_view_not_a_copy() -> None:
    windows = Windows(tiny_panel(4, 200), _plain(48))
    assert windows._view.shape == (4, 200, 48, 2)
    assert windows._view.base is not None
    assert not windows._view.flags.owndata


def test_statistics_are_those_of_the_training_fold() -> None:
    panel = tiny_panel(4, 100, gaps=0.0)
    train = tiny_samples(event_task(panel), panel, stop=60)
    later = panel.values.copy()
    later[:, :, 60:] = 50.0
    changed = replace(train, panel=replace(panel, values=later))
    a, b = (
        fit_channels(train, CPU, 6, calendar=False),
        fit_channels(changed, CPU, 6, calendar=False),
    )
    np.testing.assert_array_equal(a.mean, b.mean)
    np.testing.assert_array_equal(a.std, b.std)
    seen = panel.metric(CPU)[:, : train.step.max() + 1].astype(np.float64)
    assert a.mean[0] == pytest.approx(seen.mean())
    assert a.std[0] == pytest.approx(seen.std())


def test_labels_and_sizes_are_no_channels_and_heavy_tails_are_logged() -> None:
    panel = tiny_panel(2, 60, gaps=0.0)
    names = (SCALE_EVENT, "cpu_capacity_cores", "latency_ms")
    extra = np.ones((3, 2, 60), dtype=np.float32)
    values = np.concatenate([panel.values, extra])
    panel = replace(panel, values=values, metrics=(*panel.metrics, *names))
    channels = fit_channels(tiny_samples(event_task(panel), panel), CPU, 6, calendar=False)
    assert channels.metrics == (CPU, "memory_utilization", "request_rate", "latency_ms")
    assert channels.logged == ("request_rate", "latency_ms")
    assert channels.std[3] == 1.0  # a constant is not divided by zero


def test_task_metric_comes_first_and_stays_linear() -> None:
    panel = tiny_panel(2, 60)
    train = tiny_samples(event_task(panel), panel)
    channels = fit_channels(train, "request_rate", 6, calendar=False)
    assert channels.metrics[0] == "request_rate"
    assert channels.logged == ()


def test_metric_never_observed_in_training_is_harmless() -> None:
    panel = tiny_panel(2, 60)
    values = panel.values.copy()
    values[1] = np.nan
    train = tiny_samples(event_task(panel), replace(panel, values=values))
    channels = fit_channels(train, CPU, 6, calendar=False)
    assert (channels.mean[1], channels.std[1]) == (0.0, 1.0)
    assert np.isfinite(Windows(train.panel, channels).batch(train.service, train.step)).all()


def test_other_step_is_refused_by_key() -> None:
    with pytest.raises(ConfigError, match=r"data\.freq.*5min") as error:
        Windows(tiny_panel(2, 30), _plain(6, step="5min"))
    assert error.value.seen == "1h"


def test_missing_metric_is_refused_by_name() -> None:
    panel = tiny_panel(2, 60)
    channels = fit_channels(tiny_samples(event_task(panel), panel), CPU, 6, calendar=False)
    with pytest.raises(ConfigError, match="memory_utilization"):
        Windows(panel_of([[0.1, 0.2]]), channels)
