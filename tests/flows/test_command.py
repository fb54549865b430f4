"""The command line: what it costs to ask for help, and how it tells what is wrong."""

from __future__ import annotations

import io
import os
import resource
import shutil
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import yaml

from optimizer.core import config as configuration
from optimizer.core.config import load_config
from optimizer.core.errors import ConfigError
from optimizer.training.tuning import export

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("prefect", "mlflow", "torch", "lightgbm", "sklearn", "pandas", "hydra")
COMMANDS = ("train", "features", "backtest", "simulate", "recommend", "freshness", "deploy")


def ask(tmp_path: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the checkout in an empty directory, without any server at hand."""
    known = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_API")}
    own = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}", "PREFECT_HOME": str(tmp_path / "p")}
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**known, **own, **environment}, timeout=60,
    )  # fmt: skip


def assert_one_error(done: subprocess.CompletedProcess[str], status: int) -> None:
    """Check that a command told one error, in its four parts, and nothing of its insides."""
    assert done.returncode == status, done.stdout + done.stderr
    assert done.stderr.count("error:") == 1
    for part in (": got ", ". Allowed: ", ". Fix: "):
        assert part in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "Set the environment variable" not in done.stderr  # Hydra's own words


OLD = [
    ("policy=vpa", "policy/cpu and policy/memory"),
    ("policy.lambda_=3", "policy.cpu.lambda_ or policy.memory.lambda_"),
    ("target.surface.rounds=40", "surface.cpu.model.rounds or surface.memory.model.rounds"),
    ("target.recalibration=null", "surface.cpu.recalibration=null"),
    ("target.interval=12h", "interval=12h"),
    ("replay.every=12h", "interval=12h"),
    ("replay.headroom=1.1", "bounds.headroom=1.1"),
    ("replay.refit=2d", "surface.cpu.refit or surface.memory.refit"),
    ("feedback.rounds=3", "simulate.rounds=3"),
    ("+feedback.autoscaler.most=1", "simulate.autoscaler.most=1"),
    ("registry.enter=false", "registry.register=false"),
    ("patches.memory_limit_ratio=2", "patches.formats.kubernetes.memory_limit_ratio=2"),
]


@pytest.mark.parametrize(("override", "now"), OLD)
def test_key_of_an_earlier_version_is_refused_with_its_new_name(override: str, now: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config([override])
    assert caught.value.offender == override.split("=", maxsplit=1)[0].lstrip("+")
    assert caught.value.seen == "a key of an earlier version"
    assert now in caught.value.fix


def cpu_seconds() -> float:
    """Return what finished children have taken: unlike a clock it does not see other work."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_command_refuses_an_old_key_before_anything_starts(tmp_path: Path) -> None:
    began = cpu_seconds()
    ask(tmp_path, "-c", "import flows.simulate")
    imported = cpu_seconds()
    done = ask(tmp_path, str(ROOT / "flows/simulate.py"), "feedback.rounds=3")
    ended = cpu_seconds()
    assert_one_error(done, 1)
    assert "feedback.rounds: got a key of an earlier version" in done.stderr
    assert "simulate.rounds=3" in done.stderr
    assert "(HYDRA_FULL_ERROR=1 shows the traceback)" in done.stderr
    assert not (tmp_path / "outputs").exists()
    assert not list(tmp_path.glob("p/*.db")), "a server was started"
    assert ended - imported < 1.5 * (imported - began) + 0.5, "more than imports came before"


def answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *words: str
) -> subprocess.CompletedProcess[str]:
    """Run the training command in this process, which has imported it already."""
    from flows.train import main

    own = [f"hydra.run.dir={tmp_path}/run", "hydra/job_logging=none", "hydra/hydra_logging=none"]
    monkeypatch.setattr(sys, "argv", ["train.py", *words, *own])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # set back afterwards, since the command sets it
    monkeypatch.setenv("OPTIMIZER_TRACEBACK", "0")
    monkeypatch.chdir(tmp_path)
    out, err, status = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as left:
            status = int(left.code or 0)
    return subprocess.CompletedProcess(list(words), status, out.getvalue(), err.getvalue())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["model=nonsense"], "model: got 'nonsense'"),
        (["model.rouns=3"], "did you mean model.rounds"),
        (["data=table"], "data.path: got no value"),
        (["seed=abc"], "seed"),
        (["target.ceiling=3"], "target.ceiling: got 3"),
        (["model=[oops"], "model"),
        (["search=lightgbm"], "search=lightgbm: got trainings without Optuna"),
        (["target=exceedance", "model.rounds=3"], "model.rounds: got a setting that"),
        (["registry.enter=false"], "registry.enter: got a key of an earlier version"),
        (["surface.cpu.refit=never"], "surface.cpu.refit: got 'never'"),
    ],
)
def test_command_tells_bad_input_in_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    done = answer(tmp_path, monkeypatch, *words)
    assert_one_error(done, 1)
    assert told in done.stderr
    assert done.stderr.endswith("(HYDRA_FULL_ERROR=1 shows the traceback)\n")
    assert done.stdout == ""


def test_command_prints_the_composed_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = answer(tmp_path, monkeypatch, "--cfg", "job", "seed=11")
    assert (done.returncode, done.stderr) == (0, "")
    assert yaml.safe_load(done.stdout)["seed"] == 11


def test_command_shows_the_traceback_if_asked(tmp_path: Path) -> None:
    words = [str(ROOT / "flows/train.py"), "model=nonsense"]
    done = ask(tmp_path, *words, HYDRA_FULL_ERROR="1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "model: got 'nonsense'" in done.stderr


def test_missing_yamls_are_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "CONF_DIR", tmp_path / "conf")
    with pytest.raises(ConfigError) as caught:
        load_config()
    assert caught.value.offender == "conf"
    assert str(tmp_path / "conf") in str(caught.value)
    assert "install the package again" in caught.value.fix


def test_command_without_yamls_is_one_error(tmp_path: Path) -> None:
    """A checkout whose ``conf`` was removed: sources alone."""
    for name in ("flows", "src"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    home = tmp_path / "src"
    done = ask(tmp_path, "flows/train.py", PYTHONPATH=f"{tmp_path}{os.pathsep}{home}")
    assert_one_error(done, 1)
    assert f"no config.yaml in {tmp_path / 'conf'}" in done.stderr


def test_experiment_that_cannot_be_written_is_told_before_the_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(export, "CONF_DIR", Path("/proc/optimizer/conf"))  # nobody may write there
    with pytest.raises(ConfigError) as caught:
        export.require_writable(["model=lstm"])
    assert caught.value.offender == "search.save"
    assert "/proc/optimizer/conf/experiment" in caught.value.seen


def test_experiment_that_can_be_written_leaves_nothing_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "CONF_DIR", tmp_path)
    assert export.require_writable(["model=lstm"]) == ["model=lstm"]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert export.write_experiment("best", ["model=lstm"], "by hand").is_file()


def test_unknown_command_is_one_error(tmp_path: Path) -> None:
    done = ask(tmp_path, "-m", "flows", "nonsense")
    assert_one_error(done, 2)
    assert "optimizer nonsense: got an unknown command" in done.stderr
    assert all(name in done.stderr for name in COMMANDS)
    assert done.stdout == ""


@pytest.mark.parametrize("word", ["--help", "-h", "help", None])
def test_help_is_quick_and_imports_nothing_heavy(tmp_path: Path, word: str | None) -> None:
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['flows', *{[word] if word else []!r}]\n"
        "runpy.run_module('flows', run_name='__main__')\n"
        f"print('heavy:', sorted({set(HEAVY)!r} & set(sys.modules)))\n"
    )
    began = time.perf_counter()
    done = ask(tmp_path, "-c", code)
    assert time.perf_counter() - began < 3.0
    assert done.returncode == 0, done.stderr
    assert "heavy: []" in done.stdout
    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)
