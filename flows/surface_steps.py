"""The steps of training the exceedance surface: data, quality, fit, evaluate, track, register."""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.utilities.annotations import quote

from flows import tasks
from flows.messages import say, show_table
from flows.registration import enter_model
from flows.store_steps import load_validated
from optimizer.core.artifacts import code_digest, write_json
from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.panel import Panel
from optimizer.core.plotting import save_figure
from optimizer.demand.from_panel import usage_of
from optimizer.demand.usage import Usage
from optimizer.evaluation.coverage import SHARES
from optimizer.evaluation.exceedance import (
    DRAWN,
    Scored,
    frame_scored,
    measure,
    realise,
    score_answer,
)
from optimizer.evaluation.plots.coverage import plot_promises
from optimizer.features.storage import load_panel
from optimizer.models.exceedance.fitted import (
    Answer,
    Cases,
    TrainedSurface,
    collect_lessons,
    fit_surface,
)
from optimizer.models.exceedance.target import Exceedance, check_length
from optimizer.targets.splits import Fold
from optimizer.training.experiment import Components, build_components
from optimizer.training.predictor import concat_frames
from optimizer.training.promotion import (
    SURFACE_METRIC,
    surface_beats_baseline,
    surface_beats_champion,
)
from optimizer.training.summary import mean_figures
from optimizer.training.tracking.mlflow_run import TrackedRun, track_run
from optimizer.training.tracking.registry import find_champion, load_trained

OWN, RAW = "model", "raw"
SHOWN = {
    "log loss": ("log_loss", ".4f"),
    "skill": ("log_loss_skill", "+.1%"),
    "Brier": ("brier", ".5f"),
    "Brier skill": ("brier_skill", "+.1%"),
}
"""Column heads of the table, with the figure and its format; skills against the best baseline."""
LABELS = {
    "steps": "share of {resource} steps above a level within {interval}",
    "peak": "whether the {resource} peak of {interval} is above a level",
}
COUNTED = {"steps": "steps", "peak": "peaks"}
"""What a surface's exceedance is a share of, by what it has learned."""


@dataclass(frozen=True)
class SurfaceResult:
    """What came of one fold: the fitted surface, its answers, their figures."""

    trained: TrainedSurface
    usage: Usage
    answer: Answer
    parts: dict[str, Cases]
    scored: Scored
    test: NDArray[np.int64]
    figures: dict[str, dict[str, float]]
    difference: dict[str, float]
    best_baseline: str
    seconds: dict[str, float]

    def kept(self, promises: tuple[float, ...]) -> dict[str, pd.DataFrame]:
        """Return promised against realised exceedance, recalibrated and raw."""
        told = {"recalibrated": self.answer.forecast, RAW: self.answer.raw}
        return {
            name: realise(self.usage, found, self.test, promises, self.trained.model.outcome)
            for name, found in told.items()
        }


def run_surface_training(
    config: ExperimentConfig, overrides: list[str], output: Path
) -> dict[str, Any]:
    """Run every step and return the record of the run.

    Parameters
    ----------
    config : ExperimentConfig
        Resolved; its target is of kind exceedance.
    overrides : list of str
        As the user gave them, for the record.
    output : pathlib.Path
        Receives ``metrics.json``, ``predictions.parquet``, ``config.json`` and ``plots/``.
    """
    began = time.perf_counter()
    parts = build_components(config)
    choices, tracking = config.choices, config.tracking
    name = f"{choices['model']}-{choices['imbalance']}-{choices['target']}"
    with track_run(tracking.uri, tracking.experiment, name, tracking.parent) as run:
        run.log_params({**config.flatten(), "overrides": " ".join(overrides)})
        validated, cached = load_validated(config, parts)
        for step, hit in cached.items():
            say(f"{step}: {'reused from cache' if hit else 'computed'}")
        tags = {"data_sha256": validated.sha256, "code_digest": code_digest()}
        run.set_tags(tags)
        results = train_folds(parts, load_panel(validated))
        record = describe_surface(config, results) | {
            "data_sha256": validated.sha256,
            "run_id": run.run_id,
            "overrides": overrides,
            "cached": cached,
        }
        record["registry"] = enter_surface(run, config, parts, results[-1], tags)
        record["seconds"] = {
            "total": time.perf_counter() - began,
            **{part: sum(r.seconds[part] for r in results) for part in ("fit", "evaluate")},
        }
        write_surface(output, config, results, record)
        tasks.log_run(quote(run), output, validated.directory, quote(record))
    show_surface(config, record, output)
    return record


def train_folds(parts: Components, panel: Panel) -> list[SurfaceResult]:
    """Fit and evaluate a surface per fold, oldest first.

    Raises
    ------
    InsufficientHistoryError
        The history is too short for the fit or the split.
    """
    target = parts.target
    assert isinstance(target, Exceedance)  # noqa: S101 - the kind has decided
    check_length(panel, target, parts.split)
    folds = parts.split.split(panel, target.gap)
    return [train_fold(quote(parts), quote(target), quote(panel), fold) for fold in folds]


@task(name="train-surface", task_run_name="train-surface-0", cache_policy=NO_CACHE)
def train_fold(parts: Components, target: Exceedance, panel: Panel, fold: Fold) -> SurfaceResult:
    """Fit on intervals that ended in the training part; score what begins in the other two.

    No capacity is known that was not at the end of the training part.
    """
    began = time.perf_counter()
    settings = target.rolling(parts.runtime.seed, parts.runtime.threads)
    every = target.cutoffs(panel)
    stop = int(every[every <= fold.train[1]][-1])
    usage = usage_of(panel, target.resource, before=stop)
    lessons = collect_lessons(usage, settings, stop)
    trained = fit_surface(lessons, settings)
    baselines = {name: one.fit(lessons) for name, one in deepcopy(parts.baselines).items()}  # type: ignore[attr-defined]
    fitted = time.perf_counter()
    held = lessons.interval
    asked = every[(every >= fold.valid[0]) & (every + held <= fold.test[1])]
    answer = trained.answer(usage, asked)
    valid, test = asked[asked < fold.valid[1]], asked[asked >= fold.test[0]]
    before = score_answer(trained, answer, usage, valid)
    scored = score_answer(trained, answer, usage, test)
    figures, difference, best = measure(scored, baselines, parts.evaluation)
    figures[OWN]["validation"] = float(np.mean(before.losses(OWN)[0]))
    return SurfaceResult(
        trained=trained,
        usage=usage,
        answer=answer,
        parts={"train": lessons, "valid": before.cases, "test": scored.cases},
        scored=scored,
        test=test,
        figures=figures,
        difference=difference,
        best_baseline=best,
        seconds={"fit": fitted - began, "evaluate": time.perf_counter() - fitted},
    )


def describe_surface(config: ExperimentConfig, results: list[SurfaceResult]) -> dict[str, Any]:
    """Return the plain record of what was found."""
    newest = results[-1]
    figures = {
        name: mean_figures([one.figures[name] for one in results]) for name in newest.figures
    }
    own, raw = figures.pop(OWN), figures.pop(RAW)
    own |= {f"{key}_raw": raw[key] for key, _ in SHOWN.values()}
    kept = newest.kept(SHARES)
    for name, table in kept.items():
        suffix = "" if name == "recalibrated" else f"_{name}"
        for promise, realised in zip(SHARES, table["realised"], strict=True):
            own[f"realised{suffix}_at_{promise:g}"] = float(realised)
    target, metric = config.target, SURFACE_METRIC[0]
    return {
        "target": config.choices["target"],
        "data": config.choices["data"],
        "label": LABELS[newest.trained.model.outcome].format(**target),
        "promised": f"{COUNTED[newest.trained.model.outcome]} above the promised level",
        "metric": metric,
        "higher_is_better": SURFACE_METRIC[1] > 0,
        "n_features": len(newest.answer.table.names),
        "fitted_until": str(newest.trained.fitted_until),
        "rows": {name: cases.describe() for name, cases in newest.parts.items()},
        "model": {"name": config.choices["model"], "imbalance": "none", **own},
        "baselines": figures,
        "best_baseline": newest.best_baseline,
        "difference": newest.difference,
        "promises": {name: table.to_dict("records") for name, table in kept.items()},
        "folds": [
            {
                "rows": {name: cases.describe() for name, cases in one.parts.items()},
                "figures": one.figures,
            }
            for one in results
        ],
    }


def enter_surface(
    run: TrackedRun,
    config: ExperimentConfig,
    parts: Components,
    result: SurfaceResult,
    tags: dict[str, str],
) -> dict[str, Any]:
    """Judge the newest fold's surface, and enter it into the registry."""
    name = config.registered_name(parts.source.name)
    champion = find_champion(run, name)
    if champion is None:
        verdict = surface_beats_baseline(result.figures, result.best_baseline)
    else:
        rival = load_trained(champion)
        verdict = surface_beats_champion(result.trained, rival, result.usage, result.test)
    return enter_model(run, config, name, result.trained, verdict, tags)


def write_surface(
    output: Path, config: ExperimentConfig, results: list[SurfaceResult], record: dict[str, Any]
) -> None:
    """Write metrics, predictions, configuration and the plot into the run's directory."""
    write_json(output / "metrics.json", record)
    write_json(output / "config.json", config.to_dict())
    frames = [frame_scored(one.scored) for one in results]
    concat_frames(frames).to_parquet(output / "predictions.parquet", index=False)
    plots = output / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    curves = pd.concat(results[-1].kept(DRAWN), names=["group"]).reset_index("group")
    counted = COUNTED[results[-1].trained.model.outcome]
    save_figure(plot_promises(curves, counted), plots / "calibration.png")


def show_surface(config: ExperimentConfig, record: dict[str, Any], output: Path) -> None:
    """Print the surface beside the baselines, what its promises were worth, where everything is."""
    own = record["model"]
    figures = {own["name"]: own, **record["baselines"]}
    if config.target["recalibration"] is not None:
        figures["before recalibration"] = {key: own[f"{key}_raw"] for key, _ in SHOWN.values()}
    body = [
        (name, *(format(one[key], form) for key, form in SHOWN.values()))
        for name, one in figures.items()
    ]
    show_table(record["label"], ("model", *SHOWN), body)
    kept = record["promises"]
    promises = [
        (f"{one['promised']:.1%}", f"{one['realised']:.2%}", f"{other['realised']:.2%}")
        for one, other in zip(kept["recalibrated"], kept[RAW], strict=True)
    ]
    show_table(record["promised"], ("promised", "realised", "raw"), promises)
    rows, change = record["rows"]["test"], record["difference"]
    low, high = change["log_loss_change_lower"], change["log_loss_change_upper"]
    say(
        f"test fold: {rows['n_rows']:,} levels of {rows['n_intervals']} intervals from "
        f"{rows['first'][:16]} to {rows['last'][:16]}, fitted until {record['fitted_until'][:16]}",
        f"against {record['best_baseline']}, the best baseline: log loss change "
        f"{change['log_loss_change']:+.4f} [{low:+.4f}, {high:+.4f}]",
    )
    entry = record["registry"]
    if entry["version"] is not None:
        say(
            f"registered {entry['name']} version {entry['version']} as challenger; "
            f"{'now champion' if entry['champion'] else 'champion unchanged'}: {entry['reason']}"
        )
    say(f"run {record['run_id']} in {config.tracking.uri}; files in {output}")
