"""The canonical frame: what it accepts, and how it refuses the rest."""

from __future__ import annotations

import pandas as pd
import pytest

from optimizer.core.errors import SchemaError
from optimizer.core.schema import (
    CANONICAL,
    CLUSTER,
    CPU,
    LABELS,
    MEMORY,
    METRICS,
    SERVICE,
    TIMESTAMP,
    check_frame,
    metrics_of,
)


def make_frame() -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            SERVICE: ["a", "b"],
            CLUSTER: ["c", "c"],
            TIMESTAMP: pd.to_datetime(["2025-01-01"] * 2, utc=True),
            CPU: [0.1, 0.2],
        }
    )
    return frame.astype({TIMESTAMP: "datetime64[us, UTC]"})


def test_check_frame_canonical_is_returned_unchanged() -> None:
    frame = make_frame()
    assert check_frame(frame, "x") is frame


@pytest.mark.parametrize("column", [SERVICE, CLUSTER, TIMESTAMP, CPU])
def test_check_frame_required_column_missing_is_named(column: str) -> None:
    with pytest.raises(SchemaError, match=rf"fleet\.csv: column {column}: got columns"):
        check_frame(make_frame().drop(columns=column), "fleet.csv")


def test_check_frame_unknown_column_is_named_with_the_known() -> None:
    with pytest.raises(SchemaError, match="column cpu_pct") as caught:
        check_frame(make_frame().assign(cpu_pct=1.0), "x")
    assert caught.value.allowed == ", ".join(CANONICAL)


@pytest.mark.parametrize("dtype", ["datetime64[ns, UTC]", "datetime64[us]"])
def test_check_frame_timestamp_of_another_type_is_refused(dtype: str) -> None:
    frame = make_frame()
    moments = frame[TIMESTAMP].dt.tz_localize(None) if "UTC" not in dtype else frame[TIMESTAMP]
    with pytest.raises(SchemaError, match=TIMESTAMP) as caught:
        check_frame(frame.assign(**{TIMESTAMP: moments.astype(dtype)}), "x")
    assert caught.value.seen == f"dtype {dtype}"


def test_check_frame_text_where_numbers_are_due_shows_the_text() -> None:
    with pytest.raises(SchemaError, match=MEMORY) as caught:
        check_frame(make_frame().assign(**{MEMORY: ["high", "low"]}), "x")
    assert "high" in str(caught.value.seen)
    assert "fraction of capacity" in caught.value.allowed


def test_metrics_of_order_of_columns_is_canonical() -> None:
    frame = make_frame().assign(latency_ms=1.0, **{MEMORY: 0.5})
    shuffled = frame[["latency_ms", MEMORY, CPU, TIMESTAMP, CLUSTER, SERVICE]]
    assert metrics_of(shuffled) == (CPU, MEMORY, "latency_ms")


def test_metrics_have_units_and_sane_ranges() -> None:
    assert len(set(CANONICAL)) == len(CANONICAL)
    assert set(LABELS) < set(METRICS)
    assert all(m.unit and m.lower < m.upper and m.name == key for key, m in METRICS.items())
