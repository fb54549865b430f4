"""What the tests of searches share: small searches, studies in a directory, and trials told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from optimizer.training.tuning.settings import Search
from optimizer.training.tuning.space import Params, Space, build_space
from optimizer.training.tuning.study import StudySpec, draw, open_study, tell

STORAGES = ["sqlite:///{}/studies.db", "journal:{}/studies.log"]
RATE, LEAVES, WINDOW = "model.learning_rate", "model.num_leaves", "model.window"
SPEC = StudySpec("small", ("maximize",), {"seed": "7", "split.folds": "1"})


def make_search(**changes: Any) -> Search:
    """Return a search of one number with random draws and no pruner."""
    settings = {
        "params": {RATE: "interval(0.0, 1.0)"},
        "sampler": {"_target_": "optuna.samplers.RandomSampler"},
        "pruner": {"_target_": "optuna.pruners.NopPruner"},
    }
    return Search(**(settings | changes))


def begin(storage: str, seed: int = 7, spec: StudySpec = SPEC, **changes: Any) -> tuple[Any, Space]:
    """Return a study, begun or continued, and its space."""
    search = make_search(storage=storage, **changes)
    space = build_space(search, [])
    return open_study(search, spec, space, seed), space


def journal(home: Path) -> str:
    """Return the storage that opens fastest."""
    return STORAGES[1].format(home)


def complete(study: Any, space: Space, count: int) -> list[Params]:
    """Draw trials, complete each with its number as value, and return their parameters."""
    found = []
    for _ in range(count):
        drawn = draw(study, space)
        assert drawn is not None
        trial, params = drawn
        tell(study, trial.number, "complete", [float(trial.number)])
        found.append(params)
    return found


def states(study: Any) -> list[str]:
    """Return the states of the trials, in order."""
    return [trial.state.name.lower() for trial in study.get_trials(deepcopy=False)]
