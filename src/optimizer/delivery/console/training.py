"""What a training prints: the model beside the baselines, and where everything is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from optimizer.core.config_schema import ExperimentConfig
from optimizer.delivery.console.output import echo, show_table
from optimizer.targets.task import EventTask, Task
from optimizer.training.runs.rows import RowTraining
from optimizer.training.runs.surfaces import SurfaceTraining
from optimizer.training.summary import format_difference, format_warnings, table_rows

SHOWN = {
    "log loss": ("log_loss", ".4f"),
    "skill": ("log_loss_skill", "+.1%"),
    "Brier": ("brier", ".5f"),
    "Brier skill": ("brier_skill", "+.1%"),
}
"""Column heads of the table, with the figure and its format; skills against the best baseline."""


def show_training(
    training: RowTraining | SurfaceTraining, record: dict[str, Any], output: Path
) -> None:
    """Print what came of a training, and where everything is."""
    if isinstance(training, SurfaceTraining):
        show_surface(training.config, record, output)
    else:
        show_rows(training.config, training.experiment.fit_config.task, record, output)


def show_rows(config: ExperimentConfig, task: Task, record: dict[str, Any], output: Path) -> None:
    """Print the model beside the baselines, and where everything is."""
    model = record["model"]
    figures = {model["name"]: model, **record["baselines"]}
    if "against_defaults" in record:
        figures["the defaults"] = record["against_defaults"]["figures"]
    for note in record["notes"]:
        echo(note)
    rows = record["rows"]["test"]
    for title, head, body in table_rows(task, figures):
        show_table(title, head, body)
    echo(
        f"test fold: {rows['n_rows']:,} rows from {rows['first'][:16]} to {rows['last'][:16]}, "
        f"{record['n_features']} features, label: {record['label']}",
        format_difference(record["difference"], f"{record['best_baseline']}, the best baseline"),
    )
    if "against_defaults" in record:
        difference = record["against_defaults"]["difference"]
        echo(format_difference(difference, "the defaults, without the search"))
    if isinstance(task, EventTask):
        echo(
            f"prevalence {rows['prevalence']:.2%} ({rows['n_positives']:,} positives); "
            f"decision threshold {model['decision_threshold']:.3f}: precision "
            f"{model['precision']:.2f}, recall {model['recall']:.2f}",
            format_warnings(model),
        )
    _tell_place(config, record, output)
    if config.tracking.parent is None:
        echo(
            f"next: mlflow ui --backend-store-uri {config.tracking.uri}",
            "      python flows/train.py model=lstm imbalance=focal",
        )


def show_surface(config: ExperimentConfig, record: dict[str, Any], output: Path) -> None:
    """Print the surface beside the baselines, what its promises were worth, where everything is."""
    own = record["model"]
    figures = {own["name"]: own, **record["baselines"]}
    if record["recalibrated"]:
        figures["before recalibration"] = {key: own[f"{key}_raw"] for key, _ in SHOWN.values()}
    body = [
        (name, *(format(one[key], form) for key, form in SHOWN.values()))
        for name, one in figures.items()
    ]
    show_table(record["label"], ("model", *SHOWN), body)
    kept = record["promises"]
    promises = [
        (f"{one['promised']:.1%}", f"{one['realised']:.2%}", f"{other['realised']:.2%}")
        for one, other in zip(kept["recalibrated"], kept["raw"], strict=True)
    ]
    show_table(record["promised"], ("promised", "realised", "raw"), promises)
    rows, change = record["rows"]["test"], record["difference"]
    low, high = change["log_loss_change_lower"], change["log_loss_change_upper"]
    echo(
        f"test fold: {rows['n_rows']:,} levels of {rows['n_intervals']} intervals from "
        f"{rows['first'][:16]} to {rows['last'][:16]}, fitted until {record['fitted_until'][:16]}",
        f"against {record['best_baseline']}, the best baseline: log loss change "
        f"{change['log_loss_change']:+.4f} [{low:+.4f}, {high:+.4f}]",
    )
    _tell_place(config, record, output)


def _tell_place(config: ExperimentConfig, record: dict[str, Any], output: Path) -> None:
    entry = record["registry"]
    if entry["version"] is not None:
        echo(
            f"registered {entry['name']} version {entry['version']} as challenger; "
            f"{'now champion' if entry['champion'] else 'champion unchanged'}: {entry['reason']}"
        )
    echo(f"run {record['run_id']} in {config.tracking.uri}; files in {output}")
