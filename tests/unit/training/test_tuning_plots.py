from __future__ import annotations

import base64
import io
import logging
import math
import threading
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import optuna
import pytest
from matplotlib import pyplot as plt

from optimizer.training.tuning import plots as pictures
from optimizer.training.tuning.plots import draw_study

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def plain(trial: Any) -> float:
    """Four parameters of all kinds; every fourth trial is pruned."""
    rate = trial.suggest_float("model.learning_rate", 1e-3, 0.3, log=True)
    depth = trial.suggest_int("model.max_depth", 2, 12)
    rows = trial.suggest_categorical("imbalance.strategy", ["class_weight", "random_undersample"])
    share = trial.suggest_categorical("features.share", [0.5, 0.75, 1.0])
    if trial.number % 4 == 3:
        raise optuna.TrialPruned
    return float(-abs(math.log10(rate) + 2) + depth / 50 + (rows == "class_weight") + share)


def conditional(trial: Any) -> float:
    """Parameters that exist for one model only, one of them in a single trial."""
    model = trial.suggest_categorical("model", ["lightgbm", "logistic"])
    if trial.number == 4:
        trial.suggest_int("model.only_once", 1, 9)
    if model == "lightgbm":
        return trial.suggest_float("model.learning_rate (lightgbm)", 1e-3, 0.3, log=True) ** 0.5
    return trial.suggest_float("model.c (logistic)", 0.1, 1.0)


def several(trial: Any) -> tuple[float, ...]:
    """As many objectives as the study has, pulling in opposite directions."""
    depth = trial.suggest_int("model.max_depth", 1, 12)
    rate = trial.suggest_float("model.learning_rate", 0.0, 1.0)
    return (depth + rate, depth * 2.0 - rate, rate)[: len(trial.study.directions)]


def constant(trial: Any) -> float:
    trial.suggest_float("a", 0.0, 1.0)
    trial.suggest_float("b", 0.0, 1.0)
    return 1.0


def make_study(objective: Any, trials: int, *directions: str) -> Any:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name="peaks & <valleys>",
        directions=directions or ("maximize",),
        sampler=optuna.samplers.RandomSampler(seed=1),
    )
    study.optimize(objective, trials)
    return study


def names_of(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def shape_of(path: Path) -> tuple[int, ...]:
    content = path.read_bytes()
    assert content.startswith(SIGNATURE)
    image = plt.imread(io.BytesIO(content))
    assert np.ptp(image[..., :3]) > 0.5  # not one colour
    return image.shape


def page_of(paths: list[Path]) -> str:
    """Return the page, which holds every picture in full."""
    page = paths[-1].read_text()
    for path in paths[:-1]:
        assert page.count(base64.b64encode(path.read_bytes()).decode()) == 1
    return page


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """All that is written on the pictures drawn in a test."""
    from matplotlib.text import Text

    seen: set[str] = set()
    tidy = pictures._tidy

    def spy(axis: Any, picture: Any) -> None:
        tidy(axis, picture)
        seen.update(text.get_text() for text in axis.figure.findobj(Text))

    monkeypatch.setattr(pictures, "_tidy", spy)
    return seen


def test_draw_study_draws_one_objective_as_files_and_page(tmp_path: Path, texts: set[str]) -> None:
    paths = draw_study(make_study(plain, 24), ["average precision"], tmp_path / "new" / "folder")
    assert names_of(paths) == ["history.png", "importance.png", "parallel.png", "study.html"]
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(names_of(paths))
    shapes = [shape_of(path) for path in paths[:-1]]
    assert all(height > 400 and width > 700 for height, width, _ in shapes)
    assert shapes[2][1] > shapes[0][1]  # as wide as its five axes need

    page = page_of(paths)
    assert 'src="http' not in page
    assert "href=" not in page
    for heading in ("Optimisation history", "Parameter importance", "Parallel coordinates"):
        assert f'alt="{heading}: average precision"' in page
    assert (
        "<h1>Study peaks &amp; &lt;valleys&gt;</h1>\n<p>Trials: 18 complete, 6 pruned</p>" in page
    )
    assert {"model.learning_rate", "imbalance.strategy"} <= texts
    assert not any("..." in text for text in texts)  # Optuna's cut names


def test_draw_study_draws_every_objective_and_the_front(tmp_path: Path, texts: set[str]) -> None:
    study = make_study(several, 20, "maximize", "minimize")
    paths = draw_study(study, ["quality", "seconds / fit"], tmp_path)
    assert names_of(paths) == [
        "history.png",
        "importance.png",
        "history-seconds-fit.png",
        "importance-seconds-fit.png",
        "parallel.png",
        "pareto.png",
        "study.html",
    ]
    assert all(shape_of(path) for path in paths[:-1])
    assert 'alt="Pareto front: seconds / fit against quality"' in page_of(paths)
    assert "Best Value" in texts


def test_plan_pictures_sees_the_front_of_three_objectives_twice() -> None:
    study = make_study(several, 8, "maximize", "minimize", "minimize")
    planned = list(pictures.plan_pictures(study, ["quality", "seconds", "size"]))
    assert [one.stem for one in planned[-2:]] == ["pareto", "pareto-size"]
    trial = planned[-1].study.trials[3]
    assert planned[-1].options["targets"](trial) == [trial.values[0], trial.values[2]]


def test_importance_knows_that_an_objective_among_several_is_maximized() -> None:
    """Of a target, Optuna takes low values for good whatever the direction is."""
    from optuna.importance import get_param_importances

    def objective(trial: Any) -> tuple[float, float]:
        # good trials need the switch, bad ones a low value of the other parameter
        switch = trial.suggest_categorical("switch", ["off", "on"])
        other = trial.suggest_float("other", 0.0, 1.0)
        return (2.0 + other / 9 if switch == "on" else other), 0.0

    study = make_study(objective, 40, "maximize", "minimize")
    planned = list(pictures.plan_pictures(study, ["quality", "seconds"]))
    stems = ["history", "importance", "history-seconds", "parallel", "pareto"]
    assert [one.stem for one in planned] == stems
    options = {key: planned[1].options[key] for key in ("evaluator", "params")}
    shares = get_param_importances(planned[1].study, **options)
    for sign, same in ((-1, True), (1, False)):
        other = get_param_importances(study, **options, target=lambda t, s=sign: s * t.values[0])
        assert (shares == pytest.approx(other)) == same
    assert planned[0].study.best_value == max(trial.values[0] for trial in study.trials)


def test_draw_study_leaves_out_what_one_trial_has_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, texts: set[str]
) -> None:
    caplog.set_level(logging.INFO, "optimizer.training.tuning.plots")
    paths = draw_study(make_study(conditional, 20), ["quality"], tmp_path)
    assert len(paths) == 4
    assert caplog.messages == ["Parameter importance for quality leaves out model.only_once"]
    assert {"model.learning_rate (lightgbm)", "model.c (logistic)"} <= texts


@pytest.mark.parametrize(
    ("objective", "trials", "reason"),
    [
        (plain, 1, "1 complete trials, 5 are needed"),
        (plain, 4, "3 complete trials, 5 are needed"),
        (constant, 12, "no trials stand out as good"),
        (lambda trial: trial.suggest_float("x", 0, 1), 8, "1 parameters differ between trials"),
        (lambda trial: float(trial.number), 8, "0 parameters differ between trials"),
    ],
)
def test_draw_study_says_why_there_is_no_importance(
    objective: Any, trials: int, reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "optimizer.training.tuning.plots")
    study = make_study(objective, trials)
    paths = draw_study(study, ["quality"], tmp_path)
    assert names_of(paths)[0] == "history.png"
    assert "importance.png" not in names_of(paths)
    assert ("parallel.png" in names_of(paths)) == (trials > 1 and bool(study.trials[0].params))
    assert reason in caplog.text
    assert shape_of(paths[0])


@pytest.mark.parametrize("value", [None, math.inf])
def test_draw_study_draws_nothing_without_a_complete_trial(
    value: float | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "optimizer.training.tuning.plots")
    study = make_study(plain, 0)
    assert draw_study(study, ["quality"], tmp_path / "none") == []
    study.ask()
    study.tell(study.ask(), value, state=None if value else optuna.trial.TrialState.FAIL)
    assert draw_study(study, ["quality"], tmp_path / "none") == []
    assert not (tmp_path / "none").exists()
    assert caplog.text.count("no trial is complete") == 2


def test_draw_study_takes_trials_of_all_states_and_values_outside_their_range(
    tmp_path: Path,
) -> None:
    study = make_study(plain, 0)
    study.enqueue_trial({"model.max_depth": 40})
    study.optimize(plain, 9)
    study.ask()  # running
    study.tell(study.ask(), math.inf)
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    study.enqueue_trial({"model.max_depth": 3})  # waiting
    paths = draw_study(study, ["quality"], tmp_path)
    assert len(paths) == 4
    assert "Trials: 8 complete, 1 fail, 2 pruned, 1 running, 1 waiting" in page_of(paths)


def test_draw_study_refuses_names_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zip"):
        draw_study(make_study(plain, 2), ["quality", "seconds"], tmp_path)


def test_draw_study_leaves_pyplot_as_it_was(tmp_path: Path) -> None:
    backend = mpl.get_backend()
    plt.switch_backend("svg")
    mine, other = plt.figure(), plt.figure()
    plt.figure(mine.number)
    try:
        before = dict(mpl.rcParams)
        draw_study(make_study(plain, 2), ["quality"], tmp_path)
        assert dict(mpl.rcParams) == before
        assert mpl.get_backend() == "svg"
        assert plt.get_fignums() == [mine.number, other.number]
        assert plt.gcf() is mine
    finally:
        plt.close(mine)
        plt.close(other)
        plt.switch_backend(backend)


def test_draw_study_reads_the_study_only_in_any_thread(tmp_path: Path) -> None:
    study, found = make_study(plain, 2), []
    before = study.trials

    def draw(place: int) -> None:
        found.append(draw_study(study, ["quality"], tmp_path / str(place)))

    threads = [threading.Thread(target=draw, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(paths) for paths in found] == [3, 3]
    assert study.trials == before
    assert plt.get_fignums() == []


def test_draw_study_keeps_the_old_files_if_drawing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(plain, 1)
    monkeypatch.setattr(pictures, "draw_page", lambda *_: "page")
    paths = draw_study(study, ["quality"], tmp_path)
    before = [path.read_bytes() for path in paths]

    def fail(*_: Any) -> str:
        raise OSError("disk full")

    monkeypatch.setattr(pictures, "draw_page", fail)
    study.optimize(plain, 1)
    with pytest.raises(OSError, match="disk full"):
        draw_study(study, ["quality"], tmp_path)
    assert [path.read_bytes() for path in paths] == before
    assert len(list(tmp_path.iterdir())) == len(paths)
