"""What a training comes to: the plain record behind ``metrics.json`` and the printed table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from optimizer.core.durations import format_duration
from optimizer.models.imbalance.base import count_classes
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import EventTask, Task
from optimizer.training.fit import FoldDataset

Figures = Mapping[str, float]
Row = tuple[str, ...]

EVENT_COLUMNS: dict[str, tuple[str, str]] = {
    "avg. precision": ("average_precision", ".3f"),
    "x prevalence": ("average_precision_lift", ".1f"),
    "ROC-AUC": ("roc_auc", ".3f"),
    "Brier skill": ("brier_skill", "+.3f"),
    "vs own rate": ("brier_skill_service_rate", "+.3f"),
    "ECE": ("ece", ".4f"),
    "per-service lift": ("per_service_lift_median", ".1f"),
    "events warned": ("event_recall_lead", ".0%"),
}
"""Column heads of the table of events, with the figure and its format."""

FORECAST_COLUMNS: dict[str, tuple[str, str]] = {
    "MAE": ("mae", ".4f"),
    "RMSE": ("rmse", ".4f"),
    "MASE": ("mase", ".3f"),
    "pinball": ("pinball", ".5f"),
    "/ persistence": ("pinball_vs_persistence", ".2f"),
    "/ seasonal": ("pinball_vs_seasonal_naive", ".2f"),
    "WQL": ("wql", ".3f"),
    "80 % covers": ("picp_80", ".1%"),
}
"""Column heads of the table of forecasts at one horizon."""


DECIDING = ("average_precision_gain", "pinball_change")
"""Differences of the figure that decides between two models."""


def mean_figures(folds: Sequence[Figures]) -> dict[str, float]:
    """Return the mean of each figure over the folds; of one fold the figures themselves."""
    if len(folds) == 1:
        return dict(folds[0])
    return {
        key: float(np.mean([fold[key] for fold in folds]))
        for key in folds[-1]
        if all(key in fold for fold in folds)
    }


def describe_fold(fold: FoldDataset) -> dict[str, Any]:
    """Return row counts, prevalence and time range of each part."""
    parts = {"train": fold.train, "valid": fold.valid, "test": fold.test}
    return {name: _describe(part) for name, part in parts.items()}


def _describe(part: Dataset) -> dict[str, Any]:
    record: dict[str, Any] = {
        "n_rows": len(part),
        "first": str(part.timestamps.min()),
        "last": str(part.timestamps.max()),
    }
    if part.y.ndim == 1:
        positives = count_classes(part.y)[1]
        record |= {"n_positives": positives, "prevalence": positives / len(part)}
    return record


def table_rows(task: Task, figures: Mapping[str, Figures]) -> list[tuple[str, Row, list[Row]]]:
    """Return the tables to print: a title, the head and one row per model.

    ``task``: decides the columns; a forecast has a table per horizon. ``figures``: figures by model
    name, in the order of the rows.
    """
    if isinstance(task, EventTask):
        return [(_event_title(task), *_cells(EVENT_COLUMNS, figures, ""))]
    return [
        (
            f"{task.metric} {format_duration(horizon)} ahead",
            *_cells(FORECAST_COLUMNS, figures, f"_{format_duration(horizon)}"),
        )
        for horizon in task.horizons
    ]


def _event_title(task: EventTask) -> str:
    return f"scaling needed within {format_duration(task.horizon)}"


def _cells(
    columns: Mapping[str, tuple[str, str]], figures: Mapping[str, Figures], suffix: str
) -> tuple[Row, list[Row]]:
    shown = {
        head: (key + suffix, form)
        for head, (key, form) in columns.items()
        if any(key + suffix in own for own in figures.values())
    }
    rows = [
        (name, *(_format(own.get(key), form) for key, form in shown.values()))
        for name, own in figures.items()
    ]
    return ("model", *shown), rows


def _format(value: float | None, form: str) -> str:
    return "-" if value is None or np.isnan(value) else format(value, form)


def format_difference(difference: Figures, other: str) -> str:
    """Return one line: how far the model is from another one, with the interval.

    Only differences of the deciding figure are told, per horizon.
    """
    told = [
        f"{key.replace('_', ' ')} {value:+.4f} "
        f"[{difference.get(f'{key}_lower', np.nan):+.4f}, "
        f"{difference.get(f'{key}_upper', np.nan):+.4f}]"
        for key, value in difference.items()
        if key.startswith(DECIDING) and not key.endswith(("_lower", "_upper"))
    ]
    return f"against {other}: {', '.join(told)}"


def format_warnings(figures: Figures) -> str:
    """Return the curve of events warned in time against false alarms, as one line."""
    key = "event_recall_lead_at_"
    points = [
        (float(name.removeprefix(key)), value)
        for name, value in figures.items()
        if name.startswith(key) and name.removeprefix(key).replace(".", "").isdigit()
    ]
    told = ", ".join(f"{value:.0%} at {rate:g}" for rate, value in sorted(points))
    return f"events warned of in time, by false alarms per service-week: {told}"


def flatten_figures(record: dict[str, Any]) -> dict[str, float]:
    """Return the model's figures by name and each baseline's as ``<baseline>.<figure>``."""
    own = {k: v for k, v in record["model"].items() if not isinstance(v, str)}
    others = {
        f"{name}.{key}": value
        for name, figures in record["baselines"].items()
        for key, value in figures.items()
    }
    figures: dict[str, float] = own | others | record["difference"]
    return figures
