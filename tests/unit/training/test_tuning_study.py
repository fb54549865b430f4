"""A study across processes: continued, never repeating itself, the dead told from the living."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from searches import RATE, SPEC, STORAGES, begin, complete, journal, make_search, states

from optimizer.core.errors import ConfigError
from optimizer.training.tuning import study as module
from optimizer.training.tuning.study import (
    DUPLICATE,
    ENQUEUED,
    KEYS,
    OWNER,
    REASON,
    best_trial,
    counted,
    draw,
    enqueue,
    fail,
    fail_orphans,
    find,
    is_alive,
    load_study,
    owner,
    tell,
)
from optimizer.training.tuning.summary import count_states

FOUR = {"model.a": "choice(x, y)", "model.b": "choice(1, 2)"}
TPE = {"_target_": "optuna.samplers.TPESampler", "multivariate": True, "n_startup_trials": 3}
NSGA2 = {"_target_": "optuna.samplers.NSGAIISampler", "population_size": 3}


@pytest.mark.parametrize("storage", STORAGES, ids=["sqlite", "journal"])
def test_continued_study_keeps_its_trials_and_draws_no_parameters_twice(
    storage: str, tmp_path: Path
) -> None:
    drawn = []
    for _ in range(3):
        study, space = begin(storage.format(tmp_path))
        drawn += [params[RATE] for params in complete(study, space, 4)]
    assert len(set(drawn)) == 12
    assert states(study) == ["complete"] * 12  # none was drawn again and put aside either
    assert [trial.params[RATE] for trial in study.trials] == drawn


@pytest.mark.parametrize("sampler", [TPE, NSGA2], ids=["tpe", "nsga2"])
def test_continued_study_of_a_sampler_that_learns_goes_on(tmp_path: Path, sampler: dict) -> None:
    for _ in range(2):
        study, space = begin(journal(tmp_path), sampler=sampler)
        complete(study, space, 6)
    assert count_states(study) == {"complete": 12, "pruned": 0, "failed": 0}


def test_same_seed_draws_the_same_and_another_differs(tmp_path: Path) -> None:
    drawn = []
    for index, seed in enumerate((1, 1, 2)):
        study, space = begin(journal(tmp_path / str(index)), seed)
        drawn.append(complete(study, space, 2))
    assert drawn[0] == drawn[1] != drawn[2]


def test_trial_keeps_its_owner_and_its_values_by_key(tmp_path: Path) -> None:
    cases = {"model": {"gru": {RATE: "interval(0, 1)"}}}
    study, space = begin(journal(tmp_path), params={"model": "choice(gru)"}, cases=cases)
    drawn = draw(study, space)
    assert drawn is not None
    attrs = find(study, drawn[0].number).user_attrs
    assert attrs[OWNER] == owner()
    assert attrs[KEYS] == {"model": "gru", RATE: drawn[1][f"{RATE} (gru)"]}


@pytest.mark.parametrize("storage", STORAGES, ids=["sqlite", "journal"])
def test_orphans_are_failed_and_not_counted_and_the_living_left_alone(
    storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, space = begin(storage.format(tmp_path))
    complete(study, space, 1)
    here, born = socket.gethostname(), psutil.Process().create_time()
    owners = {
        1: owner(),  # this process
        2: f"{here}:{os.getpid()}:{born - 3600:.2f}",  # its number, given anew
        3: f"elsewhere:1:{born:.2f}",  # on another machine it may be alive
        4: f"{here}:{2**22 + 1}:{born:.2f}",  # no process has this number
    }
    for number, identity in owners.items():
        trial, _ = draw(study, space) or pytest.fail("nothing drawn")
        assert trial.number == number
        trial.set_user_attr(OWNER, identity)
    study.ask()  # its search died before it could say who it was
    study, _ = begin(storage.format(tmp_path))
    assert fail_orphans(study) == [2, 4]  # the nameless one may just be asked for
    monkeypatch.setattr("optimizer.training.tuning.study.NAMELESS_SECONDS", -1.0)
    assert fail_orphans(study) == [5]
    assert states(study) == ["complete", "running", "fail", "running", "fail", "fail"]
    assert find(study, 2).user_attrs[REASON] == "its process was ended"
    assert [trial.number for trial in counted(study)] == [0]
    assert count_states(study) == {"complete": 1, "pruned": 0, "failed": 3}
    assert fail_orphans(study) == []


def test_killed_process_that_nobody_waited_for_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    born = psutil.Process(child.pid).create_time()
    identity = f"{socket.gethostname()}:{child.pid}:{born:.2f}"
    assert is_alive(identity)
    child.kill()
    until = time.monotonic() + 20
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < until:
        time.sleep(0.01)
    assert not is_alive(identity)
    child.communicate()
    assert not is_alive(identity)


def test_exhausted_space_ends_in_none_and_repetitions_are_no_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DRAWS", 40)
    study, space = begin(journal(tmp_path), params=FOUR)
    found = complete(study, space, 3)
    last, _ = draw(study, space) or pytest.fail("nothing drawn")
    assert last.params not in found
    repeated = len(study.trials) - 4
    assert draw(study, space) is None  # the trial that still runs is known too
    assert len({tuple(params.values()) for params in [*found, last.params]}) == 4
    assert len(counted(study)) == 3
    twins = [trial for trial in study.trials if DUPLICATE in trial.user_attrs]
    assert len(twins) == repeated + 40
    for twin in twins:
        assert find(study, twin.user_attrs[DUPLICATE]).params == twin.params
        assert twin.state.name == "FAIL"
    assert count_states(study) == {"complete": 3, "pruned": 0, "failed": 0}


def test_failed_parameters_may_be_drawn_again(tmp_path: Path) -> None:
    study, space = begin(journal(tmp_path), params={"model.a": "choice(x)"})
    for _ in range(2):
        trial, params = draw(study, space) or pytest.fail("nothing drawn")
        fail(study, trial.number, "no memory")
        assert params == {"model.a": "x"}
    assert states(study) == ["fail", "fail"]


def test_enqueued_parameters_come_first_and_only_once(tmp_path: Path) -> None:
    study, space = begin(journal(tmp_path))
    assert enqueue(study, {RATE: 0.5}, "defaults")
    assert enqueue(study, {RATE: 3.0}, "champion")  # outside the range
    assert not enqueue(study, {RATE: 0.5}, "champion")  # waiting
    assert complete(study, space, 3)[:2] == [{RATE: 0.5}, {RATE: 3.0}]
    assert [trial.user_attrs.get(ENQUEUED) for trial in study.trials] == [
        "defaults",
        "champion",
        None,
    ]
    assert not enqueue(study, {RATE: 0.5}, "defaults")  # complete
    assert not enqueue(study, {RATE: 3.0}, "champion")


@pytest.mark.parametrize("state", ["failed", "pruned"])
def test_enqueued_parameters_that_never_came_to_their_end_are_tried_anew(
    state: str, tmp_path: Path
) -> None:
    study, space = begin(journal(tmp_path), params={"model.a": "choice(x)"})
    trial, params = draw(study, space) or pytest.fail("nothing drawn")
    tell(study, trial.number, state, None)
    assert enqueue(study, params, "defaults")
    again, same = draw(study, space) or pytest.fail("nothing drawn")
    assert (again.number, same) == (1, params)
    assert DUPLICATE not in find(study, 1).user_attrs


@pytest.mark.parametrize(
    ("changed", "seen"),
    [
        ("tag(log, interval(0.1, 1))", "log=True"),
        ("int(interval(0, 5))", "IntDistribution"),
        ("choice(0, 1)", "CategoricalDistribution"),
    ],
)
def test_other_distribution_names_the_key_and_offers_a_new_study(
    changed: str, seen: str, tmp_path: Path
) -> None:
    complete(*begin(journal(tmp_path)), 1)
    with pytest.raises(ConfigError) as caught:
        begin(journal(tmp_path), params={RATE: changed})
    assert caught.value.offender == f"search.params.{RATE}"
    assert seen in str(caught.value.seen)
    assert "FloatDistribution(high=1.0, log=False, low=0.0, step=None)" in str(caught.value.seen)
    assert caught.value.fix.endswith("search.study=small-2")


def test_other_range_or_key_of_the_same_study_is_allowed(tmp_path: Path) -> None:
    complete(*begin(journal(tmp_path)), 1)
    params = {RATE: "interval(2, 3)", "model.b": "choice(1, 2)"}
    ((_, found),) = [draw(*begin(journal(tmp_path), params=params)) or (None, {})]
    assert 2 <= found[RATE] <= 3


@pytest.mark.parametrize("storage", STORAGES, ids=["sqlite", "journal"])
@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (replace(SPEC, settings={"seed": "8", "split.folds": "1"}), "seed=8 (there 7)"),
        (replace(SPEC, settings={"seed": "7"}), "split.folds=None (there 1)"),
        (replace(SPEC, directions=("minimize",)), "directions=minimize (there maximize)"),
        (
            replace(SPEC, settings={"a": "1", "b": "2", "c": "3", "seed": "7", "split.folds": "1"}),
            "a=1 (there None), b=2 (there None), c=3 (there None)",
        ),
        (
            replace(SPEC, settings={"a": "1", "b": "2", "c": "3", "d": "4", "e": "5"}),
            "c=3 (there None) and 4 more",
        ),
    ],
)
def test_other_settings_are_told_with_what_they_were_and_offer_a_new_study(
    spec: module.StudySpec, told: str, storage: str, tmp_path: Path
) -> None:
    begin(storage.format(tmp_path))
    with pytest.raises(ConfigError) as caught:
        begin(storage.format(tmp_path), spec=spec)
    assert caught.value.offender == "search.study=small"
    assert str(caught.value.seen).endswith(told)
    assert caught.value.fix.endswith("search.study=small-2")
    begin(storage.format(tmp_path), spec=replace(spec, name="small-2"))  # what the fix says


@pytest.mark.parametrize("key", ["sampler", "pruner"])
def test_refused_argument_of_sampler_or_pruner_is_told(key: str, tmp_path: Path) -> None:
    node = getattr(make_search(), key) | {"nonsense": 1}
    with pytest.raises(ConfigError, match=rf"^search\.{key}: got .*'nonsense': 1"):
        begin(journal(tmp_path), **{key: node})


def test_first_word_about_a_trial_counts_and_a_job_may_say_it(tmp_path: Path) -> None:
    study, space = begin(journal(tmp_path))
    trial, _ = draw(study, space) or pytest.fail("nothing drawn")
    job = load_study(make_search(storage=journal(tmp_path)), SPEC.name)
    tell(job, trial.number, "complete", [0.5])
    fail(study, trial.number, "its worker was ended")
    found = find(study, trial.number)
    assert (found.state.name, found.values) == ("COMPLETE", [0.5])
    assert REASON not in found.user_attrs


@pytest.mark.parametrize(("direction", "best"), [("maximize", 2), ("minimize", 0)])
def test_best_trial_is_complete_and_best_in_the_direction(
    direction: str, best: int, tmp_path: Path
) -> None:
    spec = replace(SPEC, directions=(direction,))
    study, space = begin(journal(tmp_path), spec=spec)
    assert best_trial(study, spec.directions) is None
    complete(study, space, 3)
    trial, _ = draw(study, space) or pytest.fail("nothing drawn")
    trial.report(99.0 if direction == "maximize" else -99.0, 1)
    tell(study, trial.number, "pruned", None)
    assert best_trial(study, spec.directions).number == best
