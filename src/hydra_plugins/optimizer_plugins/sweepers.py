"""What ``-m`` does: a grid with one table at its end, or a study of Optuna's.

Hydra imports this module at every start, so it imports next to nothing.
"""

from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra.utils import get_method
from omegaconf import DictConfig

OURS = "train"
"""The command whose jobs can be compared."""


class _Sweeper(Sweeper):
    """Keeps what Hydra hands over, and the launcher of its choice."""

    def __init__(self, run: str) -> None:
        self.run = run

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take the launcher that the configuration names."""
        self.hydra_context: HydraContext = hydra_context
        self.task_function, self.config = task_function, config
        self.command: str = config.hydra.job.name
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )


class GridSweeper(_Sweeper):
    """Runs every combination of the values given and compares them."""

    def sweep(self, arguments: list[str]) -> Any:
        """Run the combinations of the command line's overrides."""
        from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

        from optimizer.core.errors import ConfigError

        if self.command != OURS:  # jobs that are no trainings have no figure to rank
            plain = BasicSweeper(max_batch_size=None)
            plain.setup(
                hydra_context=self.hydra_context,
                task_function=self.task_function,
                config=self.config,  # type: ignore[arg-type]
            )
            return plain.sweep(arguments)
        try:
            overrides = OverridesParser.create().parse_overrides(arguments)
            batches = BasicSweeper.split_arguments(overrides, max_batch_size=None)
        except HydraException as error:
            raise ConfigError(
                "the command line",
                seen=str(error).splitlines()[0],
                allowed="lists of values such as model=lightgbm,xgboost in a grid",
                fix="give values, or search with hydra/sweeper=optuna search=lightgbm",
            ) from error
        return get_method(self.run)([list(job) for job in batches[0]], self.launcher, self.config)


class OptunaSweeper(_Sweeper):
    """Runs trials until the study of the configuration is complete."""

    def sweep(self, arguments: list[str]) -> Any:
        """Run the study; sweeps of the command line are part of its space."""
        from optimizer.core.errors import ConfigError

        if self.command != OURS:
            raise ConfigError(
                "hydra/sweeper=optuna",
                seen=f"flows/{self.command}.py",
                allowed="flows/train.py, whose trainings have a figure to search by",
                fix="leave hydra/sweeper out",
            )
        return get_method(self.run)(list(arguments), self.launcher, self.config)
