"""A launcher that runs the jobs of a sweep on the engine of ``runner=…``.

Hydra imports this module at every start, so it imports next to nothing.
"""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from hydra.utils import get_method
from omegaconf import DictConfig


class FanOutLauncher(Launcher):
    """Hands all jobs to a function; which workers run them is the affair of the engine.

    Parameters
    ----------
    run : str
        Dotted name of the function: it is given the engine, the jobs, the number of the first and
        Hydra's configuration, and returns what each job returned or raised.
    """

    def __init__(self, run: str) -> None:
        self.run = run

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep the configuration of the sweep."""
        del hydra_context, task_function  # jobs compose their own configuration
        self.config = config
        self.engine: Any = None

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs and return what each returned or raised, in order."""
        outcomes = get_method(self.run)(self.engine, job_overrides, initial_job_idx, self.config)
        found = []
        for overrides, outcome in zip(job_overrides, outcomes, strict=True):
            failed = isinstance(outcome, BaseException)
            done = JobReturn(overrides=overrides)
            done.status = JobStatus.FAILED if failed else JobStatus.COMPLETED
            done.return_value = outcome
            found.append(done)
        return found
