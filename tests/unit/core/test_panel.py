"""From long frame to dense grid and back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from optimizer.core.errors import ConfigError
from optimizer.core.panel import build_panel, infer_step
from optimizer.core.schema import CLUSTER, CPU, MEMORY, SERVICE, TIMESTAMP, TIMESTAMP_DTYPE

NAN = np.nan


def frame_of(rows: list[tuple[str, str, int, float]], minutes: int = 60) -> pd.DataFrame:
    """Return a frame of (service, cluster, step, cpu); memory is twice the cpu."""
    service, cluster, step, cpu = zip(*rows, strict=True)
    start = pd.Timestamp("2025-01-01 01:00", tz="UTC")
    moments = pd.Series([start + pd.Timedelta(minutes=minutes * s) for s in step])
    return pd.DataFrame(
        {
            SERVICE: service,
            CLUSTER: cluster,
            TIMESTAMP: moments.astype(TIMESTAMP_DTYPE),
            MEMORY: np.float32(2) * np.asarray(cpu, dtype=np.float32),
            CPU: np.asarray(cpu, dtype=np.float32),
        }
    )


ROWS = [
    ("b", "east", 0, 0.1),
    ("b", "west", 2, 0.3),
    ("b", "west", 3, NAN),
    ("a", "west", 1, 0.5),
    ("a", "west", 3, 0.7),
    ("a", "west", 2, 0.6),
]


def test_build_panel_scatters_rows_onto_the_grid() -> None:
    panel = build_panel(frame_of(ROWS))
    assert (panel.services, panel.metrics, panel.step) == (
        ("a", "b"),
        (CPU, MEMORY),
        pd.Timedelta("1h"),
    )
    want = np.float32([[NAN, 0.5, 0.6, 0.7], [0.1, NAN, 0.3, NAN]])
    np.testing.assert_array_equal(panel.metric(CPU), want)
    np.testing.assert_array_equal(panel.metric(MEMORY), 2 * want)
    np.testing.assert_array_equal(panel.present, [[0, 1, 1, 1], [1, 0, 1, 1]])
    assert panel.timestamps[0] == np.datetime64("2025-01-01T01:00")
    assert panel.timestamps[-1] == np.datetime64("2025-01-01T04:00")
    assert panel.values.dtype == np.float32


def test_build_panel_cluster_is_carried_over_gaps_and_unknown_before_the_first_row() -> None:
    panel = build_panel(frame_of(ROWS))
    assert panel.cluster_names == ("east", "west")
    np.testing.assert_array_equal(panel.clusters, [[-1, 1, 1, 1], [0, 0, 1, 1]])


def test_build_panel_order_of_rows_is_irrelevant() -> None:
    frame = frame_of(ROWS)
    one, two = build_panel(frame), build_panel(frame.iloc[::-1])
    np.testing.assert_array_equal(one.values, two.values)
    np.testing.assert_array_equal(one.clusters, two.clusters)


def test_build_panel_categories_without_rows_make_no_service() -> None:
    frame = frame_of(ROWS)
    frame[SERVICE] = pd.Categorical(frame[SERVICE], categories=["a", "b", "ghost"])
    assert build_panel(frame).services == ("a", "b")


def test_build_panel_does_not_change_its_argument() -> None:
    frame = frame_of(ROWS)
    before = frame.copy(deep=True)
    build_panel(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_build_panel_given_step_lays_a_finer_grid() -> None:
    panel = build_panel(frame_of(ROWS), pd.Timedelta("30min"))
    assert panel.n_steps == 7
    assert panel.present.sum() == 6


def test_infer_step_takes_the_most_frequent_distance_within_services() -> None:
    frame = frame_of([("a", "c", s, 0.0) for s in (0, 1, 2, 5, 6)] + [("b", "c", 3, 0.0)], 5)
    assert infer_step(frame[TIMESTAMP], frame[SERVICE]) == pd.Timedelta("5min")


def test_infer_step_one_row_per_service_is_an_hour() -> None:
    frame = frame_of([("a", "c", 0, 0.0), ("b", "c", 3, 0.0)], 5)
    assert infer_step(frame[TIMESTAMP], frame[SERVICE]) == pd.Timedelta("1h")


def test_panel_at_step_off_the_clock_is_nan() -> None:
    panel = build_panel(frame_of(ROWS))
    found = panel.at(CPU, np.zeros(4, np.int32), np.array([-1, 1, 3, 4]))
    np.testing.assert_array_equal(found, np.float32([NAN, 0.5, 0.7, NAN]))


def test_panel_metric_absent_names_those_there_are() -> None:
    panel = build_panel(frame_of(ROWS))
    assert panel.has(MEMORY)
    assert not panel.has("latency_ms")
    with pytest.raises(ConfigError, match="metric latency_ms") as caught:
        panel.metric("latency_ms")
    assert caught.value.allowed == f"{CPU}, {MEMORY}"
