"""Telemetry as it arrives: late, twice, out of order; and the batch values it must lead to."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from stores import moment

from optimizer.core.panel import Panel, build_panel
from optimizer.core.schema import CLUSTER, METRICS, SERVICE, TIMESTAMP, TIMESTAMP_DTYPE
from optimizer.delivery.serving.online import FRESH, OnlineReader
from optimizer.delivery.serving.streaming import FeatureStream
from optimizer.features.engine import compute_features
from optimizer.features.store.store import FeatureStore

LATE = (0.85, 0.1, 0.04, 0.01)
"""Shares of rows that arrive with their step, and one, three and thirty steps late."""
DELAYS = (0, 1, 3, 30)


@dataclass
class Told:
    """What a drive compared: values, steps, and how irregular the stream was."""

    steps: int = 0
    compared: int = 0
    mismatches: int = 0
    late: int = 0
    very_late: int = 0
    duplicates: int = 0


def long_frame(panel: Panel) -> pd.DataFrame:
    """Return the present rows of a panel as the canonical long frame."""
    service, step = np.nonzero(panel.present)
    columns = {
        SERVICE: np.asarray(panel.services, dtype=object)[service],
        CLUSTER: np.asarray(panel.cluster_names, dtype=object)[panel.clusters[service, step]],
        TIMESTAMP: pd.DatetimeIndex(panel.timestamps[step], tz="UTC"),
    }
    columns |= {name: panel.metric(name)[service, step] for name in panel.metrics}
    return pd.DataFrame(columns).astype({TIMESTAMP: TIMESTAMP_DTYPE})


def drive(store: FeatureStore, panel: Panel, start: int, *, steps: int, seed: int) -> Told:
    """Stream some steps into a store and compare every read with the batch values.

    Parameters
    ----------
    store : FeatureStore
        Registered; nothing need be online.
    panel : Panel
        The truth; its first ``start`` steps are known before the stream begins.
    start, steps : int
        Where the stream begins and how long it is.
    seed : int
        Seeds what is late and what comes twice.
    """
    rng = np.random.default_rng(seed)
    stream, reader, told = (
        FeatureStream(store, panel.between(0, start)),
        OnlineReader(store),
        Told(),
    )
    frame = long_frame(panel)
    first = moment(panel, start)
    known = [frame[frame[TIMESTAMP] < first]]
    coming = frame[(frame[TIMESTAMP] >= first) & (frame[TIMESTAMP] < moment(panel, start + steps))]
    delay = rng.choice(DELAYS, len(coming), p=LATE)
    due = ((coming[TIMESTAMP] - first) // panel.step).to_numpy() + delay
    twice = rng.random(len(coming)) < 0.05
    for step in range(steps):
        batch, again = coming[due == step], coming[(due == step) & twice]
        wrong = again.assign(**dict.fromkeys(METRICS.keys() & set(frame.columns), 0.111))
        stream.push(pd.concat([wrong, batch]))  # the last one stays
        known.append(batch)
        told.late += int((delay[due == step] > 0).sum())
        told.very_late += int((delay[due == step] == DELAYS[-1]).sum())
        told.duplicates += len(again)
        _compare(store, reader, pd.concat(known), moment(panel, start + step), told)
    return told


def _compare(
    store: FeatureStore, reader: OnlineReader, rows: pd.DataFrame, now: pd.Timestamp, told: Told
) -> None:
    """Compare the services that have a row at the newest step with their batch values."""
    panel = build_panel(rows, store.schema.step)
    if pd.Timestamp(panel.timestamps[-1], tz="UTC") != now:
        return  # every row of this step is late
    last = np.zeros_like(panel.present)
    last[:, -1] = panel.present[:, -1]
    table = compute_features(replace(panel, present=last), store.schema.groups)
    found = reader.read([panel.services[i] for i in table.service], now)
    off = np.abs(found.values - table.values) / np.maximum(1, np.abs(table.values))
    off[np.isnan(found.values) & np.isnan(table.values)] = 0
    told.steps += 1
    told.compared += off.size
    told.mismatches += int((~(off <= 1e-5)).sum()) + sum(s != FRESH for s in found.status)
