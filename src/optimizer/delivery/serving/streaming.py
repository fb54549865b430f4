"""Keep the online store at the newest step: new telemetry in, the features of that step out."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from optimizer.core.errors import SchemaError
from optimizer.core.panel import Panel
from optimizer.core.schema import CLUSTER, SERVICE, TIMESTAMP
from optimizer.features.buffer import TelemetryBuffer
from optimizer.features.engine import plan_features
from optimizer.features.newest_block import NewestFeatures, newest_features, steps_to_keep
from optimizer.features.store.integrity import HOME, MEMBERSHIP
from optimizer.features.store.store import FeatureStore, attempt


class FeatureStream:
    """Computes the newest step from a buffer of telemetry and writes it online.

    ``panel``: telemetry so far; what is older than any feature reaches is not kept. Raises
    SchemaError: the panel's metrics or step are not those of the store.
    """

    def __init__(self, store: FeatureStore, panel: Panel) -> None:
        schema = store.schema
        if (panel.metrics, panel.step) != (schema.metrics, schema.step):
            raise SchemaError(
                f"feature store {store.project}",
                seen=f"telemetry at {panel.step} with {', '.join(panel.metrics)}",
                allowed=f"steps of {schema.step} with {', '.join(schema.metrics)}",
                fix="give the telemetry that the store was filled from",
            )
        self._store = store
        self.buffer = TelemetryBuffer.from_panel(
            panel, steps_to_keep(store.schema.specs, panel.step)
        )
        self._features = plan_features(store.schema.groups, self.buffer.layout)

    def push(self, rows: pd.DataFrame) -> NewestFeatures:
        """Take new rows in and put the features of the newest step online.

        Returns what was written: one column per service that has a row at the newest step. A
        service without one keeps its older values online, and they age. ``rows``: canonical long
        frame, in any order. A late row corrects the history; of duplicates the last one stays; a
        row older than the buffer is ignored (``buffer.ignored`` counts). Raises SchemaError: a
        column is missing or a timestamp is off the grid; nothing was taken in; StoreError: the
        online store cannot be reached. Pushing the same rows again mends it; until then readers are
        told ``mixed``.
        """
        self.buffer.update(rows)
        newest = newest_features(self.buffer, self._features)
        frames = self._frames(newest) if newest.services else {}
        for view, frame in frames.items():
            write = partial(self._store.feast.write_to_online_store, view, frame)
            attempt(write, "online store", note=f"; {view} was not written")
        return newest

    def _frames(self, newest: NewestFeatures) -> dict[str, pd.DataFrame]:
        """Return the rows of every view, keyed by service or by cluster."""
        codes = self.buffer.tail_clusters(1)[0][self.buffer.present]
        homes = np.asarray(self.buffer.cluster_names, dtype=object)[codes]
        first = np.unique(codes, return_index=True)[1]  # all services of a cluster agree
        moment = pd.Timestamp(newest.timestamp, tz="UTC")
        values = dict(zip(newest.names, newest.values, strict=True))
        services = np.asarray(newest.services, dtype=object)
        found = {MEMBERSHIP: pd.DataFrame({SERVICE: services, TIMESTAMP: moment, HOME: homes})}
        for view, specs in self._store.schema.views.items():
            rows = first if self._store.schema.scope(view) == "cluster" else slice(None)
            keys = {CLUSTER: homes[rows]} if rows is first else {SERVICE: services}
            columns = {spec.name: values[spec.name][rows] for spec in specs}
            found[view] = pd.DataFrame({**keys, TIMESTAMP: moment, **columns})
        return found
