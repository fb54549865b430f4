"""The buffer that serving reads: rows in and out of order, new services, moves and the clock."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from factories import START, panel_of, tiny_panel

from optimizer.core.errors import SchemaError
from optimizer.core.schema import CLUSTER, CPU, SERVICE, TIMESTAMP
from optimizer.features.buffer import TelemetryBuffer

NAN = np.nan
HOUR = pd.Timedelta("1h")


def rows(*cells: tuple[str, float, float], cluster: str = "cluster-0") -> pd.DataFrame:
    """Return a long frame of (service, hours after the start, CPU)."""
    services, hours, cpu = zip(*cells, strict=True)
    clock = START + (np.array(hours) * 3.6e9).astype("timedelta64[us]")
    times = pd.DatetimeIndex(clock, tz="UTC")
    return pd.DataFrame({SERVICE: services, CLUSTER: cluster, TIMESTAMP: times, CPU: cpu})


def buffer_of(cpu: object, keep_steps: int = 4) -> TelemetryBuffer:
    return TelemetryBuffer.from_panel(panel_of(cpu), keep_steps)


def test_buffer_holds_the_last_steps_of_a_panel_with_gaps_before_its_start() -> None:
    np.testing.assert_array_equal(
        buffer_of([[1, 2, 3], [4, NAN, 6]]).tail(CPU, 9),
        [[NAN, NAN], [1, 4], [2, NAN], [3, 6]],
    )
    np.testing.assert_array_equal(buffer_of([[1, 2, 3]], 2).tail(CPU, 2), [[2], [3]])


def test_tail_may_leave_the_newest_steps_out() -> None:
    np.testing.assert_array_equal(buffer_of([[1, 2, 3]]).tail(CPU, 3, skip=1), [[1], [2]])


def test_update_next_step_moves_the_clock_on() -> None:
    buffer = buffer_of([[1, 2, 3], [4, 5, 6]])
    assert buffer.update(rows(("svc-000", 3, 7))) == 0
    assert buffer.newest == START + np.timedelta64(3, "h")
    np.testing.assert_array_equal(buffer.tail(CPU, 2), [[3, 6], [7, NAN]])
    np.testing.assert_array_equal(buffer.present, [True, False])


@pytest.mark.parametrize("jump", [2, 3, 4, 5, 50])
def test_update_skipped_steps_are_gaps(jump: int) -> None:
    buffer = buffer_of([[1, 2, 3]])
    buffer.update(rows(("svc-000", 2 + jump, 7)))
    want = [1, 2, 3, *[NAN] * (jump - 1), 7][-4:]
    np.testing.assert_array_equal(buffer.tail(CPU, 4)[:, 0], want)
    assert buffer.tail_clusters(1)[0, 0] == 0


def test_update_hundreds_of_steps_keeps_the_last_ones() -> None:
    buffer = buffer_of([[0, 1, 2]], keep_steps=20)
    for hour in range(3, 300):
        buffer.update(rows(("svc-000", hour, hour)))
        want = np.arange(max(hour - 19, 0), hour + 1)
        np.testing.assert_array_equal(buffer.tail(CPU, len(want))[:, 0], want)


def test_update_late_row_overwrites_its_cell() -> None:
    buffer = buffer_of([[1, 2, 3]])
    buffer.update(rows(("svc-000", 1, 9)))
    np.testing.assert_array_equal(buffer.tail(CPU, 3)[:, 0], [1, 9, 3])
    assert buffer.newest == START + np.timedelta64(2, "h")


def test_update_of_duplicates_the_last_one_holds() -> None:
    buffer = buffer_of([[1, 2, 3]])
    buffer.update(rows(("svc-000", 3, 7), ("svc-000", 1, 5), ("svc-000", 3, 8), ("svc-000", 1, 6)))
    np.testing.assert_array_equal(buffer.tail(CPU, 4)[:, 0], [1, 6, 3, 8])


def test_update_row_older_than_the_buffer_is_ignored_and_counted() -> None:
    buffer = buffer_of([[1, 2, 3, 4, 5, 6]])
    assert buffer.update(rows(("svc-000", 1, 9), ("new", 0, 9), ("svc-000", 2, 8))) == 2
    assert buffer.update(rows(("svc-000", 0, 9))) == 1
    assert buffer.ignored == 3
    assert buffer.services == ("svc-000",)
    np.testing.assert_array_equal(buffer.tail(CPU, 4)[:, 0], [8, 4, 5, 6])


def test_update_new_services_are_added() -> None:
    buffer = buffer_of([[1, 2, 3]])
    for number in range(5):
        buffer.update(rows((f"new-{number}", 2, number), cluster="elsewhere"))
    assert buffer.services == ("svc-000", *(f"new-{number}" for number in range(5)))
    assert buffer.cluster_names == ("cluster-0", "elsewhere")
    np.testing.assert_array_equal(
        buffer.tail(CPU, 2), [[2, NAN, NAN, NAN, NAN, NAN], [3, 0, 1, 2, 3, 4]]
    )
    np.testing.assert_array_equal(
        buffer.tail_clusters(2), [[0, -1, -1, -1, -1, -1], [0, 1, 1, 1, 1, 1]]
    )


def test_update_cluster_holds_in_the_gaps_after_it() -> None:
    buffer = buffer_of([[1, 2, 3]], keep_steps=6)
    buffer.update(rows(("svc-000", 5, 1)))
    buffer.update(rows(("svc-000", 3, 1), cluster="moved"))  # late
    np.testing.assert_array_equal(buffer.tail_clusters(4)[:, 0], [0, 1, 1, 0])
    buffer.update(rows(("other", 7, 1)))
    np.testing.assert_array_equal(buffer.tail_clusters(3)[:, 0], [0, 0, 0])


def test_update_into_an_empty_buffer() -> None:
    buffer = TelemetryBuffer((CPU,), HOUR, 3, START)
    buffer.update(rows(("a", 0, 1), ("b", 1, 2)))
    np.testing.assert_array_equal(buffer.tail(CPU, 3), [[NAN, NAN], [1, NAN], [NAN, 2]])
    assert buffer.update(rows(("a", 1, 1)).iloc[:0]) == 0


def test_update_off_the_clock_is_told_and_changes_nothing() -> None:
    buffer = buffer_of([[1, 2, 3]])
    with pytest.raises(SchemaError) as caught:
        buffer.update(rows(("svc-000", 3, 7), ("svc-000", 3.5, 7)))
    assert caught.value.offender == f"column {TIMESTAMP}"
    assert "2024-01-01 03:30:00+00:00" in str(caught.value.seen)
    assert "whole steps of 0 days 01:00:00" in caught.value.allowed
    assert "resample" in caught.value.fix
    np.testing.assert_array_equal(buffer.tail(CPU, 3)[:, 0], [1, 2, 3])


def test_update_missing_column_is_told() -> None:
    with pytest.raises(SchemaError, match=f"column {CPU}"):
        buffer_of([[1, 2, 3]]).update(rows(("svc-000", 3, 7)).drop(columns=CPU))


def test_update_does_not_change_the_panel() -> None:
    panel = tiny_panel(3, 30)
    before = panel.values.copy()
    buffer = TelemetryBuffer.from_panel(panel, 20)
    buffer.tail(CPU, 20)[:] = 0
    np.testing.assert_array_equal(panel.values, before)
