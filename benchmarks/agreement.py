"""How far the values of one engine are from those of another."""

from __future__ import annotations

from typing import Any

import numpy as np

TOLERANCE = 1e-4


def compare_values(expected: dict[str, Any], given: dict[str, Any]) -> tuple[float, str]:
    """Return the largest deviation as a share of its column's scale, and the column.

    The scale is the column's standard deviation, of a constant column its largest value. A
    value where NaN is expected, or the other way round, or a missing column is infinitely far.
    """
    if set(expected) != set(given):
        return float("inf"), ", ".join(sorted(set(expected) ^ set(given))[:3])
    return max((deviation(expected[name], given[name]), name) for name in expected)


def deviation(expected: Any, given: Any) -> float:
    """Return the largest deviation of one column as a share of its scale."""
    known = ~np.isnan(expected)
    if (known == np.isnan(given)).any():
        return float("inf")
    expected, given = expected[known], given[known]
    if len(expected) == 0:
        return 0.0
    scale = expected.std() or np.abs(expected).max() or 1.0
    return float(np.abs(given - expected).max() / scale)
