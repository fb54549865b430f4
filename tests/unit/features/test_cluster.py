"""The group ``cluster``: what the neighbours do."""

from __future__ import annotations

import numpy as np
import pytest
from factories import feature_grid, metrics_panel

from optimizer.core.errors import ConfigError
from optimizer.core.schema import CPU, MEMORY
from optimizer.features.aggregates import aggregate_clusters
from optimizer.features.groups.cluster import Cluster
from optimizer.features.groups.workload import Workload

NAN = np.nan
VALUES = [[0.2, 0.4, 0.8], [0.4, NAN, 0.9], [1.0, 1.0, 1.0]]
PANEL = metrics_panel({CPU: VALUES}, clusters=[0, 0, 1])
GROUP = Cluster(metrics=[CPU, MEMORY], lags=["1h"], windows=["2h"])


def test_cluster_aggregates_are_over_observed_members() -> None:
    found = feature_grid(PANEL, Workload(), GROUP)
    np.testing.assert_allclose(found[f"cluster_{CPU}_mean"][0], [0.3, 0.4, 0.85], rtol=1e-6)
    np.testing.assert_allclose(found[f"cluster_{CPU}_max"][1], [0.4, 0.4, 0.9], rtol=1e-6)
    np.testing.assert_allclose(found[f"cluster_{CPU}_std"][0], [0.1, 0, 0.05], atol=1e-6)
    np.testing.assert_allclose(found[f"cluster_{CPU}_above_80"][0], [0, 0, 1])
    np.testing.assert_allclose(found["cluster_size"], [[2, 1, 2], [2, 1, 2], [1, 1, 1]])


def test_cluster_place_of_the_service_in_it() -> None:
    found = feature_grid(PANEL, Workload(), GROUP)
    np.testing.assert_allclose(
        found[f"cluster_{CPU}_distance"][1], [0.1, NAN, 0.05], rtol=1e-5, atol=1e-7
    )
    np.testing.assert_allclose(
        found[f"cluster_{CPU}_share"][0], [0.2 / 0.6, 1.0, 0.8 / 1.7], rtol=1e-6
    )
    np.testing.assert_allclose(found[f"cluster_{CPU}_share"][2], [1, 1, 1], rtol=1e-6)


def test_cluster_difference_and_window_of_the_mean() -> None:
    found = feature_grid(PANEL, Workload(), GROUP)
    np.testing.assert_allclose(found[f"cluster_{CPU}_mean_diff_1h"][0], [NAN, 0.1, 0.45], rtol=1e-5)
    np.testing.assert_allclose(found[f"cluster_{CPU}_mean_2h"][0], [NAN, 0.35, 0.625], rtol=1e-5)


def test_cluster_without_an_observed_service_is_unknown() -> None:
    panel = metrics_panel({CPU: [[NAN, 0.5], [0.1, 0.2]]}, clusters=[0, 1])
    found = aggregate_clusters(panel.metric(CPU), panel.clusters, 2)
    np.testing.assert_array_equal(found["count"], [[0, 1], [1, 1]])
    for kind in ("mean", "max", "std", "above_80"):
        assert np.isnan(found[kind][0, 0])
        assert not np.isnan(found[kind][1, 0])


def test_cluster_of_a_service_that_moved_is_the_one_it_was_in() -> None:
    moved = metrics_panel({CPU: VALUES}, clusters=[[0, 0, 0], [0, 0, 1], [1, 1, 1]])
    found = feature_grid(moved, Workload(), GROUP)
    np.testing.assert_allclose(found[f"cluster_{CPU}_mean"][1], [0.3, 0.4, 0.95], rtol=1e-6)
    np.testing.assert_allclose(found[f"cluster_{CPU}_mean"][0], [0.3, 0.4, 0.8], rtol=1e-6)


def test_cluster_absent_metric_drops_out() -> None:
    names = feature_grid(PANEL, Workload(), GROUP)
    assert not [name for name in names if MEMORY in name]
    memory = metrics_panel({MEMORY: VALUES}, clusters=[0, 0, 1])
    found = set(feature_grid(memory, Workload(), GROUP))
    assert found == {MEMORY} | {
        f"cluster_{MEMORY}_{kind}" for kind in ("mean", "max", "std", "above_80", "distance")
    }


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"metrics": ["cpu"]}, "metrics"),
        ({"lags": ["x"]}, "lags"),
        ({"windows": ["0h"]}, "windows"),
    ],
)
def test_cluster_wrong_setting_is_named(arguments: dict, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Cluster(**arguments)
    assert caught.value.offender == f"features.groups.cluster.{key}"
