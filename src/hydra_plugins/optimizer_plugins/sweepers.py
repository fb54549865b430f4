"""What ``-m`` does: a grid with one table at its end, or a study of Optuna's.

Hydra imports this module at every start, so it imports next to nothing.
"""

from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class _Sweeper(Sweeper):
    """Keeps what Hydra hands over, and the launcher of its choice."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take the launcher that the configuration names."""
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )


class GridSweeper(_Sweeper):
    """Runs every combination of the values given and compares them."""

    def sweep(self, arguments: list[str]) -> Any:
        """Run the combinations of the command line's overrides."""
        from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

        from grids import run_grid
        from messages import one_message

        overrides = OverridesParser.create().parse_overrides(arguments)
        batches = BasicSweeper.split_arguments(overrides, max_batch_size=None)
        with one_message():
            return run_grid([list(job) for job in batches[0]], self.launcher, self.config)


class OptunaSweeper(_Sweeper):
    """Runs trials until the study of the configuration is complete."""

    def sweep(self, arguments: list[str]) -> Any:
        """Run the study; sweeps of the command line are part of its space."""
        from messages import one_message
        from studies import run_study

        with one_message():
            return run_study(list(arguments), self.launcher, self.config)
