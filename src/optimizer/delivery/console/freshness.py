"""What the age of the feature store looks like on the terminal."""

from __future__ import annotations

import pandas as pd

from optimizer.core.durations import format_duration
from optimizer.delivery.console.output import echo, show_table
from optimizer.delivery.serving.freshness import ViewFreshness
from optimizer.features.store.store import FeatureStore


def show_freshness(store: FeatureStore, found: list[ViewFreshness], now: pd.Timestamp) -> None:
    """Print the age of every view's newest value."""
    rows = [
        (
            one.view,
            "nothing" if one.newest is None else f"{one.newest:%Y-%m-%d %H:%M}",
            "-" if one.age is None else str(one.age).split(".")[0],
            f"{one.entities}",
            f"{one.stale:.0%}",
        )
        for one in found
    ]
    show_table(
        f"feature store {store.project}, version {store.schema.version}",
        ("view", "newest value", "age", "entities", "stale"),
        rows,
    )
    echo(f"ages at {now:%Y-%m-%d %H:%M} UTC; stale: older than {format_duration(store.ttl)}")
