"""Train a model on telemetry: ``python flows/train.py model=lstm imbalance=focal``.

Hydra composes the choices, Prefect runs the steps, MLflow keeps what happened.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig
from prefect import flow

import environment  # noqa: F401 - before Prefect is imported
from messages import check_command, command_overrides, one_message, quiet_loggers, say
from optimizer.config import load_config
from optimizer.experiment import build_components


@flow(name="train", flow_run_name="train", validate_parameters=False)
def train_flow(overrides: list[str] | None = None, output_dir: str | None = None) -> dict[str, Any]:
    """Train, evaluate, track and register one model.

    Parameters
    ----------
    overrides : list of str, optional
        Hydra overrides, for example ``["model=lstm", "imbalance=focal"]``.
    output_dir : str, optional
        Where ``metrics.json``, ``predictions.parquet`` and ``plots/`` go; a directory under
        ``outputs/`` if absent.

    Returns
    -------
    dict
        What ``metrics.json`` holds.
    """
    from steps import run_training

    quiet_loggers()
    if output_dir is None:
        Path("outputs").mkdir(exist_ok=True)
        output_dir = tempfile.mkdtemp(prefix="train-", dir="outputs")
    return run_training(load_config(overrides), list(overrides or []), Path(output_dir))


@hydra.main(version_base="1.3", config_path="../conf", config_name="config")
def main(_: DictConfig) -> None:
    """Run the flow with the command line's own overrides."""
    from hydra.core.hydra_config import HydraConfig

    with one_message():
        overrides = command_overrides()
        build_components(load_config(overrides))
        train_flow(overrides, HydraConfig.get().runtime.output_dir)


if __name__ == "__main__":
    check_command(sys.argv[1:])
    main()
    say("")
