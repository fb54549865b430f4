"""What a sweep costs beside the fits: a grid and a study in one process, features cached."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
JOBS = 8
LIMIT_SECONDS = 2.0
"""What a job may cost beside its fits."""
ALIKE = ["threads=1", "model.rounds=50", "data.seed=7"]  # one training set for all seeds


def measure() -> dict[str, dict[str, float]]:
    """Return, for a grid and for a study, seconds per job: whole, fitting and evaluating."""
    with tempfile.TemporaryDirectory() as folder:
        return _measure(Path(folder))


def _measure(home: Path) -> dict[str, dict[str, float]]:
    seeds = ",".join(str(seed) for seed in range(JOBS))
    common = [*ALIKE, f"cache.dir={home}/cache", f"tracking.uri=sqlite:///{home}/mlflow.db"]
    shutil.copy(ROOT / "feature_repo" / "feature_store.yaml", home)
    common += [f"store.offline={home}/offline", f"store.feast={home}/feature_store.yaml"]
    _run([*common], home / "first")  # fills the cache
    grid = _run(["-m", *common, f"seed={seeds}"], home / "grid")
    study = _run(
        [
            "-m", *common, "hydra/sweeper=optuna", "search=lightgbm", "search/pruner=none",
            f"search.n_trials={JOBS}", f"search.storage=sqlite:///{home}/studies.db",
        ],
        home / "study",
    )  # fmt: skip
    return {"grid": _grid_costs(grid), "study": _study_costs(study)}


def _run(arguments: list[str], output: Path) -> Path:
    """Run the training command and return its output directory."""
    where = [f"hydra.sweep.dir={output}", f"hydra.run.dir={output}"]
    subprocess.run(
        [sys.executable, str(ROOT / "flows" / "train.py"), *arguments, *where],
        check=True,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PREFECT_LOGGING_LEVEL": "WARNING"},
    )
    return output


def _grid_costs(output: Path) -> dict[str, float]:
    told: dict[str, Any] = json.loads((output / "grid.json").read_text())
    jobs = told["jobs"]
    fit = sum(job["seconds"]["fit"] for job in jobs) / len(jobs)
    evaluate = sum(job["seconds"]["evaluate"] for job in jobs) / len(jobs)
    whole = told["seconds"] / len(jobs)
    return {"jobs": len(jobs), "whole_s": whole, "fit_s": fit, "evaluate_s": evaluate}


def _study_costs(output: Path) -> dict[str, float]:
    told: dict[str, Any] = json.loads((output / "study.json").read_text())
    trials = pd.read_csv(output / "trials.csv")
    fit = float(trials["fit_seconds"].mean())
    whole = told["seconds"] / len(trials)
    return {"jobs": len(trials), "whole_s": whole, "fit_s": fit, "evaluate_s": float("nan")}


def print_figures(found: dict[str, dict[str, float]]) -> None:
    """Print seconds per job."""
    print(f"\nsweeps of {JOBS} jobs in one process, features cached, seconds per job")
    print(f"{'sweep':<8}{'whole':>8}{'fitting':>9}{'the rest':>10}  of which evaluating")
    for name, costs in found.items():
        judged = costs["evaluate_s"]
        told = "" if judged != judged else f"{judged:>12.2f}"  # noqa: PLR0124 - NaN is not equal
        print(f"{name:<8}{costs['whole_s']:>8.2f}{costs['fit_s']:>9.2f}{rest(costs):>10.2f}{told}")


def rest(costs: dict[str, float]) -> float:
    """Return the seconds of a job that are no fit."""
    return costs["whole_s"] - costs["fit_s"]


def check(found: dict[str, dict[str, float]]) -> list[str]:
    """Return what is missed."""
    return [
        f"MISSED {name}: {rest(costs):.1f} s a job beside the fits"
        for name, costs in found.items()
        if rest(costs) > LIMIT_SECONDS
    ]
