"""Trailing windows: hand-computed numbers, gaps and the edges of the series."""

from __future__ import annotations

import numpy as np
import pytest

from factories import panel_of
from optimizer.columns import CPU
from optimizer.features import windows
from optimizer.features.base import Array, Block

NAN = np.nan
STATISTICS = {
    "mean": (windows.window_mean, np.nanmean),
    "std": (windows.window_std, lambda v: np.nanstd(v, ddof=1)),
    "min": (windows.window_min, np.nanmin),
    "max": (windows.window_max, np.nanmax),
    "median": (windows.window_median, np.nanmedian),
}


def block_of(values: object) -> Block:
    panel = panel_of(values)
    return Block(panel, slice(0, panel.n_services), {})


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


def test_window_results_are_computed_once_per_block() -> None:
    block = block_of([[1, 2, 3, 4]])
    assert windows.window_max(block, CPU, 3) is windows.window_max(block, CPU, 3)
    assert windows.window_mean(block, CPU, 3) is windows.window_mean(block, CPU, 3)
