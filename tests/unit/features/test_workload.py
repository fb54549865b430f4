"""The group ``workload``: the metrics as they are."""

from __future__ import annotations

import numpy as np
from factories import feature_grid, metrics_panel

from optimizer.core.schema import ANOMALY, CPU, SCALE_EVENT
from optimizer.features.groups.workload import Workload

NAN = np.nan


def test_workload_values_pass_unchanged_and_gaps_stay() -> None:
    values = np.float32([[0.1, NAN, 0.3], [0.4, 0.5, 0.6]])
    found = feature_grid(metrics_panel({CPU: values, "latency_ms": 100 * values}), Workload())
    np.testing.assert_array_equal(found[CPU], values)
    np.testing.assert_array_equal(found["latency_ms"], 100 * values)


def test_workload_labels_are_never_features() -> None:
    labels = {SCALE_EVENT: [[1, 0]], ANOMALY: [[0, 1]]}
    assert list(feature_grid(metrics_panel({CPU: [[0.1, 0.2]], **labels}), Workload())) == [CPU]
