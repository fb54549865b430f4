"""What a feature store holds of one telemetry: feature specs by view, and what is derived."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import pandas as pd

from optimizer.core.config import build
from optimizer.core.durations import format_duration
from optimizer.features.base import Derived, FeatureGroup, Layout
from optimizer.features.engine import plan_features
from optimizer.features.table import FeatureSpec


@dataclass(frozen=True)
class StoreSchema:
    """The features of some groups on some telemetry: names, types and views, no data.

    ``nodes``: configuration of the feature groups by name, as in ``conf/features``. ``step``: its
    clock.
    """

    nodes: Mapping[str, Any]
    metrics: tuple[str, ...]
    step: pd.Timedelta

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what was derived: features hold functions that cannot be pickled."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def groups(self) -> tuple[FeatureGroup, ...]:
        """The feature groups."""
        return tuple(build(node, f"features.groups.{name}") for name, node in self.nodes.items())

    @cached_property
    def _planned(self) -> tuple[Any, ...]:
        return tuple(plan_features(self.groups, Layout(self.metrics, self.step)))

    @cached_property
    def specs(self) -> tuple[FeatureSpec, ...]:
        """All features in the order of a feature table."""
        return tuple(feature.spec for feature in self._planned)

    @cached_property
    def derived(self) -> dict[str, Derived]:
        """The features that are derived on demand, by name."""
        return {f.spec.name: f for f in self._planned if isinstance(f, Derived)}

    @cached_property
    def views(self) -> dict[str, tuple[FeatureSpec, ...]]:
        """The stored features by the view that keeps them."""
        found: dict[str, list[FeatureSpec]] = {}
        for spec in self.specs:
            if not spec.inputs:
                found.setdefault(spec.view, []).append(spec)
        return {view: tuple(specs) for view, specs in found.items()}

    @cached_property
    def version(self) -> str:
        """Eight hexadecimal digits that change with any name, unit, lookback, view or the clock."""
        text = json.dumps([self.to_dict(), [spec.to_dict() for spec in self.specs]], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def scope(self, view: str) -> str:
        """Return the entity that a view is keyed by, ``"service"`` or ``"cluster"``."""
        return self.views[view][0].scope

    def to_dict(self) -> dict[str, Any]:
        """Return the schema as plain values for JSON."""
        step = format_duration(self.step)
        return {"groups": dict(self.nodes), "metrics": list(self.metrics), "step": step}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> StoreSchema:
        """Return the schema that :meth:`to_dict` gave."""
        return cls(values["groups"], tuple(values["metrics"]), pd.Timedelta(values["step"]))
