"""Grids and studies as a user starts them: the real command, on tiny data, one Prefect server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from stores import places

ROOT = Path(__file__).resolve().parents[2]
TINY = [
    "data.n_services=8", "data.n_clusters=2", "data.days=40", "features=core", "model.rounds=20",
    "evaluation.bootstrap_resamples=20", "threads=1",
]  # fmt: skip
STUDY = ["hydra/sweeper=optuna", "search=lightgbm", "search.folds=1"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120), pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_API_URL", str(PREFECT_API_URL.value()))
        yield tmp_path_factory.mktemp("sweep")


def command(home: Path, name: str, *overrides: str) -> list[str]:
    where = [*places(home), f"hydra.sweep.dir={home / name}"]
    return [sys.executable, str(ROOT / "flows/train.py"), "-m", *TINY, *where, *overrides]


def sweep(home: Path, name: str, *overrides: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(home, name, *overrides), capture_output=True, text=True, check=False, cwd=home
    )


def runs(home: Path, parent: str) -> pd.DataFrame:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{home}/mlflow.db")
    return mlflow.search_runs(
        experiment_names=["cloud-workload-optimizer"],
        filter_string=f"tags.`mlflow.parentRunId` = '{parent}'",
    )


def study_of(home: Path, storage: str, name: str = "lightgbm-scale_event-synthetic") -> Any:
    import optuna

    from optimizer.training.tuning.storage import open_storage

    return optuna.load_study(study_name=name, storage=open_storage(storage))


def parent_of(home: Path, storage: str) -> str:
    return str(study_of(home, storage).user_attrs["run_id"])


@pytest.fixture(scope="module")
def grid(home: Path) -> dict[str, Any]:
    done = sweep(home, "grid", "model=lightgbm,catboost", "imbalance=none,class_weight")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads((home / "grid" / "grid.json").read_text())
    return told | {"stdout": done.stdout}


@pytest.mark.slow
def test_grid_ranks_on_validation_and_tells_the_test_with_intervals(
    home: Path, grid: dict[str, Any]
) -> None:
    jobs = grid["jobs"]
    scores = [job["model"]["validation"] for job in jobs]
    assert scores == sorted(scores, reverse=True)
    assert {job["job"] for job in jobs} == {
        f"model={model} imbalance={strategy}"
        for model in ("lightgbm", "catboost")
        for strategy in ("none", "class_weight")
    }
    assert jobs[0]["against_first"] is None
    for job in jobs[1:]:
        change, low, high = job["against_first"]
        expected = job["model"]["average_precision"] - jobs[0]["model"]["average_precision"]
        assert change == pytest.approx(expected, abs=1e-6)
        assert low <= high
    assert "the best on validation first" in grid["stdout"]


@pytest.mark.slow
def test_grid_is_one_parent_run_and_registers_its_best_only(
    home: Path, grid: dict[str, Any]
) -> None:
    from mlflow import MlflowClient

    children = runs(home, grid["run_id"])
    assert len(children) == 4
    assert set(children["status"]) == {"FINISHED"}
    client = MlflowClient(*[f"sqlite:///{home}/mlflow.db"] * 2)
    versions = client.search_model_versions("name = 'scale_event-synthetic'")
    assert [version.run_id for version in versions] == [grid["jobs"][0]["run_id"]]


@pytest.mark.slow
def test_grid_computes_what_jobs_share_once(grid: dict[str, Any]) -> None:
    for job in grid["jobs"]:
        assert job["cached"] == dict.fromkeys(job["cached"], True)
    assert grid["stdout"].count("training set: computed") == 1


@pytest.mark.slow
def test_grid_with_a_wrong_value_is_told_before_its_first_job(home: Path) -> None:
    done = sweep(home, "wrong", "model.learning_rate=0.1,7")
    assert done.returncode == 1
    assert "error: model.learning_rate: got 7" in done.stderr
    assert "Traceback" not in done.stderr
    assert "telemetry" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["search=lightgbm"], "search=lightgbm: got trainings without Optuna"),
        (["hydra/sweeper=optuna"], "search: got none"),
        ([*STUDY, "model.num_leafs=int(interval(8,9))"], "did you mean model.num_leaves"),
        (
            [*STUDY, "model.learning_rate=interval(0.2,0.1)"],
            "error: model.learning_rate=interval(0.2,0.1): got 0.2 to 0.1",
        ),
        ([*STUDY, "model=xgboost"], "got model=xgboost, which has no model.num_leaves"),
        ([*STUDY, "search.storage=sqlite:////proc/none.db"], "search.storage: got"),
        ([*STUDY, "runner=dask", "runner.address=tcp://127.0.0.1:9"], "runner.address: got"),
    ],
)
def test_bad_searches_are_told_before_the_first_trial(
    home: Path, overrides: list[str], told: str
) -> None:
    done = sweep(home, "bad", *overrides)
    assert done.returncode == 1, done.stdout
    assert told in done.stderr
    assert done.stderr.count("error: ") == 1
    assert "trial 0" not in done.stdout


def kill_half_way(home: Path, storage: str, words: list[str]) -> int:
    """Start a study, kill it within its fourth trial and return that trial's number."""
    begun = subprocess.Popen(
        command(home, "killed", *words), stdout=subprocess.PIPE, text=True, cwd=home,
        start_new_session=True,
    )  # fmt: skip
    assert begun.stdout is not None
    for line in begun.stdout:
        if line.startswith("[3/6]"):
            break
    deadline = time.monotonic() + 60
    while not running(home, storage) and time.monotonic() < deadline:
        time.sleep(0.02)
    begun.send_signal(signal.SIGKILL)
    begun.wait()
    (interrupted,) = running(home, storage)
    return interrupted


@pytest.fixture(scope="module")
def resumed(home: Path) -> tuple[int, str]:
    storage = f"sqlite:///{home}/killed.db"
    words = [*STUDY, f"search.storage={storage}", "search.n_trials=6", "model.rounds=60"]
    interrupted = kill_half_way(home, storage, words)
    done = sweep(home, "resumed", *words)
    assert done.returncode == 0, done.stderr
    return interrupted, storage


@pytest.mark.slow
def test_study_killed_half_way_goes_on_to_its_number_of_trials(
    home: Path, resumed: tuple[int, str]
) -> None:
    interrupted, storage = resumed
    trials = study_of(home, storage).trials
    assert trials[interrupted].state.name == "FAIL"
    counted = [trial for trial in trials if trial.state.name in ("COMPLETE", "PRUNED")]
    assert len(counted) == 6
    assert len({tuple(sorted(trial.params.items())) for trial in counted}) == 6
    told = json.loads((home / "resumed" / "study.json").read_text())
    best = max(trial.value for trial in counted if trial.state.name == "COMPLETE")
    assert told["best"]["values"] == [best]
    assert told["best"]["values"][0] >= told["defaults"]
    assert told["looks_at_test"] == 1
    assert (home / "resumed" / "study.html").stat().st_size > 100_000


@pytest.mark.slow
def test_mlflow_lists_every_trial_of_a_study_with_values_and_state(
    home: Path, resumed: tuple[int, str]
) -> None:
    interrupted, storage = resumed
    trials = study_of(home, storage).trials
    rows = runs(home, parent_of(home, storage))
    rows = rows[rows["tags.trial"].notna()]
    assert sorted(rows["tags.trial"].astype(int)) == [t.number for t in trials]
    kept = rows.set_index(rows["tags.trial"].astype(int))
    assert kept.loc[interrupted, "tags.state"] == "failed"
    assert kept.loc[interrupted, "status"] == "FAILED"
    for trial in trials:
        row = kept.loc[trial.number]
        assert float(row["params.model.num_leaves"]) == trial.params["model.num_leaves"]
        assert row["tags.state"] == trial.state.name.lower().replace("fail", "failed")
        if trial.state.name == "COMPLETE":
            assert row["metrics.value"] == pytest.approx(trial.value)


def running(home: Path, storage: str) -> list[int]:
    trials = study_of(home, storage).trials
    return [t.number for t in trials if t.state.name == "RUNNING" and "run_id" in t.user_attrs]


@pytest.mark.slow
def test_two_processes_share_a_journal_without_losing_a_trial(home: Path) -> None:
    storage = f"journal:{home}/studies.log"
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    words = [*STUDY, f"search.storage={storage}", "search.n_trials=4", *launcher]
    done = sweep(home, "journal", *words)
    assert done.returncode == 0, done.stderr
    assert "locked" not in done.stdout + done.stderr
    trials = study_of(home, storage).trials
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED"}


@pytest.mark.slow
def test_trials_that_take_too_long_fail_and_too_many_end_the_search(home: Path) -> None:
    words = [
        *STUDY, f"search.storage=sqlite:///{home}/late.db", "search.trial_timeout=2s",
        "search.max_failures=2", "model.rounds=5000", "model.early_stopping_rounds=5000",
    ]  # fmt: skip
    done = sweep(home, "late", *words)
    assert done.returncode == 1, done.stderr
    assert "given up after 2 failed trials" in done.stdout, done.stderr
    assert done.stdout.count("longer than 2s") == 2
    told = json.loads((home / "late" / "study.json").read_text())
    assert told["trials"] == {"complete": 0, "pruned": 0, "failed": 2}


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["threads", "dask"])
def test_runner_gives_the_same_figures_as_the_local_one(
    home: Path, grid: dict[str, Any], runner: str
) -> None:
    words = ["model=lightgbm,catboost", "imbalance=none", f"runner={runner}", "runner.workers=2"]
    done = sweep(home, runner, *words)
    assert done.returncode == 0, done.stderr
    told = json.loads((home / runner / "grid.json").read_text())
    local = {job["job"]: job["model"] for job in grid["jobs"]}
    assert len(told["jobs"]) == 2
    for job in told["jobs"]:
        same = local[f"{job['job']} imbalance=none"]
        assert job["model"]["average_precision"] == pytest.approx(same["average_precision"])
        assert job["model"]["validation"] == pytest.approx(same["validation"])


@pytest.mark.slow
@pytest.mark.parametrize("words", [["runner=threads"], ["runner=dask", "model.distributed=true"]])
def test_a_plain_training_fans_out_its_fits(
    home: Path, grid: dict[str, Any], words: list[str]
) -> None:
    plain = [one for one in command(home, "fits", *words, "runner.workers=2") if one != "-m"]
    output = home / f"fits-{len(words)}"
    done = subprocess.run(
        [*plain, f"hydra.run.dir={output}"], capture_output=True, text=True, check=False, cwd=home
    )
    assert done.returncode == 0, done.stderr
    record = json.loads((output / "metrics.json").read_text())
    local = {job["job"]: job for job in grid["jobs"]}["model=lightgbm imbalance=none"]
    assert record["baselines"] == local["baselines"]
    near = 0.0 if words == ["runner=threads"] else 0.2  # eight services: parts differ much
    same = local["model"]["average_precision"]
    assert record["model"]["average_precision"] == pytest.approx(same, abs=near + 1e-9)
