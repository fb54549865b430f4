"""How flows speak to a user: one message for an error, one table for a result."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optimizer.core.config import load_config
from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.errors import OptimizerError, first_line
from optimizer.targets.dataset import EventTask, Task
from optimizer.training.experiment import build_components
from optimizer.training.summary import table_rows, tell_difference, tell_warnings

LEFT_TO_HYDRA = ("-m", "--multirun", "--cfg", "-c", "--help", "-h", "--hydra-help", "--info", "-i")
NO_PAGES = "OPTIMIZER_SERVER_WITHOUT_PAGES"
"""Set where the Prefect server at hand has nothing to look at; jobs in other processes read it."""
RUN_SUFFIX = re.compile(r"-(\d+|[0-9a-f]{3})$")
"""What Prefect appends to the name of a task for one of its runs."""
PREFECT_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


def wants_traceback() -> bool:
    """Tell whether the user asked for tracebacks, with Hydra's own switch."""
    return os.environ.get("HYDRA_FULL_ERROR", "0") not in {"", "0"}


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


def check_command(arguments: list[str]) -> None:
    """Check the overrides of a plain run before Hydra does, to answer in our own words."""
    if any(argument.split("=")[0] in LEFT_TO_HYDRA for argument in arguments):
        return
    with one_message():
        overrides = [argument for argument in arguments if not argument.startswith("-")]
        build_components(load_config(overrides))


def is_multirun() -> bool:
    """Tell whether the job that runs is one of a sweep."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


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
        if NO_PAGES in os.environ and text.startswith("View at"):
            return False
        if "Finished in state Failed" in text and not wants_traceback():
            text = "Finished in state Failed()"
        name = getattr(record, "task_run_name", None) or "flow"
        record.msg, record.args = f"{RUN_SUFFIX.sub('', name)}: {text}", ()
        return True


def tell_error(error: BaseException) -> str:
    """Return what an error says in one line, with its kind unless it is one of ours."""
    told = first_line(error)
    return told if isinstance(error, OptimizerError) else f"{type(error).__name__}: {told}"


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
        if not any(isinstance(known, _Voice) for known in logger.filters):
            logger.addFilter(_Voice())


def show_table(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a table as plain text, the first row in bold where the terminal can."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for index, name in enumerate(head):
        text = index == 0 or name == "values"
        table.add_column(name, justify="left" if text else "right", no_wrap=name != "values")
    for index, row in enumerate(rows):
        table.add_row(*map(escape, row), style="bold" if index == 0 else None)
    console = Console(width=None if sys.stdout.isatty() else 132, highlight=False)
    if "values" not in head:  # a figure is never cut: rather a line that the terminal wraps
        wide = Console(width=1000)
        console.width = max(console.width, wide.measure(table).maximum)
    console.print(table)


def say(*lines: Any) -> None:
    """Print lines to standard output, at once."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def show_result(config: ExperimentConfig, task: Task, record: dict[str, Any], output: Path) -> None:
    """Print the model beside the baselines, and where everything is."""
    model = record["model"]
    figures = {model["name"]: model, **record["baselines"]}
    if "against_defaults" in record:
        figures["the defaults"] = record["against_defaults"]["figures"]
    rows = record["rows"]["test"]
    for title, head, body in table_rows(task, figures):
        show_table(title, head, body)
    say(
        f"test fold: {rows['n_rows']:,} rows from {rows['first'][:16]} to {rows['last'][:16]}, "
        f"{record['n_features']} features, label: {record['label']}",
        tell_difference(record["difference"], f"{record['best_baseline']}, the best baseline"),
    )
    if "against_defaults" in record:
        difference = record["against_defaults"]["difference"]
        say(tell_difference(difference, "the defaults, without the search"))
    if isinstance(task, EventTask):
        say(
            f"prevalence {rows['prevalence']:.2%} ({rows['n_positives']:,} positives); "
            f"decision threshold {model['decision_threshold']:.3f}: precision "
            f"{model['precision']:.2f}, recall {model['recall']:.2f}",
            tell_warnings(model),
        )
    entry = record["registry"]
    if entry["version"] is not None:
        say(
            f"registered {entry['name']} version {entry['version']} as challenger; "
            f"{'now champion' if entry['champion'] else 'champion unchanged'}: {entry['reason']}"
        )
    say(f"run {record['run_id']} in {config.tracking.uri}; files in {output}")
    if config.tracking.parent is None:
        say(
            f"next: mlflow ui --backend-store-uri {config.tracking.uri}",
            "      python flows/train.py model=lstm imbalance=focal",
        )
