"""A study: opened or continued, with trials that died marked failed and none drawn twice."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from optimizer.core.config import build
from optimizer.core.errors import ConfigError
from optimizer.training.tuning.domains import Domain
from optimizer.training.tuning.settings import Search
from optimizer.training.tuning.space import Params, Space
from optimizer.training.tuning.storage import open_storage

OWNER, ENQUEUED, DUPLICATE, REASON = "owner", "enqueued", "duplicate_of", "reason"
RUN, KEYS, FIT_SECONDS = "run_id", "values", "fit_seconds"
"""Attributes of a trial: its run in MLflow; its values by key; how long it was fitted."""
SETTINGS, DIRECTIONS, INPUTS, TESTED = "settings", "directions", "inputs", "tested"
"""Attributes of a study; the last: what was scored on the test fold, and when."""
NAMELESS_SECONDS = 60.0
"""Age at which a trial that no process has put its name to counts as dead."""
DRAWS = 100
"""Draws of a sampler until a space counts as exhausted."""


@dataclass(frozen=True)
class StudySpec:
    """What a study is about; the same in every run that continues it.

    ``name``: its name in the storage. ``directions``: ``maximize`` or ``minimize`` per objective.
    ``settings``: everything that is not searched and decides the figures, flat.
    """

    name: str
    directions: tuple[str, ...]
    settings: dict[str, str]


def open_study(search: Search, spec: StudySpec, space: Space, seed: int) -> Any:
    """Return the study of a search, begun or continued.

    A continued study draws with another seed: the first one would repeat its draws. Raises
    ConfigError: the study that exists has other distributions or settings, or sampler or pruner
    refuse their arguments; StoreError: the storage cannot be opened.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = build_quietly(search.pruner, "search.pruner")
    storage = open_storage(search.storage)
    study = optuna.create_study(
        storage=storage,
        study_name=spec.name,
        directions=list(spec.directions),
        pruner=pruner,
        load_if_exists=True,
    )
    if study.trials:
        _check_distributions(study, space)
    for key, value in {SETTINGS: spec.settings, DIRECTIONS: list(spec.directions)}.items():
        if key not in study.user_attrs:
            study.set_user_attr(key, value)
    _check_settings(study, spec)
    study.sampler = build_sampler(search, seed + len(study.trials))
    return study


def load_study(search: Search, name: str) -> Any:
    """Return a study as a trial's job needs it: to report, to ask whether to go on, to tell."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = build_quietly(search.pruner, "search.pruner")
    return optuna.load_study(study_name=name, storage=open_storage(search.storage), pruner=pruner)


def build_sampler(search: Search, seed: int) -> Any:
    """Return the sampler, seeded if it can be."""
    return build_quietly(search.sampler | {"seed": seed}, "search.sampler")


def build_quietly(node: dict[str, Any], key: str) -> Any:
    """Build one of Optuna's objects without its notes on what is experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build(node, key)


def owner() -> str:
    """Return what tells this process from all others, dead ones too: host, id and birth."""
    import psutil

    process = psutil.Process()
    return f"{socket.gethostname()}:{process.pid}:{process.create_time():.2f}"


def is_alive(identity: str) -> bool:
    """Tell whether the process of an identity may still run; on another host it may."""
    import psutil

    host, pid, birth = identity.rsplit(":", 2)
    if host != socket.gethostname():
        return True
    try:
        process = psutil.Process(int(pid))
        # The system may tell a birth a second off after its clock was set.
        same = abs(process.create_time() - float(birth)) < 2.0
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def fail_orphans(study: Any) -> list[int]:
    """Mark trials whose search has died as failed, and return their numbers."""
    from optuna.trial import TrialState

    found = []
    for trial in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
        named = trial.user_attrs.get(OWNER)
        age = (datetime.now() - trial.datetime_start).total_seconds()
        if not is_alive(named) if named else age > NAMELESS_SECONDS:
            fail(study, trial.number, "its process was ended")
            found.append(trial.number)
    return found


def fail(study: Any, number: int, reason: str) -> None:
    """Mark a trial as failed, for a reason."""
    trial = attach(study, number)
    if not find(study, number).state.is_finished():
        trial.set_user_attr(REASON, reason)
    tell(study, number, "failed", None)


def attach(study: Any, number: int) -> Any:
    """Return a trial of the study to report to, from any process."""
    from optuna.trial import Trial

    return Trial(study, find(study, number)._trial_id)


def find(study: Any, number: int) -> Any:
    """Return what the storage holds of a trial."""
    return next(one for one in study.get_trials(deepcopy=False) if one.number == number)


def tell(study: Any, number: int, state: str, values: Sequence[float] | None) -> None:
    """Tell how a trial ended: ``complete``, ``pruned`` or ``failed``; the first word counts."""
    from optuna.trial import TrialState

    known = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
    study.tell(number, values, state=known.get(state, TrialState.FAIL), skip_if_finished=True)


def counted(study: Any) -> list[Any]:
    """Return the complete and pruned trials, in order."""
    from optuna.trial import TrialState

    return list(study.get_trials(deepcopy=False, states=[TrialState.COMPLETE, TrialState.PRUNED]))


def count_elsewhere(study: Any) -> int:
    """Return how many trials other living processes are running."""
    from optuna.trial import TrialState

    running = study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
    owners = [trial.user_attrs.get(OWNER, "") for trial in running]
    return sum(one not in ("", owner()) and is_alive(one) for one in owners)


def draw(study: Any, space: Space) -> tuple[Any, Params] | None:
    """Return a new trial with parameters that no counted or running trial has.

    The trial and its parameters; None if the sampler has nothing new to offer.
    """
    from optuna.trial import TrialState

    known: dict[tuple[Any, ...], Any] = {}
    for old in study.get_trials(deepcopy=False):
        if old.state not in (TrialState.FAIL, TrialState.WAITING):
            known[_identity(old.params)] = old
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Fixed parameter")
        for _ in range(DRAWS):
            trial = study.ask()
            trial.set_user_attr(OWNER, owner())
            params = space.suggest(trial)
            trial.set_user_attr(KEYS, space.by_key(params))
            twin = known.get(_identity(params))
            # What was enqueued is trained to its end, also if the same was pruned before.
            spared = twin is not None and twin.state == TrialState.PRUNED
            if twin is None or (spared and ENQUEUED in trial.user_attrs):
                return trial, params
            trial.set_user_attr(DUPLICATE, twin.number)
            fail(study, trial.number, f"a repetition of trial {twin.number}")
    return None


def enqueue(study: Any, params: Params, name: str) -> bool:
    """Put parameters before all that the sampler draws, unless they are known already."""
    from optuna.trial import TrialState

    known = (TrialState.COMPLETE, TrialState.WAITING)
    for trial in study.get_trials(deepcopy=False, states=known):
        fixed = trial.system_attrs.get("fixed_params", {}) | trial.params
        if _identity(fixed) == _identity(params):
            return False
    study.enqueue_trial(params, user_attrs={ENQUEUED: name})
    return True


def _identity(params: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(sorted(params.items()))


def _check_distributions(study: Any, space: Space) -> None:
    """Raise if a domain is not of the kind that the study has under its name."""
    from optuna.distributions import check_distribution_compatibility

    stored: dict[str, Any] = {}
    for trial in study.get_trials(deepcopy=False):
        stored |= trial.distributions
    for domain in space.domains:
        if domain.name not in stored:
            continue
        try:
            check_distribution_compatibility(stored[domain.name], domain.distribution)
        except ValueError as error:
            raise ConfigError(
                f"search.params.{domain.key}",
                seen=f"{format_domain(domain)}, but {stored[domain.name]} in study "
                f"{study.study_name!r}",
                allowed="the distribution that the study was begun with",
                fix=f"restore it, or begin a new study: search.study={study.study_name}-2",
            ) from error


def _check_settings(study: Any, spec: StudySpec) -> None:
    """Raise if figures of today could not be compared with those of the study."""
    before = study.user_attrs[SETTINGS]
    now = spec.settings | {"directions": ", ".join(spec.directions)}
    before = before | {"directions": ", ".join(study.user_attrs[DIRECTIONS])}
    changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    if not changed:
        return
    told = [f"{key}={now.get(key)} (there {before.get(key)})" for key in changed[:3]]
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    raise ConfigError(
        f"search.study={study.study_name}",
        seen=f"{', '.join(told)}{more}",
        allowed="the settings and data that the study was begun with",
        fix=f"restore them, or begin a new study: search.study={study.study_name}-2",
    )


def format_domain(domain: Domain) -> str:
    """Return a domain in words."""
    return str(domain.distribution)


def best_trial(study: Any, directions: Sequence[str]) -> Any | None:
    """Return the complete trial with the best first value, None without one."""
    from optuna.trial import TrialState

    done: Iterable[Any] = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    sign = 1 if directions[0] == "maximize" else -1
    return max(done, key=lambda trial: sign * trial.values[0], default=None)
