"""The engine that work fans out on: this process, its threads, or the workers of Dask."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from prefect import Task
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from prefect.utilities.annotations import quote

from optimizer.core.config_schema import Runner
from optimizer.core.errors import ConfigError, first_line
from optimizer.models.base import available_cores

KINDS = ("local", "threads", "dask")
CONNECT_SECONDS = 10


@dataclass(frozen=True)
class Engine:
    """Where tasks run.

    ``runner``: Prefect's; None runs each call where it stands. ``scheduler``: address of the Dask
    scheduler. ``client``: client of the same scheduler.
    """

    runner: TaskRunner[Any] | None = None
    workers: int = 1
    scheduler: str | None = None
    client: Any = None

    def run(self, task: Task[Any, Any], calls: Iterable[dict[str, Any]]) -> list[Any]:
        """Return what the task returns for each call, in order; the first error is raised."""
        if self.runner is None:
            return [task(**call) for call in calls]
        found = self.gather(task, calls)
        for one in found:
            if isinstance(one, BaseException):
                raise one
        return found

    def gather(self, task: Task[Any, Any], calls: Iterable[dict[str, Any]]) -> list[Any]:
        """Return what the task returned for each call, or the exception that ended it."""
        assert self.runner is not None  # noqa: S101 - a launcher that fans out has an engine
        futures = [self.runner.submit(task, parameters=unquoted(call)) for call in calls]
        return [_outcome(future) for future in futures]

    @property
    def map_fn(self) -> Callable[..., Iterable[Any]]:
        """What maps a function over rows of arguments, as the built-in ``map`` does."""
        if self.runner is None:
            return map
        return self._spread_threads if self.client is None else self._spread_workers

    def _spread_threads(
        self, function: Callable[..., Any], *columns: Iterable[Any]
    ) -> Iterable[Any]:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(function, *columns))

    def _spread_workers(
        self, function: Callable[..., Any], *columns: Iterable[Any]
    ) -> Iterable[Any]:
        return list(self.client.gather(self.client.map(function, *columns, pure=False)))


def unquoted(call: dict[str, Any]) -> dict[str, Any]:
    """Return a call with its values as they are: workers of Dask would be given the quotes."""
    return {key: one.unquote() if isinstance(one, quote) else one for key, one in call.items()}


def _outcome(future: Any) -> Any:
    """Return the result of a future or the exception that ended it, whatever it was."""
    try:
        future.wait()
        return future.result(raise_on_failure=False)
    except Exception as error:  # noqa: BLE001 - a worker may die of anything
        return error


@contextmanager
def open_engine(settings: Runner) -> Iterator[Engine]:
    """Yield the engine of the configuration.

    Raises ConfigError: an unknown kind, or a scheduler that does not answer.
    """
    if settings.kind not in KINDS:
        raise ConfigError(
            "runner.kind", seen=repr(settings.kind), allowed=", ".join(KINDS), fix="add runner=dask"
        )
    workers = settings.workers or available_cores()
    with ExitStack() as stack:
        if settings.kind == "local":
            yield Engine()
        elif settings.kind == "threads":
            threads: TaskRunner[Any] = stack.enter_context(
                ThreadPoolTaskRunner(max_workers=workers)
            )
            yield Engine(threads, workers)
        else:
            address = settings.address or stack.enter_context(_local_cluster(workers))
            client = stack.enter_context(_connect(address))
            from prefect_dask import DaskTaskRunner

            logging.getLogger("prefect.task_runner.dask").setLevel(logging.WARNING)
            runner: TaskRunner[Any] = stack.enter_context(DaskTaskRunner(address=address))
            yield Engine(runner, len(client.nthreads()), address, client)


@contextmanager
def _local_cluster(workers: int) -> Iterator[str]:
    """Yield the address of a cluster of processes on this machine."""
    from distributed import LocalCluster

    with LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=workers,
        threads_per_worker=1,
        dashboard_address=":0",  # any free port: clusters may stand side by side
        silence_logs=logging.CRITICAL,
    ) as cluster:
        yield cluster.scheduler_address


def _connect(address: str) -> Any:
    """Return a client of a scheduler. Raises ConfigError: it does not answer, or has no worker."""
    from distributed import Client

    try:
        client = Client(  # type: ignore[no-untyped-call]
            address, timeout=CONNECT_SECONDS, set_as_default=False
        )
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, TimeoutError) as error:
        raise ConfigError(
            "runner.address",
            seen=f"{address!r} ({first_line(error)})",
            allowed="the address of a Dask scheduler with workers, such as tcp://127.0.0.1:8786",
            fix="start it with `dask scheduler` and `dask worker`, or leave runner.address out",
        ) from error
    return client
