"""Recommend requests for every service: ``python flows/recommend.py prices=aws``.

The newest telemetry and the champions of the registry say what each service should request until
the next cutoff, what that saves and at what risk. Nothing is applied.
"""

from __future__ import annotations

from flows import environment  # noqa: F401 - what Prefect reads when it is imported

# isort: split

import sys
import tempfile
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig
from prefect import flow

from flows.messages import check_command, command_overrides, one_message, quiet_loggers, say
from optimizer.core.config import load_config
from optimizer.training.experiment import build_components


@flow(name="recommend", flow_run_name="recommend", validate_parameters=False)
def recommend_flow(
    overrides: list[str] | None = None, output_dir: str | None = None
) -> dict[str, Any]:
    """Recommend requests, price them, and write tables, a report and patches.

    Parameters
    ----------
    overrides : list of str, optional
        Hydra overrides, for example ``["prices=aws", "policy.lambda_=10"]``.
    output_dir : str, optional
        Where ``recommendations.csv``, ``.json`` and ``.parquet``, ``report.html`` and
        ``patches/`` go; a directory under ``outputs/`` if absent.

    Returns
    -------
    dict
        What ``recommend.json`` holds.
    """
    from flows.recommend_steps import run_recommend

    quiet_loggers()
    if output_dir is None:
        Path("outputs").mkdir(exist_ok=True)
        output_dir = tempfile.mkdtemp(prefix="recommend-", dir="outputs")
    return run_recommend(load_config(overrides), list(overrides or []), Path(output_dir))


@hydra.main(version_base="1.3", config_path="../conf", config_name="config")
def main(_: DictConfig) -> None:
    """Run the flow with the command line's own overrides."""
    from hydra.core.hydra_config import HydraConfig

    with one_message():
        overrides = command_overrides()
        build_components(load_config(overrides))
        recommend_flow(overrides, HydraConfig.get().runtime.output_dir)


if __name__ == "__main__":
    check_command(sys.argv[1:])
    main()
    say("")
