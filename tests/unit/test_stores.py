"""Telemetry and features on disk come back as they went."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from factories import tiny_panel
from optimizer.columns import CLUSTER, SERVICE, TIMESTAMP, TIMESTAMP_DTYPE
from optimizer.errors import ConfigError
from optimizer.features.engine import compute_features
from optimizer.features.panel import build_panel
from optimizer.features.rolling import Rolling
from optimizer.features.workload import Workload
from optimizer.io.stores import (
    load_features,
    load_panel,
    read_frame,
    store_features,
    store_telemetry,
)
from optimizer.telemetry.synthetic import SyntheticTelemetry

GROUPS = [Workload(), Rolling(windows=["6h"], statistics={"cpu_utilization": ["mean", "max"]})]


def test_telemetry_stored_and_read_is_the_same_frame(tmp_path: Path) -> None:
    frame = SyntheticTelemetry(n_services=3, n_clusters=1, days=4).load()
    ref = store_telemetry(frame, tmp_path / "telemetry")
    found = read_frame(ref)
    pd.testing.assert_frame_equal(found, frame, check_categorical=False)
    assert str(found[TIMESTAMP].dtype) == TIMESTAMP_DTYPE
    assert {str(found[name].dtype) for name in (SERVICE, CLUSTER)} == {"category"}
    assert ref.is_intact()


def test_telemetry_stored_twice_has_the_same_hash(tmp_path: Path) -> None:
    frame = SyntheticTelemetry(n_services=3, n_clusters=1, days=4).load()
    one, two = (store_telemetry(frame, tmp_path / name) for name in ("one", "two"))
    assert one.sha256 == two.sha256


def test_load_panel_is_the_panel_of_the_frame(tmp_path: Path) -> None:
    frame = SyntheticTelemetry(n_services=3, n_clusters=2, days=4).load()
    found = load_panel(store_telemetry(frame, tmp_path / "telemetry"))
    want = build_panel(frame)
    np.testing.assert_array_equal(found.values, want.values)
    np.testing.assert_array_equal(found.clusters, want.clusters)
    assert (found.services, found.metrics) == (want.services, want.metrics)


def test_features_stored_and_loaded_are_the_same_table(tmp_path: Path) -> None:
    panel = tiny_panel(5, 200, gaps=0.05)
    found = load_features(store_features(panel, GROUPS, tmp_path / "features"))
    want = compute_features(panel, GROUPS)
    np.testing.assert_array_equal(found.values, want.values)
    np.testing.assert_array_equal(found.service, want.service)
    np.testing.assert_array_equal(found.step, want.step)
    assert found.specs == want.specs


def test_features_are_mapped_not_copied_and_read_only(tmp_path: Path) -> None:
    found = load_features(store_features(tiny_panel(2, 50), GROUPS, tmp_path / "features"))
    assert isinstance(found.values, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        found.values[0, 0] = 1.0


def test_store_features_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no feature left"):
        store_features(tiny_panel(2, 50), [], tmp_path / "features")
    assert list(tmp_path.iterdir()) == []
