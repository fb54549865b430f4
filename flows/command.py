"""How flows meet the command line: Hydra composes once, an error is one message, logs are calm."""

from __future__ import annotations

from flows import environment  # noqa: F401 - what Prefect reads when it is imported

# isort: split

import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from omegaconf import DictConfig

from flows.environment import NO_PAGES
from flows.server import shared_server
from optimizer.core.config import CONF_DIR, check_composed, check_conf, explained, load_config
from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.errors import OptimizerError
from optimizer.core.renamed import refuse_renamed
from optimizer.delivery.console.output import echo

P = TypeVar("P")
TRACEBACK = "OPTIMIZER_TRACEBACK"
"""Set by a command to what the user asked for with Hydra's own switch; jobs read it."""
RUN_SUFFIX = re.compile(r"-(\d+|[0-9a-f]{3})$")
"""What Prefect appends to the name of a task for one of its runs."""
PREFECT_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


def command(job: Callable[[DictConfig], Any]) -> Callable[[], None]:
    """Return the entry point of a command: Hydra around a job, every error one message."""

    def main() -> None:
        import hydra

        os.environ.setdefault(TRACEBACK, os.environ.get("HYDRA_FULL_ERROR", "0"))
        os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach us, to be told in our own words
        given = [one for one in sys.argv[1:] if not one.startswith("-")]
        with one_message():
            check_conf()
            refuse_renamed(given)
            with explained(given):
                hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="config")(
                    job
                )()
        echo("")

    return main


def flow_command(
    name: str, build_parts: Callable[[ExperimentConfig], P], flow: Callable[..., Any]
) -> Callable[[], None]:
    """Return the entry point of a command that runs one flow on what Hydra has composed.

    ``build_parts``: builds and checks the components, before a server is started. ``flow``: takes
    ``overrides``, ``output_dir`` and ``prepared``.
    """

    def job(composed: DictConfig) -> Any:
        config = running_config(composed)
        prepared = Prepared(config, build_parts(config))
        with shared_server():
            return flow(config.overrides, str(output_directory()), prepared)

    job.__module__ = f"flows.{name}"  # by which Hydra names the command
    return command(job)


def running_config(composed: DictConfig) -> ExperimentConfig:
    """Return the configuration of the job that Hydra runs, from what it has composed."""
    from hydra.core.hydra_config import HydraConfig

    settings = HydraConfig.get()
    return check_composed(composed, settings.runtime.choices, list(settings.overrides.task))


def output_directory() -> Path:
    """Return the directory that Hydra has made for the job that it runs."""
    from hydra.core.hydra_config import HydraConfig

    return Path(HydraConfig.get().runtime.output_dir)


class Prepared(Generic[P]):
    """A configuration with its components, built once: by the command, or else by the flow."""

    def __init__(self, config: ExperimentConfig, parts: P) -> None:
        self.config, self.parts = config, parts


def start_flow(
    prepared: Prepared[P] | None,
    build_parts: Callable[[ExperimentConfig], P],
    overrides: list[str] | None,
    output_dir: str | None,
    name: str,
) -> tuple[Prepared[P], Path]:
    """Return what a flow works with and the directory of its files.

    ``prepared``: from the command that started the flow. ``build_parts``: builds the components
    where there is no command. ``overrides``: what to compose then. ``output_dir``: where files go;
    a directory under ``outputs/`` if absent.
    """
    quiet_loggers()
    if prepared is None:
        config = load_config(overrides)
        prepared = Prepared(config, build_parts(config))
    if output_dir is None:
        Path("outputs").mkdir(exist_ok=True)
        output_dir = tempfile.mkdtemp(prefix=f"{name}-", dir="outputs")
    return prepared, Path(output_dir)


def wants_traceback() -> bool:
    """Tell whether the user asked for tracebacks, with Hydra's own switch."""
    asked = os.environ.get(TRACEBACK, os.environ.get("HYDRA_FULL_ERROR", "0"))
    return asked not in {"", "0"}


@contextmanager
def one_message() -> Iterator[None]:
    """Turn a user's error into one message and exit status 1."""
    try:
        yield
    except KeyboardInterrupt:
        if wants_traceback():
            raise
        sys.stderr.write("\ninterrupted; what was finished is kept\n")
        raise SystemExit(130) from None
    except OptimizerError as error:
        if wants_traceback():
            raise
        sys.stderr.write(f"\nerror: {error}\n")
        sys.stderr.write("(HYDRA_FULL_ERROR=1 shows the traceback)\n")
        raise SystemExit(1) from None


def is_multirun() -> bool:
    """Tell whether the job that runs is one of a sweep."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


class TaskLogFilter(logging.Filter):
    """Puts the task's name before its states, and leaves a user's error to be told once."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record; False leaves it out."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, OptimizerError) and not wants_traceback():
            return False
        text = record.getMessage()
        if NO_PAGES in os.environ and text.startswith("View at"):
            return False
        if "Finished in state Failed" in text and not wants_traceback():
            text = "Finished in state Failed()"
        name = getattr(record, "task_run_name", None) or "flow"
        record.msg, record.args = f"{RUN_SUFFIX.sub('', name)}: {text}", ()
        return True


@contextmanager
def quiet_jobs() -> Iterator[None]:
    """Keep Hydra and Prefect from announcing jobs that are told of in another way."""
    names = ("hydra", "hydra_plugins", "prefect.flow_runs")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def quiet_loggers() -> None:
    """Keep libraries below warnings, and Prefect from logging a user's error with traceback."""
    for name in ("httpx", "matplotlib", "alembic", "mlflow", "pytorch_lightning", "fontTools"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in PREFECT_LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(known, TaskLogFilter) for known in logger.filters):
            logger.addFilter(TaskLogFilter())
