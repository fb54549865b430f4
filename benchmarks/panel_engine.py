"""The project's own engine, as the benchmark runs it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.core.panel import Panel
from optimizer.features.base import FeatureGroup
from optimizer.features.engine import compute_features
from optimizer.features.table import FeatureTable

compute = compute_features


def prepare(panel: Panel, groups: Sequence[FeatureGroup]) -> tuple[Any, ...]:
    """Return what :func:`compute` takes: the panel itself."""
    return panel, groups


def columns(result: FeatureTable) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield the name and values of every feature."""
    yield from zip(result.names, result.values, strict=True)
