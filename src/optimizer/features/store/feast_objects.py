"""Feast's entities, views and services, made from the feature specs: nothing is typed twice."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from types import FunctionType
from typing import Any, cast

import numpy as np
import pandas as pd

from optimizer.core.panel import FloatArray
from optimizer.core.schema import CLUSTER, SERVICE, TIMESTAMP
from optimizer.features.engine import derive_features
from optimizer.features.schema import StoreSchema
from optimizer.features.store.integrity import HOME, MEMBERSHIP, view_pattern
from optimizer.features.table import ON_DEMAND_VIEW, FeatureSpec

TRAINING, INFERENCE, REALTIME = "training_fs", "inference_fs", "realtime_fs"
KEYS = {"service": SERVICE, "cluster": CLUSTER}


def define_objects(schema: StoreSchema, directory: Path, ttl: pd.Timedelta) -> dict[str, Any]:
    """Return every Feast object of a project by name.

    Parameters
    ----------
    schema : StoreSchema
        The features.
    directory : pathlib.Path
        The project's offline partitions.
    ttl : pandas.Timedelta
        Age up to which a value counts.

    Returns
    -------
    dict
        Entities ``service`` and ``cluster``; one view per view of the specs and the membership
        of services in clusters; the derived features on demand; and three services.
        ``training_fs`` and ``inference_fs`` hold every feature, ``realtime_fs`` what has to be
        fetched: a reader derives the rest. Each carries the schema's version.
    """
    from feast import Entity, FeatureService, Field, ValueType
    from feast.types import String

    entities = {
        name: Entity(name=name, join_keys=[key], value_type=ValueType.STRING)
        for name, key in KEYS.items()
    }
    membership = [Field(name=HOME, dtype=String, description="cluster the service is in")]
    found: dict[str, Any] = {
        MEMBERSHIP: _view(MEMBERSHIP, entities["service"], membership, directory, ttl)
    }
    for view, specs in schema.views.items():
        entity, fields = entities[schema.scope(view)], [_field(spec) for spec in specs]
        found[view] = _view(view, entity, fields, directory, ttl)
    stored = list(found.values())
    features = [view for view in stored if view.name != MEMBERSHIP]
    if schema.derived:
        found[ON_DEMAND_VIEW] = _on_demand(schema, found)
        features.append(found[ON_DEMAND_VIEW])
    services = {
        TRAINING: (features, "Every feature, for point-in-time training sets."),
        INFERENCE: (features, "Every feature, for batch scoring."),
        REALTIME: (stored, "Stored features and membership, for reads now."),
    }
    for name, (members, text) in services.items():
        tags = {"version": schema.version}
        found[name] = FeatureService(name=name, features=members, tags=tags, description=text)
    return entities | found


def _view(name: str, entity: Any, fields: list[Any], directory: Path, ttl: pd.Timedelta) -> Any:
    """Return a feature view over the files of its partitions."""
    from feast import FeatureView, FileSource

    source = FileSource(
        name=f"{name}_files", path=view_pattern(directory, name), timestamp_field=TIMESTAMP
    )
    return FeatureView(
        name=name, entities=[entity], ttl=ttl.to_pytimedelta(), schema=fields, source=source
    )


def _field(spec: FeatureSpec) -> Any:
    from feast import Field
    from feast.types import Float32

    tags = {"unit": spec.unit, "lookback": spec.lookback, "group": spec.group}
    return Field(name=spec.name, dtype=Float32, tags=tags)


def _on_demand(schema: StoreSchema, views: dict[str, Any]) -> Any:
    """Return the view of derived features, over just what they are derived from."""
    from feast import Field
    from feast.on_demand_feature_view import OnDemandFeatureView
    from feast.types import Float32

    inputs = {name for feature in schema.derived.values() for name in feature.spec.inputs}
    sources = [
        views[view][[spec.name for spec in specs if spec.name in inputs]]
        for view, specs in schema.views.items()
        if any(spec.name in inputs for spec in specs)
    ]
    transform, source = _transform(json.dumps(schema.to_dict(), sort_keys=True))
    return OnDemandFeatureView(
        name=ON_DEMAND_VIEW,
        sources=sources,
        # Feast compares these with what the function returns, which has no tags
        schema=[Field(name=name, dtype=Float32) for name in schema.derived],
        udf=transform,
        udf_string=source,
        mode="pandas",
    )


def _transform(fit_config: str) -> tuple[FunctionType, str]:
    """Return the function of the on-demand view, and its source.

    Feast keeps the source and rebuilds the function from nothing else, so the source holds the
    schema as text.
    """

    def transform(inputs: pd.DataFrame) -> pd.DataFrame:
        return derive_frame(fit_config, inputs)

    source = (
        "def transform(inputs):\n"
        "    from optimizer.features.store.feast_objects import derive_frame\n\n"
        f"    return derive_frame({fit_config!r}, inputs)\n"
    )
    return cast("FunctionType", transform), source


def derive_frame(fit_config: str, inputs: pd.DataFrame) -> pd.DataFrame:
    """Return the derived features of each row.

    Parameters
    ----------
    fit_config : str
        :meth:`StoreSchema.to_dict` as JSON.
    inputs : pandas.DataFrame
        One column per stored feature that is an input.
    """
    schema = _schema_of(fit_config)

    def column(name: str) -> FloatArray:
        return inputs[name].to_numpy(np.float32, na_value=np.nan)

    return pd.DataFrame(dict(derive_features(schema.derived, column)), inputs.index)


@lru_cache(maxsize=8)
def _schema_of(fit_config: str) -> StoreSchema:
    return StoreSchema.from_dict(json.loads(fit_config))
