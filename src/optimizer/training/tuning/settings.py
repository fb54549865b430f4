"""What a search is told: its space, how trials are drawn, scored, stopped and kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from optimizer.core.durations import parse_duration
from optimizer.core.errors import ConfigError
from optimizer.core.validation import require_choice, require_count

OBJECTIVES = ("quality", "seconds", "size")
"""Validation figure of the target; time of training; size of the saved model in bytes."""
KNOWN = ("defaults", "champion")


@dataclass(frozen=True)
class Search:
    """A hyperparameter search.

    Parameters
    ----------
    params : dict
        Texts of Hydra's sweep grammar by key, for example
        ``{"model.learning_rate": "tag(log, interval(0.01, 0.2))"}``.
    sampler, pruner : dict
        ``_target_`` and arguments of an Optuna class each.
    cases : dict
        Further params that exist under one choice only, as
        ``{"model": {"lightgbm": {key: text}}}``; one group at most.
    study : str, optional
        Its name; ``<search>-<target>-<data>`` if absent. A study that exists is continued.
    storage : str
        ``sqlite:///…``, ``postgresql+psycopg://…`` or ``journal:<file>``.
    n_trials : int
        Complete and pruned trials that the study shall have.
    n_jobs : int, optional
        Trials in flight; as many as the launcher runs at a time if absent.
    objectives : tuple of str
        The first decides; several give a Pareto front and are never pruned.
    folds : int
        Validation folds of the rolling origin that a trial is scored on, all before the test.
    trial_timeout : str, optional
        A trial that takes longer fails.
    max_failures : int
        Failed trials of one run after which it gives up.
    enqueue : tuple of str
        What is tried first: ``defaults`` (the values without the search), ``champion``.
    reports : int
        Times that a training of one fold tells how it goes.
    save : bool
        Write the best trial to ``conf/experiment/<study>.yaml``.
    """

    params: dict[str, str]
    sampler: dict[str, Any]
    pruner: dict[str, Any]
    cases: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    study: str | None = None
    storage: str = "sqlite:///studies.db"
    n_trials: int = 30
    n_jobs: int | None = None
    objectives: tuple[str, ...] = ("quality",)
    folds: int = 2
    trial_timeout: str | None = None
    max_failures: int = 10
    enqueue: tuple[str, ...] = KNOWN
    reports: int = 20
    save: bool = False

    def __post_init__(self) -> None:
        """Check the settings."""
        counts = {"n_trials": 30, "n_jobs": 1, "folds": 2, "max_failures": 10, "reports": 20}
        for key, usual in counts.items():
            if getattr(self, key) is not None or key != "n_jobs":
                require_count(f"search.{key}", getattr(self, key), 1, fix=usual)
        for key, allowed in (("objectives", OBJECTIVES), ("enqueue", KNOWN)):
            given = getattr(self, key)
            values = (given,) if isinstance(given, str) else tuple(given)
            object.__setattr__(self, key, values)
            for value in values:
                require_choice(f"search.{key}", value, allowed)
        if not self.objectives or len(set(self.objectives)) < len(self.objectives):
            raise ConfigError(
                "search.objectives",
                seen=list(self.objectives),
                allowed="one or several different ones",
                fix="set search.objectives=[quality]",
            )
        if self.trial_timeout is not None:
            parse_duration(self.trial_timeout, "search.trial_timeout")
        if len(self.cases) > 1:
            raise ConfigError(
                "search.cases",
                seen=", ".join(self.cases),
                allowed="the choices of one group",
                fix="leave one group there",
            )

    @property
    def timeout_seconds(self) -> float | None:
        """Seconds that a trial may take."""
        if self.trial_timeout is None:
            return None
        return parse_duration(self.trial_timeout, "search.trial_timeout").total_seconds()

    @property
    def keys(self) -> set[str]:
        """The keys that it may search, under whatever choice."""
        choices = [params for cases in self.cases.values() for params in cases.values()]
        return {*self.params, *(key for params in choices for key in params)}

    @property
    def prunes(self) -> bool:
        """Whether trials may be stopped early: Optuna compares one objective only."""
        return len(self.objectives) == 1
