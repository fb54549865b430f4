"""Apply recommendations round after round: ``python flows/feedback.py data=table data.path=…``.

Each round's requests are the limits of the next, with an autoscaler in the loop; what was observed
under them is what later requests are made from. Do requests settle, or spiral down?
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


@flow(name="feedback", flow_run_name="feedback", validate_parameters=False)
def feedback_flow(
    overrides: list[str] | None = None, output_dir: str | None = None
) -> dict[str, Any]:
    """Simulate what happens when policies' requests are applied round after round.

    Parameters
    ----------
    overrides : list of str, optional
        Hydra overrides, for example ``["feedback.rounds=20", "backtest.resource=memory"]``.
    output_dir : str, optional
        Where ``feedback.csv``, ``feedback.json`` and ``plots/feedback.png`` go; a directory under
        ``outputs/`` if absent.

    Returns
    -------
    dict
        What ``feedback.json`` holds.
    """
    from flows.simulate_steps import run_feedback

    quiet_loggers()
    if output_dir is None:
        Path("outputs").mkdir(exist_ok=True)
        output_dir = tempfile.mkdtemp(prefix="feedback-", dir="outputs")
    return run_feedback(load_config(overrides), list(overrides or []), Path(output_dir))


@hydra.main(version_base="1.3", config_path="../conf", config_name="config")
def main(_: DictConfig) -> None:
    """Run the flow with the command line's own overrides."""
    from hydra.core.hydra_config import HydraConfig

    from flows.simulate_steps import choose_feedback

    with one_message():
        overrides = command_overrides()
        config = load_config(overrides)
        build_components(config)
        choose_feedback(config)
        feedback_flow(overrides, HydraConfig.get().runtime.output_dir)


if __name__ == "__main__":
    check_command(sys.argv[1:])
    main()
    say("")
