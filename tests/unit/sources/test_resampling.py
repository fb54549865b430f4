"""Means of slots, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from optimizer.core.errors import ConfigError
from optimizer.sources.resampling import resample


def frame(cpu: list[float], minutes: list[int] | None = None, **columns: object) -> pd.DataFrame:
    minutes = minutes or [15 * (i + 1) for i in range(len(cpu))]
    times = pd.Timestamp("2025-01-01", tz="UTC") + pd.to_timedelta(minutes, unit="min")
    data = {
        "service_id": pd.Categorical(["a"] * len(cpu)),
        "cluster_id": pd.Categorical(["c"] * len(cpu)),
        "event_timestamp": pd.DatetimeIndex(times).as_unit("us"),
        "cpu_utilization": np.array(cpu, dtype=np.float32),
    }
    return pd.DataFrame(data | columns)


def test_resample_slot_holds_samples_ending_in_it() -> None:
    out = resample(frame([0.1, 0.2, 0.3, 0.4, 0.9]), "1h")
    assert out["event_timestamp"].tolist() == [
        pd.Timestamp("2025-01-01T01:00Z"),
        pd.Timestamp("2025-01-01T02:00Z"),
    ]
    assert out["cpu_utilization"].iloc[0] == pytest.approx(0.25)
    assert np.isnan(out["cpu_utilization"].iloc[1])  # one of four samples is too few
    assert out["cpu_utilization"].dtype == np.float32


@pytest.mark.parametrize(("known", "expected"), [(1, np.nan), (2, 0.3), (3, 0.4)])
def test_resample_needs_half_of_the_samples(known: int, expected: float) -> None:
    cpu = [0.2, 0.4, 0.6, 0.8][:known] + [np.nan] * (4 - known)
    got = resample(frame(cpu), "1h")["cpu_utilization"].iloc[0]
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_resample_slot_without_rows_stays_absent() -> None:
    out = resample(frame([0.1] * 4 + [0.3] * 4, [15, 30, 45, 60, 195, 210, 225, 240]), "1h")
    assert out["event_timestamp"].dt.hour.tolist() == [1, 4]


def test_resample_labels_take_the_maximum_even_of_one_sample() -> None:
    out = resample(
        frame([0.1] * 5, scale_event=[0.0, 1.0, 0.0, 0.0, 1.0], is_anomaly=[0.0] * 4 + [np.nan]),
        "1h",
    )
    assert out["scale_event"].tolist() == [1.0, 1.0]
    assert out["is_anomaly"].iloc[0] == 0
    assert np.isnan(out["is_anomaly"].iloc[1])


def test_resample_cost_is_scaled_to_the_slot() -> None:
    out = resample(frame([0.1] * 4, cost_usd=[1.0, 1.0, np.nan, 4.0]), "1h")
    assert out["cost_usd"].iloc[0] == pytest.approx(8.0)  # mean 2 x 4 steps


def test_resample_off_grid_rows_are_binned_upwards() -> None:
    out = resample(frame([0.1, 0.2, 0.3], [13, 28, 61]), "15min")
    assert out["event_timestamp"].dt.strftime("%H:%M").tolist() == ["00:15", "00:30", "01:15"]


def test_resample_services_do_not_mix() -> None:
    two = pd.concat([frame([0.1] * 4), frame([0.5] * 4)], ignore_index=True)
    two["service_id"] = pd.Categorical(["a"] * 4 + ["b"] * 4)
    out = resample(two, "1h")
    np.testing.assert_allclose(out["cpu_utilization"], [0.1, 0.5], rtol=1e-6)


def test_resample_later_rows_do_not_change_earlier_slots() -> None:
    cpu = list(np.random.default_rng(0).uniform(0, 1, 24))
    changed = cpu[:12] + [9.0] * 12
    before, after = resample(frame(cpu), "1h"), resample(frame(changed), "1h")
    pd.testing.assert_frame_equal(before.iloc[:3], after.iloc[:3])
    assert not before.iloc[3:].equals(after.iloc[3:])


def test_resample_does_not_change_its_argument() -> None:
    given = frame([0.2, np.nan, 0.4, 0.1])
    copy = given.copy(deep=True)
    resample(given, "1h")
    pd.testing.assert_frame_equal(given, copy)


def test_resample_finer_than_native_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"data\.freq: got 5min.*15min"):
        resample(frame([0.1] * 4), "5min")
