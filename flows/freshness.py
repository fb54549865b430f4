"""Tell how old the online store's values are: ``python flows/freshness.py``.

Ages are counted to the clock, or to ``now=2025-04-01T00:00`` for telemetry of the past.
"""

from __future__ import annotations

from omegaconf import DictConfig

from flows.command import command, running_config
from optimizer.core.config import build
from optimizer.delivery.console.freshness import show_freshness
from optimizer.delivery.serving.freshness import choose_moment, measure_freshness
from optimizer.features.store.repository import open_project
from optimizer.features.store.settings import project_of


def job(composed: DictConfig) -> None:
    """Print the age of every view of the project that the data names."""
    config = running_config(composed)
    now, data = choose_moment(config), build(config.data, "data")
    store = open_project(build(config.store, "store"), project_of(config, data.name))
    show_freshness(store, measure_freshness(store, now), now)


main = command(job)

if __name__ == "__main__":
    main()
