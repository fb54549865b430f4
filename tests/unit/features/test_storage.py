"""Telemetry and features on disk come back as they went."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from optimizer.core.panel import build_panel
from optimizer.core.schema import CLUSTER, SERVICE, TIMESTAMP, TIMESTAMP_DTYPE
from optimizer.features.storage import load_panel, read_frame, store_telemetry
from optimizer.sources.synthetic.source import SyntheticTelemetry


def test_telemetry_stored_and_read_is_the_same_frame(tmp_path: Path) -> None:
    frame = SyntheticTelemetry(n_services=3, n_clusters=1, days=4).fetch()
    ref = store_telemetry(frame, tmp_path / "telemetry")
    found = read_frame(ref)
    pd.testing.assert_frame_equal(found, frame, check_categorical=False)
    assert str(found[TIMESTAMP].dtype) == TIMESTAMP_DTYPE
    assert {str(found[name].dtype) for name in (SERVICE, CLUSTER)} == {"category"}
    assert ref.is_intact()


def test_telemetry_stored_twice_has_the_same_hash(tmp_path: Path) -> None:
    frame = SyntheticTelemetry(n_services=3, n_clusters=1, days=4).fetch()
    one, two = (store_telemetry(frame, tmp_path / name) for name in ("one", "two"))
    assert one.sha256 == two.sha256


def test_load_panel_is_the_panel_of_the_frame(tmp_path: Path) -> None:
    frame = SyntheticTelemetry(n_services=3, n_clusters=2, days=4).fetch()
    found = load_panel(store_telemetry(frame, tmp_path / "telemetry"))
    want = build_panel(frame)
    np.testing.assert_array_equal(found.values, want.values)
    np.testing.assert_array_equal(found.clusters, want.clusters)
    assert (found.services, found.metrics) == (want.services, want.metrics)
