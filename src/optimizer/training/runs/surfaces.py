"""A training of the exceedance surface: fit, compare with what anyone can count, describe."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.artifacts import ArtifactRef, write_json
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
    score_surface,
)
from optimizer.evaluation.plots.coverage import plot_promises
from optimizer.features.storage import load_panel
from optimizer.models.exceedance.baselines import ShareBaseline
from optimizer.models.exceedance.fitted import (
    IntervalDataset,
    SurfacePrediction,
    TrainedSurface,
    build_intervals,
    fit_surface,
)
from optimizer.models.exceedance.rolling import RollingSurface
from optimizer.models.exceedance.target import Exceedance, check_length
from optimizer.targets.splits import Fold
from optimizer.training.experiment import Components
from optimizer.training.predictor import concat_frames
from optimizer.training.promotion import (
    SURFACE_METRIC,
    surface_beats_baseline,
    surface_beats_champion,
)
from optimizer.training.runs.registration import register_model
from optimizer.training.summary import mean_figures
from optimizer.training.tracking.mlflow_run import TrackedRun
from optimizer.training.tracking.registry import load_reference

OWN, RAW = "model", "raw"
FIGURES = ("log_loss", "log_loss_skill", "brier", "brier_skill")
"""Figures of a surface; skills against the best baseline."""
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
    answer: SurfacePrediction
    parts: dict[str, IntervalDataset]
    scored: Scored
    test: NDArray[np.int64]
    figures: dict[str, dict[str, float]]
    difference: dict[str, float]
    best_baseline: str

    def realised(self, promises: Sequence[float]) -> dict[str, pd.DataFrame]:
        """Return promised against realised exceedance, recalibrated and raw."""
        forecasts = {"recalibrated": self.answer.forecast, RAW: self.answer.raw}
        outcome = self.trained.settings.outcome
        return {
            name: realise(self.usage, forecast, self.test, tuple(promises), outcome)
            for name, forecast in forecasts.items()
        }


@dataclass(frozen=True)
class SurfaceTraining:
    """Everything that a training of the surface computes, fold by fold.

    Raises InsufficientHistoryError: the history is too short for the fit or the split.
    """

    config: ExperimentConfig
    parts: Components
    inputs: tuple[ArtifactRef, ...]
    panel: Panel = field(init=False, repr=False)
    folds: tuple[Fold, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Open the telemetry and cut it."""
        panel, target = load_panel(self.inputs[0]), self.target
        check_length(panel, target, self.settings, self.parts.split)
        object.__setattr__(self, "panel", panel)
        object.__setattr__(self, "folds", tuple(self.parts.split.split(panel, target.gap)))

    @property
    def target(self) -> Exceedance:
        """What is learned."""
        target = self.parts.target
        assert isinstance(target, Exceedance)  # noqa: S101 - the kind has decided
        return target

    @property
    def settings(self) -> RollingSurface:
        """How it is learned."""
        return self.parts.surfaces[self.target.resource]

    @property
    def n_folds(self) -> int:
        """How many folds there are, oldest first."""
        return len(self.folds)

    @property
    def tags(self) -> dict[str, str]:
        """What a registered surface must be told of the features that it reads: it reads none."""
        return {}

    def fit(self, index: int) -> SurfaceResult:
        """Fit on intervals that ended in the training part; score what begins in the other two.

        No capacity is known that was not at the end of the training part.
        """
        fold, settings = self.folds[index], self.settings
        every = self.target.cutoffs(self.panel)
        stop = int(every[every <= fold.train[1]][-1])
        usage = usage_of(self.panel, self.target.resource, before=stop)
        training_intervals = build_intervals(usage, settings, stop)
        trained = fit_surface(training_intervals, settings)
        baselines = {}
        for name, baseline in deepcopy(self.parts.baselines).items():
            assert isinstance(baseline, ShareBaseline)  # noqa: S101 - check_pair has spoken
            baselines[name] = baseline.fit(training_intervals)
        asked = every[
            (every >= fold.valid[0]) & (every + training_intervals.interval <= fold.test[1])
        ]
        answer = trained.answer(usage, asked)
        valid, test = asked[asked < fold.valid[1]], asked[asked >= fold.test[0]]
        before = score_surface(trained, answer, usage, valid)
        scored = score_surface(trained, answer, usage, test)
        figures, difference, best = measure(scored, baselines, self.parts.evaluation)
        figures[OWN]["validation"] = float(np.mean(before.losses(OWN)[0]))
        return SurfaceResult(
            trained=trained,
            usage=usage,
            answer=answer,
            parts={"train": training_intervals, "valid": before.cases, "test": scored.cases},
            scored=scored,
            test=test,
            figures=figures,
            difference=difference,
            best_baseline=best,
        )

    def describe(self, results: Sequence[SurfaceResult]) -> dict[str, Any]:
        """Return the plain record of what was found."""
        newest, config = results[-1], self.config
        figures = {
            name: mean_figures([one.figures[name] for one in results]) for name in newest.figures
        }
        own, raw = figures.pop(OWN), figures.pop(RAW)
        own |= {f"{key}_raw": raw[key] for key in FIGURES}
        realised = newest.realised(SHARES)
        for name, table in realised.items():
            suffix = "" if name == "recalibrated" else f"_{name}"
            for promise, share in zip(SHARES, table["realised"], strict=True):
                own[f"realised{suffix}_at_{promise:g}"] = float(share)
        outcome = newest.trained.settings.outcome
        return {
            "target": config.choices["target"],
            "data": config.choices["data"],
            "label": LABELS[outcome].format(
                resource=self.target.resource, interval=self.target.interval
            ),
            "promised": f"{COUNTED[outcome]} above the promised level",
            "recalibrated": self.settings.recalibration is not None,
            "metric": SURFACE_METRIC[0],
            "higher_is_better": SURFACE_METRIC[1] > 0,
            "n_features": len(newest.answer.table.names),
            "fitted_until": str(newest.trained.fitted_until),
            "rows": {name: cases.describe() for name, cases in newest.parts.items()},
            "model": {"name": self.name, "imbalance": "none", **own},
            "baselines": figures,
            "best_baseline": newest.best_baseline,
            "difference": newest.difference,
            "promises": {name: table.to_dict("records") for name, table in realised.items()},
            "folds": [
                {
                    "rows": {name: cases.describe() for name, cases in one.parts.items()},
                    "figures": one.figures,
                }
                for one in results
            ],
        }

    @property
    def name(self) -> str:
        """The choice of the surface's model."""
        return self.config.choices["model"]

    def enter(self, run: TrackedRun, result: SurfaceResult, tags: dict[str, str]) -> dict[str, Any]:
        """Judge the newest fold's surface, and enter it into the registry."""
        name = self.config.registered_name(self.parts.source.name)
        champion = load_reference(run, name)
        if champion is None:
            verdict = surface_beats_baseline(result.figures, result.best_baseline)
        else:
            verdict = surface_beats_champion(result.trained, champion, result.usage, result.test)
        return register_model(run, self.config, name, result.trained, verdict, tags)

    def write(self, output: Path, results: Sequence[SurfaceResult], record: dict[str, Any]) -> None:
        """Write metrics, predictions, configuration and the plot into the run's directory."""
        write_json(output / "metrics.json", record)
        write_json(output / "config.json", self.config.to_dict())
        frames = [frame_scored(one.scored) for one in results]
        concat_frames(frames).to_parquet(output / "predictions.parquet", index=False)
        plots = output / "plots"
        plots.mkdir(parents=True, exist_ok=True)
        curves = pd.concat(results[-1].realised(DRAWN), names=["group"]).reset_index("group")
        counted = COUNTED[self.settings.outcome]
        save_figure(plot_promises(curves, counted), plots / "calibration.png")
