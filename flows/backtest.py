"""Replay right-sizing policies over the past: ``python flows/backtest.py data=table data.path=…``.

Every few hours each policy says, from what was known then, what each service should request; what
happened next says what that would have cost and missed.
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


@flow(name="backtest", flow_run_name="backtest", validate_parameters=False)
def backtest_flow(
    overrides: list[str] | None = None, output_dir: str | None = None
) -> dict[str, Any]:
    """Replay policies over the past and compare them at equal risk.

    Parameters
    ----------
    overrides : list of str, optional
        Hydra overrides, for example ``["replay.period=14d", "backtest.resource=memory"]``.
    output_dir : str, optional
        Where ``requests.parquet``, ``frontier.csv``, tables and plots go; a directory under
        ``outputs/`` if absent.

    Returns
    -------
    dict
        What ``backtest.json`` holds.
    """
    from flows.backtest_steps import run_backtest

    quiet_loggers()
    if output_dir is None:
        Path("outputs").mkdir(exist_ok=True)
        output_dir = tempfile.mkdtemp(prefix="backtest-", dir="outputs")
    return run_backtest(load_config(overrides), list(overrides or []), Path(output_dir))


@hydra.main(version_base="1.3", config_path="../conf", config_name="config")
def main(_: DictConfig) -> None:
    """Run the flow with the command line's own overrides."""
    from hydra.core.hydra_config import HydraConfig

    from flows.backtest_steps import choose_policies

    with one_message():
        overrides = command_overrides()
        config = load_config(overrides)
        build_components(config)
        choose_policies(config)
        backtest_flow(overrides, HydraConfig.get().runtime.output_dir)


if __name__ == "__main__":
    check_command(sys.argv[1:])
    main()
    say("")
