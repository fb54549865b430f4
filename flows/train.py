"""Train a model on telemetry: ``python flows/train.py model=lstm imbalance=focal``.

Hydra composes the choices, Prefect runs the steps, MLflow keeps what happened. With ``-m`` it
trains a grid of choices, or searches with ``hydra/sweeper=optuna search=lightgbm``. The surface of
right-sizing policies is a target too: ``target=exceedance`` or ``target=exceedance_memory``.
"""

from __future__ import annotations

from flows import environment  # noqa: F401 - what Prefect reads when it is imported

# isort: split

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig
from prefect import flow

from flows.messages import (
    check_command,
    command_overrides,
    is_multirun,
    one_message,
    quiet_loggers,
    say,
)
from optimizer.core.config import build, load_config
from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.errors import ConfigError
from optimizer.training.experiment import build_components


@flow(name="train", flow_run_name="train", validate_parameters=False)
def train_flow(
    overrides: list[str] | None = None,
    output_dir: str | None = None,
    rival: list[str] | None = None,
) -> dict[str, Any]:
    """Train, evaluate, track and register one model.

    Parameters
    ----------
    overrides : list of str, optional
        Hydra overrides, for example ``["model=lstm", "imbalance=focal"]``.
    output_dir : str, optional
        Where ``metrics.json``, ``predictions.parquet`` and ``plots/`` go; a directory under
        ``outputs/`` if absent.
    rival : list of str, optional
        Overrides of another model to compare with on the same test rows.

    Returns
    -------
    dict
        What ``metrics.json`` holds.
    """
    quiet_loggers()
    if output_dir is None:
        Path("outputs").mkdir(exist_ok=True)
        output_dir = tempfile.mkdtemp(prefix="train-", dir="outputs")
    other = None if rival is None else load_config(rival)
    config = load_config(overrides)
    train = choose_training(build(config.target, "target").kind)
    return train(config, list(overrides or []), Path(output_dir), other)


def choose_training(kind: str) -> Callable[..., dict[str, Any]]:
    """Return what trains a target of a kind."""
    from flows.steps import run_training

    trainings: dict[str, Callable[..., dict[str, Any]]] = {
        "event": run_training,
        "forecast": run_training,
        "exceedance": train_surface,
    }
    return trainings[kind]


def train_surface(
    config: ExperimentConfig, overrides: list[str], output: Path, rival: ExperimentConfig | None
) -> dict[str, Any]:
    """Train the exceedance surface, once it is sure that no setting would be left aside.

    Raises
    ------
    ConfigError
        A setting of ``model``, or a rival, which only a search has.
    """
    from flows.surface_steps import run_surface_training

    unused = [one.split("=")[0] for one in overrides if one.lstrip("+~").startswith("model.")]
    if unused or rival is not None:
        raise ConfigError(
            unused[0] if unused else "rival",
            seen="a setting that the surface does not have",
            allowed="target.surface.*: the settings of LightGBM for target=exceedance",
            fix="set target.surface.rounds, target.surface.num_leaves and the like instead",
        )
    return run_surface_training(config, overrides, output)


@hydra.main(version_base="1.3", config_path="../conf", config_name="config")
def main(_: DictConfig) -> Any:
    """Run the flow with the command line's own overrides."""
    from hydra.core.hydra_config import HydraConfig

    from flows.sweep_jobs import refuse_search, run_job

    overrides, output = command_overrides(), HydraConfig.get().runtime.output_dir
    if is_multirun():  # the sweep tells of errors, and goes on with the other jobs
        return run_job(overrides, output)
    with one_message():
        config = load_config(overrides)
        build_components(config)
        refuse_search(config)
        return train_flow(overrides, output)


if __name__ == "__main__":
    check_command(sys.argv[1:])
    main()
    say("")
