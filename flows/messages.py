"""How flows speak to a user: one message for an error, one table for a result."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from optimizer.config import load_config
from optimizer.errors import OptimizerError
from optimizer.experiment import build_components

LEFT_TO_HYDRA = ("-m", "--multirun", "--cfg", "-c", "--help", "-h", "--hydra-help", "--info", "-i")
PREFECT_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


def wants_traceback() -> bool:
    """Tell whether the user asked for tracebacks, with Hydra's own switch."""
    return os.environ.get("HYDRA_FULL_ERROR", "0") not in {"", "0"}


@contextmanager
def one_message() -> Iterator[None]:
    """Turn a user's error into one message and exit status 1."""
    try:
        yield
    except OptimizerError as error:
        if wants_traceback():
            raise
        sys.stderr.write(f"\nerror: {error}\n")
        sys.stderr.write("(HYDRA_FULL_ERROR=1 shows the traceback)\n")
        raise SystemExit(1) from None


def check_command(arguments: list[str]) -> None:
    """Check the overrides of a plain run before Hydra does, to answer in our own words."""
    if any(argument.split("=")[0] in LEFT_TO_HYDRA for argument in arguments):
        return
    with one_message():
        overrides = [argument for argument in arguments if not argument.startswith("-")]
        build_components(load_config(overrides))


def command_overrides() -> list[str]:
    """Return the overrides of the command line that Hydra is running."""
    from hydra.core.hydra_config import HydraConfig

    return list(HydraConfig.get().overrides.task)


class _Voice(logging.Filter):
    """Puts the task's name before its states, and leaves a user's error to be told once."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, OptimizerError) and not wants_traceback():
            return False
        text = record.getMessage()
        if "Finished in state Failed" in text and not wants_traceback():
            text = "Finished in state Failed()"
        name = getattr(record, "task_run_name", None) or "flow"
        record.msg, record.args = f"{name.rsplit('-', 1)[0]}: {text}", ()
        return True


def quiet_loggers() -> None:
    """Keep libraries below warnings, and Prefect from logging a user's error with traceback."""
    for name in ("httpx", "matplotlib", "alembic", "mlflow", "pytorch_lightning", "fontTools"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in PREFECT_LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(known, _Voice) for known in logger.filters):
            logger.addFilter(_Voice())


def show_table(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a table as plain text, the first row in bold where the terminal can."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for index, name in enumerate(head):
        table.add_column(name, justify="left" if index == 0 else "right", no_wrap=True)
    for index, row in enumerate(rows):
        table.add_row(*row, style="bold" if index == 0 else None)
    width = None if sys.stdout.isatty() else 132
    Console(width=width, highlight=False).print(table)


def say(*lines: Any) -> None:
    """Print lines to standard output, at once."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
