"""A launcher that runs the jobs of a sweep on the engine of ``runner=…``.

Hydra imports this module at every start, so it imports next to nothing.
"""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class FanOutLauncher(Launcher):
    """Hands each job to Prefect as a task; which workers run it is the engine's affair."""

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
        from flows.sweep_jobs import launch_jobs

        outcomes = launch_jobs(self.engine, job_overrides, initial_job_idx, self.config)
        found = []
        for overrides, outcome in zip(job_overrides, outcomes, strict=True):
            failed = isinstance(outcome, BaseException)
            done = JobReturn(overrides=overrides)
            done.status = JobStatus.FAILED if failed else JobStatus.COMPLETED
            done.return_value = outcome
            found.append(done)
        return found
