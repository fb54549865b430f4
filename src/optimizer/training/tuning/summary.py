"""What a study came to, as plain records and the rows of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from optimizer.training.tuning.study import (
    DUPLICATE,
    ENQUEUED,
    FIT_SECONDS,
    KEYS,
    REASON,
    best_trial,
    counted,
)

Row = tuple[str, ...]
COLUMNS = 7
"""Objectives and parameters up to which each parameter has a column of its own."""


def count_states(study: Any) -> dict[str, int]:
    """Return how many trials are complete, pruned and failed; repetitions are not trials."""
    counts = {"complete": 0, "pruned": 0, "fail": 0}
    for trial in study.get_trials(deepcopy=False):
        state = trial.state.name.lower()
        if state in counts and DUPLICATE not in trial.user_attrs:
            counts[state] += 1
    return {"complete": counts["complete"], "pruned": counts["pruned"], "failed": counts["fail"]}


def frame_trials(study: Any, objectives: Sequence[str]) -> pd.DataFrame:
    """Return one row per trial: number, state, objectives, seconds, values by key, reason."""
    rows = []
    for trial in study.get_trials(deepcopy=False):
        if DUPLICATE in trial.user_attrs or not trial.state.is_finished():
            continue
        values = trial.values if trial.state.name == "COMPLETE" else [None] * len(objectives)
        rows.append(
            {
                "trial": trial.number,
                "state": {"FAIL": "failed"}.get(trial.state.name, trial.state.name.lower()),
                **dict(zip(objectives, values, strict=True)),
                "took_seconds": trial.duration.total_seconds() if trial.duration else None,
                "fit_seconds": trial.user_attrs.get(FIT_SECONDS),
                "enqueued": trial.user_attrs.get(ENQUEUED, ""),
                **trial.user_attrs.get(KEYS, {}),
                "reason": trial.user_attrs.get(REASON, ""),
            }
        )
    return pd.DataFrame(rows)


def trial_rows(
    study: Any, objectives: Sequence[str], directions: Sequence[str], most: int = 10
) -> tuple[Row, list[Row]]:
    """Return head and rows of the best trials, the best first."""
    done = [trial for trial in counted(study) if trial.state.name == "COMPLETE"]
    sign = -1 if directions[0] == "maximize" else 1
    done.sort(key=lambda trial: sign * trial.values[0])
    front = {trial.number for trial in study.best_trials} if len(objectives) > 1 else set()
    shown = done[:most]
    keys = list(dict.fromkeys(key for trial in shown for key in trial.user_attrs.get(KEYS, {})))
    apart = len(keys) + len(objectives) <= COLUMNS
    names = [key.removeprefix("model.") for key in keys] if apart else ["values"]
    rows: list[Row] = []
    for trial in shown:
        values = trial.user_attrs.get(KEYS, {})
        rows.append(
            (
                f"{trial.number}{' *' if trial.number in front else ''}",
                *(f"{value:.4g}" for value in trial.values),
                f"{trial.duration.total_seconds() if trial.duration else float('nan'):.1f}",
                *(
                    [format_value(values.get(key)) for key in keys]
                    if apart
                    else [format_params(values)]
                ),
            )
        )
    return ("trial", *objectives, "took s", *names), rows


def format_params(values: Mapping[str, Any]) -> str:
    """Return values by key in one line, without the group that all share."""
    return " ".join(
        f"{key.removeprefix('model.')}={format_value(value)}" for key, value in values.items()
    )


def format_value(value: Any) -> str:
    """Return a value in short."""
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def defaults_value(study: Any, name: str = "defaults") -> float | None:
    """Return the first objective of an enqueued trial, None if it was not completed."""
    values = [
        trial.values[0]
        for trial in counted(study)
        if trial.user_attrs.get(ENQUEUED) == name and trial.state.name == "COMPLETE"
    ]
    return values[-1] if values else None


def describe_study(study: Any, directions: Sequence[str]) -> dict[str, Any]:
    """Return the plain record of a study so far."""
    best = best_trial(study, directions)
    record: dict[str, Any] = {"study": study.study_name, "trials": count_states(study)}
    if best is not None:
        record["best"] = {
            "trial": best.number,
            "values": list(best.values),
            "params": best.user_attrs.get(KEYS, {}),
        }
    for name in ("defaults", "champion"):
        value = defaults_value(study, name)
        if value is not None:
            record[name] = value
    return record
