"""Run feature groups over a panel into one preallocated feature-major array."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from optimizer.core.errors import ConfigError, InsufficientHistoryError
from optimizer.core.panel import FloatArray, Panel
from optimizer.features.base import Derived, Feature, FeatureGroup, Layout
from optimizer.features.panel_block import PanelBlock
from optimizer.features.table import FeatureSpec, FeatureTable

logger = logging.getLogger(__name__)

BLOCK_CELLS = 98_304
"""Cells (services x steps) of a block: 384 KiB a float32 array, so that the few arrays at work stay
in the processor's second-level cache and the calls are few enough."""


def plan_features(groups: Sequence[FeatureGroup], layout: Layout) -> list[Feature | Derived]:
    """Return the features of all groups that the telemetry allows.

    A group without any of its source metrics drops out with a log message. Raises ConfigError: two
    features share a name, no feature is left, or one lacks what it is derived from.
    """
    features: list[Feature | Derived] = []
    for group in groups:
        planned = group.features(layout)
        if not planned:
            logger.info("feature group %s drops out: its metrics are absent", group.name)
        features.extend(planned)
    names = [feature.spec.name for feature in features]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        raise ConfigError(
            "features",
            seen=f"duplicate names {', '.join(twice)}" if twice else "no feature left",
            allowed="at least one feature, each name once",
            fix="choose features=full or another group of features",
        )
    stored = {feature.spec.name for feature in features if not feature.spec.inputs}
    for spec in (feature.spec for feature in features):
        lacking = [name for name in spec.inputs if name not in stored]
        if lacking:
            raise ConfigError(
                f"features.groups.{spec.group}",
                seen=f"{spec.name} without {', '.join(lacking)}",
                allowed="features derived from others that are chosen too",
                fix=f"add the groups workload and rolling with these, or leave {spec.group} out",
            )
    return features


def derive_features(
    derived: Mapping[str, Derived], column: Callable[[str], FloatArray]
) -> Iterator[tuple[str, FloatArray]]:
    """Yield name and values of each derived feature, float32.

    ``column``: returns the float32 values of a stored feature; all arrays have one shape.
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        for name, feature in derived.items():
            values = feature.derive(*(column(given) for given in feature.spec.inputs))
            yield name, np.asarray(values, dtype=np.float32)


def compute_features(panel: Panel, groups: Sequence[FeatureGroup]) -> FeatureTable:
    """Compute the features of every present row.

    Returns rows sorted by service, then step. ``panel``: telemetry; the value at step t reads steps
    up to t only.
    """
    features = plan_features(groups, Layout(panel.metrics, panel.step))
    counts = np.count_nonzero(panel.present, axis=1)
    bounds = np.concatenate(([0], np.cumsum(counts)))
    service = np.repeat(np.arange(panel.n_services, dtype=np.int32), counts)
    clock = np.arange(panel.n_steps, dtype=np.int32)
    whole = len(service) == panel.present.size
    step = (
        np.tile(clock, panel.n_services)
        if whole
        else np.broadcast_to(clock, panel.present.shape)[panel.present]
    )
    out = np.empty((len(features), len(service)), dtype=np.float32)
    size = max(1, BLOCK_CELLS // panel.n_steps)
    by_source: dict[tuple[str, ...], dict[int, Feature]] = {}
    for index, feature in enumerate(features):
        if isinstance(feature, Feature):
            by_source.setdefault(feature.spec.source, {})[index] = feature
    derived = {f.spec.name: f for f in features if isinstance(f, Derived)}
    place = {feature.spec.name: index for index, feature in enumerate(features)}
    shared: dict[Hashable, Any] = {}
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        for start in range(0, panel.n_services, size):
            stop = min(start + size, panel.n_services)
            rows = out[:, bounds[start] : bounds[stop]]
            _write_block(panel, slice(start, stop), list(by_source.values()), shared, rows)
            _write_derived(derived, place, rows)
    return FeatureTable(out, tuple(feature.spec for feature in features), service, step)


def _write_derived(derived: Mapping[str, Derived], place: dict[str, int], out: FloatArray) -> None:
    """Fill the derived rows of a block from its other rows, while they lie in the cache."""
    for name, values in derive_features(derived, lambda given: out[place[given]]):
        out[place[name]] = values


def _write_block(
    panel: Panel,
    services: slice,
    by_source: list[dict[int, Feature]],
    shared: dict[Hashable, Any],
    out: FloatArray,
) -> None:
    """Compute all features of a few services.

    Features of the same source share a block's intermediate results, which are dropped before
    the next source: what is written next then still lies in the processor's cache.
    """
    present = panel.present[services]
    cells = None if present.all() else np.flatnonzero(present)
    for features in by_source:
        block = PanelBlock(panel, services, shared)
        for index, feature in features.items():
            values = feature.compute(block)
            if cells is None:
                out[index].reshape(present.shape)[...] = values
            else:
                out[index] = np.broadcast_to(values, present.shape).ravel()[cells]


def longest_lookback(specs: Sequence[FeatureSpec]) -> pd.Timedelta:
    """Return the longest history that any of the features reads."""
    return max((pd.Timedelta(spec.lookback) for spec in specs), default=pd.Timedelta(0))


def longest_reach(specs: Sequence[FeatureSpec]) -> pd.Timedelta:
    """Return the history that gives every feature the float32 value of an endless one."""
    longest = [pd.Timedelta(spec.reach or spec.lookback) for spec in specs]
    return max(longest, default=pd.Timedelta(0))


def check_history(panel: Panel, specs: Sequence[FeatureSpec]) -> None:
    """Raise if the telemetry's time span is shorter than the longest lookback.

    Raises InsufficientHistoryError: no row could have a complete window.
    """
    span = panel.n_steps * panel.step
    need = longest_lookback(specs)
    if span > need:
        return
    groups = sorted({s.group for s in specs if pd.Timedelta(s.lookback) >= span})
    raise InsufficientHistoryError(
        "history",
        seen=f"{panel.n_steps} steps of {panel.step} ({span})",
        allowed=f"more than the longest lookback, {need} (groups {', '.join(groups)})",
        fix="give more history or choose features=minimal",
    )
