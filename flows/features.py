"""Fill the feature store: ``python flows/features.py``, or a range with ``backfill.start=…``.

Telemetry, quality, features, offline store, definitions, online store: each a Prefect task.
"""

from __future__ import annotations

from flows import environment  # noqa: F401 - what Prefect reads when it is imported

# isort: split

import sys
from typing import Any

import hydra
from omegaconf import DictConfig
from prefect import flow

from flows.messages import check_command, command_overrides, one_message, quiet_loggers, say
from optimizer.core.config import load_config


@flow(name="features", flow_run_name="features", validate_parameters=False)
def features_flow(overrides: list[str] | None = None) -> dict[str, Any]:
    """Store the features of the telemetry, put the newest online and measure their age.

    Parameters
    ----------
    overrides : list of str, optional
        Hydra overrides, for example ``["data=table", "data.path=fleet.parquet"]``.

    Returns
    -------
    dict
        The project, its version, the range that it covers and the freshness figures.
    """
    from flows.store_steps import run_features

    quiet_loggers()
    return run_features(load_config(overrides), list(overrides or []))


@hydra.main(version_base="1.3", config_path="../conf", config_name="config")
def main(_: DictConfig) -> None:
    """Run the flow with the command line's own overrides."""
    with one_message():
        features_flow(command_overrides())


if __name__ == "__main__":
    check_command(sys.argv[1:])
    main()
    say("")
