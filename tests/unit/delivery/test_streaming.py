"""The online store follows the stream: both paths give the batch values, whatever arrives when."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from stores import moment, moving_panel, store_of
from streams import drive, long_frame

from optimizer.core.errors import SchemaError
from optimizer.delivery.serving.online import FRESH, STALE, OnlineReader
from optimizer.delivery.serving.streaming import FeatureStream
from optimizer.features.store.partitions import store_range

PANEL = moving_panel(6, 24 * 24)
START = 24 * 12


@pytest.mark.slow
def test_online_equals_batch_over_hundreds_of_steps(tmp_path: Path) -> None:
    store = store_of(tmp_path, PANEL)
    store.register()
    told = drive(store, PANEL, START, steps=240, seed=3)
    assert told.mismatches == 0
    assert told.steps == 240
    assert told.compared > 240 * 3 * 190
    assert told.late > 50
    assert told.duplicates > 30
    assert told.very_late > 3


def test_stream_after_materialize_goes_on_where_batch_ended(tmp_path: Path) -> None:
    store = store_of(tmp_path, PANEL)
    history = PANEL.between(0, START)
    store_range(store.directory, history, store.schema)
    store.register()
    store.materialize(moment(PANEL, START - 1))
    stream, reader = FeatureStream(store, history), OnlineReader(store)
    frame = long_frame(PANEL)
    now = moment(PANEL, START)
    newest = stream.push(frame[frame["event_timestamp"] == now])
    found = reader.read(newest.services, now)
    assert set(found.status) == {FRESH}
    np.testing.assert_allclose(found.values, newest.values, rtol=1e-5, atol=1e-5)


def test_silent_service_ages_while_others_go_on(tmp_path: Path) -> None:
    store = store_of(tmp_path, PANEL)
    store.register()
    stream, reader = FeatureStream(store, PANEL.between(0, START)), OnlineReader(store)
    frame = long_frame(PANEL)
    silent = PANEL.services[1]
    for step in range(START, START + 6):
        rows = frame[frame["event_timestamp"] == moment(PANEL, step)]
        keep = rows["service_id"] != silent if step > START + 1 else rows["service_id"] != ""
        stream.push(rows[keep])
    now = moment(PANEL, START + 5)
    told = dict(zip(PANEL.services, reader.read(PANEL.services, now).status, strict=True))
    assert told[silent] == STALE
    assert FRESH in told.values()


def test_stream_of_other_telemetry_than_the_stores_is_refused(tmp_path: Path) -> None:
    store = store_of(tmp_path, PANEL)
    with pytest.raises(SchemaError, match="telemetry at 0 days 00:30:00"):
        FeatureStream(store, replace(PANEL, step=pd.Timedelta("30min")))


def test_push_of_an_off_grid_row_changes_nothing(tmp_path: Path) -> None:
    store = store_of(tmp_path, PANEL)
    store.register()
    stream = FeatureStream(store, PANEL.between(0, START))
    frame = long_frame(PANEL)
    row = frame[frame["event_timestamp"] == moment(PANEL, START)].head(1)
    odd = row.assign(event_timestamp=row["event_timestamp"] + pd.Timedelta("7min"))
    before = stream.buffer.newest
    with pytest.raises(SchemaError):
        stream.push(odd)
    assert stream.buffer.newest == before
