"""Tell how old the online store's values are: ``python flows/freshness.py``.

Ages are counted to the clock, or to ``now=2025-04-01T00:00`` for telemetry of the past.
"""

from __future__ import annotations

from flows import environment  # noqa: F401 - what Prefect reads when it is imported

# isort: split

import sys

import hydra
from omegaconf import DictConfig

from flows.messages import check_command, command_overrides, one_message
from optimizer.core.config import load_config


@hydra.main(version_base="1.3", config_path="../conf", config_name="config")
def main(_: DictConfig) -> None:
    """Print the age of every view of the project that the data names."""
    from flows.store_steps import choose_moment, locate_store, show_freshness

    with one_message():
        from optimizer.delivery.serving.freshness import measure_freshness

        config = load_config(command_overrides())
        now = choose_moment(config)
        store = locate_store(config)
        show_freshness(store, measure_freshness(store, now), now)


if __name__ == "__main__":
    check_command(sys.argv[1:])
    main()
