"""Trailing windows: hand-computed numbers, gaps and the edges of the series."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from factories import panel_of

from optimizer.core.schema import CPU
from optimizer.features import windows
from optimizer.features.base import Array
from optimizer.features.panel_block import PanelBlock

NAN = np.nan
STATISTICS = {
    "mean": (PanelBlock.mean, np.nanmean),
    "std": (PanelBlock.std, lambda v: np.nanstd(v, ddof=1)),
    "min": (PanelBlock.min, np.nanmin),
    "max": (PanelBlock.max, np.nanmax),
    "median": (PanelBlock.median, np.nanmedian),
}


def block_of(values: object) -> PanelBlock:
    panel = panel_of(values)
    return PanelBlock(panel, slice(0, panel.n_services), {})


def naive(values: Array, steps: int, reduce) -> Array:
    """Return the statistic by slicing each window: the definition, one step at a time."""
    out = np.full(values.shape, NAN)
    for row, column in np.ndindex(*values.shape):
        window = values[row, max(0, column - steps + 1) : column + 1]
        if np.sum(~np.isnan(window)) >= windows.least_count(steps):
            out[row, column] = reduce(window)
    return out


@pytest.mark.parametrize(("steps", "least"), [(1, 1), (2, 2), (6, 2), (8, 2), (9, 3), (168, 42)])
def test_least_count_is_a_quarter_and_at_least_two(steps: int, least: int) -> None:
    assert windows.least_count(steps) == least


@pytest.mark.parametrize(
    ("kind", "want"),
    [
        ("mean", [NAN, 1.5, 7 / 3, 3.0, 6.0]),
        ("std", [NAN, np.sqrt(0.5), np.sqrt(7 / 3), np.sqrt(2.0), np.sqrt(8.0)]),
        ("min", [NAN, 1.0, 1.0, 2.0, 4.0]),
        ("max", [NAN, 2.0, 4.0, 4.0, 8.0]),
        ("median", [NAN, 1.5, 2.0, 3.0, 6.0]),
    ],
)
def test_window_three_steps_with_a_gap_is_as_computed_by_hand(kind: str, want: list[float]) -> None:
    found = STATISTICS[kind][0](block_of([[1, 2, 4, NAN, 8]]), CPU, 3)
    np.testing.assert_allclose(found[0], want, rtol=1e-6)


@pytest.mark.parametrize("kind", STATISTICS)
@pytest.mark.parametrize("steps", [2, 3, 6, 7, 8, 24, 60, 500])
def test_window_random_values_with_gaps_match_the_definition(kind: str, steps: int) -> None:
    rng = np.random.default_rng(steps)
    values = rng.normal(size=(3, 60)).astype(np.float32)
    values[rng.random(values.shape) < 0.4] = NAN
    values[1, 10:45] = NAN
    move, reduce = STATISTICS[kind]
    np.testing.assert_allclose(
        move(block_of(values), CPU, steps), naive(values, steps, reduce), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("kind", STATISTICS)
def test_window_longer_than_the_series_needs_its_quarter(kind: str) -> None:
    assert np.isnan(STATISTICS[kind][0](block_of([[1, 2, 3]]), CPU, 20)).all()


def test_window_std_of_one_step_is_unknown() -> None:
    assert np.isnan(windows.moving_std(np.ones((2, 5)), 1)).all()


def test_window_std_of_a_tiny_spread_on_a_large_level_keeps_its_digits() -> None:
    values = np.float64(1e6) + np.tile([0.0, 1.0], 100)[None, :]
    found = windows.moving_std(values, 24)[0, -1]
    assert found == pytest.approx(np.std(np.tile([0.0, 1.0], 12), ddof=1), rel=1e-5)


def test_what_other_windows_and_statistics_start_from_is_computed_once_per_block() -> None:
    block = block_of([[1, 2, 3, 4]])
    assert block.wide(CPU) is block.wide(CPU)
    assert block.mean(CPU, 3) is block.mean(CPU, 3)


@pytest.mark.parametrize("steps", [1, 2, 3, 24, 168, 255, 256, 300, 400])
def test_moving_count_is_the_number_of_flags_in_the_window(steps: int) -> None:
    flags = np.random.default_rng(1).random((2, 300)) < [[0.7], [1.0]]
    want = [[row[max(0, t - steps + 1) : t + 1].sum() for t in range(300)] for row in flags]
    doubled = [flags.astype(np.min_scalar_type(steps))]
    np.testing.assert_array_equal(windows.moving_count(doubled, steps), want)
    np.testing.assert_array_equal(windows.moving_count(doubled, steps), want)  # known by now


@pytest.mark.parametrize("apart", [1, 24])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 168, 300])
def test_widened_windows_hold_their_samples_alone(steps: int, apart: int) -> None:
    values = np.random.default_rng(3).random((2, 300))
    want = [[row[t::-apart][:steps].max() for t in range(300)] for row in values]
    np.testing.assert_array_equal(windows.widen(values, 1, steps, np.fmax, apart), want)


@pytest.mark.parametrize("halflife", [1, 5, 200])
def test_exponential_mean_runs_on_over_the_restarts_of_its_weights(halflife: int) -> None:
    values = np.random.default_rng(2).random((2, 700)).astype(np.float32)
    found = windows.exponential_mean((values + 1j).astype(np.complex64), halflife)
    want = pd.DataFrame(values.T.astype(float)).ewm(halflife=halflife).mean().to_numpy().T
    np.testing.assert_allclose(found, want, rtol=3e-6)
