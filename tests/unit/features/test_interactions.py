"""The group ``interactions``: positions, products and ratios."""

from __future__ import annotations

import numpy as np
import pytest
from factories import feature_grid, metrics_panel, panel_of

from optimizer.core.errors import ConfigError
from optimizer.core.panel import Panel
from optimizer.core.schema import CPU, MEMORY
from optimizer.features.groups.interactions import Interactions
from optimizer.features.groups.rolling import Rolling
from optimizer.features.groups.workload import Workload

NAN = np.nan
GROUP = Interactions(short="2h", long="4h")
STATED = Rolling(windows=["2h", "4h"], statistics={CPU: ["mean", "std", "min", "max"]})


def interactions(panel: Panel) -> dict[str, np.ndarray]:
    """Return the derived features, beside which their inputs have to be computed."""
    return feature_grid(panel, Workload(), STATED, GROUP)


def last(found: dict[str, np.ndarray]) -> dict[str, float]:
    return {name: float(grid[0, -1]) for name, grid in found.items()}


def test_interactions_position_in_its_own_history_is_as_computed_by_hand() -> None:
    found = last(interactions(panel_of([[0.1, 0.5, 0.2, 0.4]])))
    spread = np.std([0.2, 0.4], ddof=1)
    assert found["cpu_zscore_2h"] == pytest.approx(0.1 / spread, rel=1e-5)
    assert found["cpu_range_position_4h"] == pytest.approx(0.75, rel=1e-5)
    assert found["cpu_to_mean_4h"] == pytest.approx(0.4 / 0.3, rel=1e-5)
    assert found["cpu_variation_2h"] == pytest.approx(spread / 0.3, rel=1e-5)


def test_interactions_room_to_the_ceiling_is_as_computed_by_hand() -> None:
    found = last(interactions(panel_of([[0.1, 0.5, 0.7, 0.4]])))
    assert found["cpu_headroom"] == pytest.approx(0.6)
    assert found["cpu_squared"] == pytest.approx(0.16)
    assert found["cpu_below_peak_2h"] == pytest.approx(0.3, rel=1e-5)
    assert found["cpu_peak_headroom_2h"] == pytest.approx(0.3, rel=1e-5)
    spread = np.std([0.7, 0.4], ddof=1)
    assert found["cpu_headroom_in_std_2h"] == pytest.approx(0.6 / spread, rel=1e-5)


def test_interactions_products_and_ratios_are_as_computed_by_hand() -> None:
    values = {
        CPU: 0.5, MEMORY: 0.25, "network_in_mbps": 30, "network_out_mbps": 10, "disk_read_mbps": 6,
        "disk_write_mbps": 3, "request_rate": 200, "latency_ms": 40, "cpu_capacity_cores": 8,
    }  # fmt: skip
    found = last(interactions(metrics_panel({k: [[v, v]] for k, v in values.items()})))
    want = {
        "cpu_times_memory": 0.125, "cpu_to_memory": 2, "memory_headroom": 0.75,
        "network_total_mbps": 40, "network_in_to_out": 3, "disk_read_to_write": 2,
        "cpu_times_latency": 20, "requests_per_core": 25, "cpu_per_request": 0.0025,
        "cpu_cores_used": 4,
    }  # fmt: skip
    assert {name: found[name] for name in want} == pytest.approx(want)


def test_interactions_idle_denominators_are_held_above_zero() -> None:
    found = interactions(metrics_panel({CPU: [[0, 0, 0, 0]], MEMORY: [[0, 0, 0, 0]]}))
    assert all(np.isfinite(grid[0, -1]) for grid in found.values())


def test_interactions_gap_now_is_unknown() -> None:
    found = interactions(metrics_panel({CPU: [[0.1, 0.5, 0.2, NAN]]}))
    now = {"cpu_zscore_2h", "cpu_range_position_4h", "cpu_to_mean_4h", "cpu_headroom"}
    assert all(np.isnan(found[name][0, -1]) for name in now)
    assert found["cpu_variation_4h"][0, -1] > 0  # the window before it was observed


def test_interactions_of_absent_metrics_drop_out() -> None:
    found = interactions(metrics_panel({CPU: [[0.1, 0.2]], "latency_ms": [[1, 2]]}))
    assert "cpu_times_latency" in found
    assert not {"cpu_times_memory", "network_total_mbps", "requests_per_core"} & set(found)


def test_interactions_without_their_inputs_name_what_is_lacking() -> None:
    with pytest.raises(ConfigError) as caught:
        feature_grid(panel_of([[0.1, 0.5]]), Workload(), GROUP)
    assert caught.value.offender == "features.groups.interactions"
    assert "cpu_utilization_mean_2h" in str(caught.value.seen)


def test_interactions_are_a_function_of_stored_float32_values() -> None:
    panel = metrics_panel({CPU: [[0.1, 0.5, 0.2, 0.4, NAN, 0.3]]})
    found = interactions(panel)
    now, mean, std = (found[f"{CPU}{kind}"] for kind in ("", "_mean_2h", "_std_2h"))
    want = (now - mean) / np.maximum(std, np.float32(1e-3))
    np.testing.assert_array_equal(found["cpu_zscore_2h"], want)


@pytest.mark.parametrize("key", ["short", "long"])
def test_interactions_wrong_setting_is_named(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Interactions(**{key: "soon"})
    assert caught.value.offender == f"features.groups.interactions.{key}"
