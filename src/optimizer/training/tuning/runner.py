"""The loop of a study: what is tried first, batches of trials, and what is done with the dead."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.errors import format_error
from optimizer.models.base import available_cores
from optimizer.training.tracking.mlflow_run import TrackedRun
from optimizer.training.tracking.registry import champion_values
from optimizer.training.tuning.settings import Search
from optimizer.training.tuning.space import Space
from optimizer.training.tuning.study import (
    KEYS,
    REASON,
    RUN,
    count_elsewhere,
    counted,
    draw,
    enqueue,
    fail,
    fail_orphans,
    find,
)
from optimizer.training.tuning.summary import count_states, format_params


@dataclass(frozen=True)
class StudyRunner:
    """A study under way.

    ``fixed``: overrides that all trials share. ``launch``: runs jobs, given as lists of overrides
    and the number of the first, and returns what each returned or raised.
    """

    study: Any
    search: Search
    space: Space
    fixed: list[str]
    config: ExperimentConfig
    run: TrackedRun
    launch: Callable[[list[list[str]], int], list[Any]]
    tell: Callable[[str], None]

    def prepare(self, registered: str) -> None:
        """Mark trials of a search that died as failed; enqueue the defaults and the champion."""
        for number in fail_orphans(self.study):
            self._close_run(number)
            self.tell(
                f"trial {number}: failed, the search that ran it was ended; it does not count"
            )
        if len(counted(self.study)) >= self.search.n_trials:
            return
        sources = {
            "defaults": {**self.config.flatten(), **self.config.choices},
            "champion": _by_key(champion_values(self.run, registered)),
        }
        for name in self.search.enqueue:
            values = sources[name]
            if values and self._enqueue(name, values):
                self.tell(f"{name}: tried before all else")

    def _enqueue(self, name: str, values: dict[str, Any]) -> bool:
        """Enqueue a configuration if it lies in the space, and say why not otherwise."""
        searched = {domain.key for domain in self.space.domains}
        for group in ("model", "imbalance"):
            mine = self.config.choices[group]
            if group not in searched and values.get(group, mine) != mine:
                self.tell(
                    f"{name}: not tried, it has {group}={values[group]}, which is not searched"
                )
                return False
        try:
            return enqueue(self.study, self.space.read(values), name)
        except LookupError as missing:
            self.tell(f"{name}: not tried, the space does not hold its {missing}")
            return False

    def run_trials(self, at_once: int) -> float:
        """Run trials until the study has as many as it shall have; return the seconds it took.

        Failed trials do not count; too many of them end the search.
        """
        began, failures = time.perf_counter(), 0
        at_once = self.search.n_jobs or at_once
        while (left := self._left()) > 0:
            batch = []
            for _ in range(min(left, at_once)):
                drawn = draw(self.study, self.space)
                if drawn is not None:
                    batch.append(drawn)
            if not batch:
                self.tell("the sampler has nothing new to offer: the space is exhausted")
                break
            failures += self._run_batch(batch, at_once)
            if failures >= self.search.max_failures:
                self.tell(f"given up after {failures} failed trials (search.max_failures)")
                break
        return time.perf_counter() - began

    def _left(self) -> int:
        """Return how many trials are missing that nobody runs."""
        done = len(counted(self.study)) + count_elsewhere(self.study)
        return self.search.n_trials - done

    def _run_batch(self, batch: Sequence[tuple[Any, dict[str, Any]]], at_once: int) -> int:
        """Run trials side by side and return how many failed."""
        shared = job_overrides(self.fixed, at_once, self.config.threads)
        jobs = [
            [
                *shared,
                *self.space.overrides(params),
                f"trial.number={trial.number}",
                f"trial.study='{self.study.study_name}'",
                f"tracking.parent={self.run.run_id}",
            ]
            for trial, params in batch
        ]
        try:
            raised = self.launch(jobs, batch[0][0].number)
        except Exception as error:  # noqa: BLE001 - a pool of workers may break in any way
            raised = [error] * len(batch)
        failed = 0
        for (trial, params), outcome in zip(batch, raised, strict=True):
            broken = isinstance(outcome, BaseException)
            reason = format_error(outcome) if broken else "its worker was ended"
            fail(self.study, trial.number, reason)  # of a finished trial the first word counts
            failed += self._report(trial.number, params)
        return failed

    def _report(self, number: int, params: dict[str, Any]) -> bool:
        """Print how a trial ended; return whether it failed."""
        found = find(self.study, number)
        state = {"FAIL": "failed"}.get(found.state.name, found.state.name.lower())
        told = ", ".join(f"{value:.5g}" for value in found.values or [])
        if state == "pruned":
            share = (found.last_step or 0) / (self.search.reports * self.search.folds)
            told = f"after {share:.0%} of its training"
        seconds = found.duration.total_seconds() if found.duration else 0.0
        counts = count_states(self.study)
        self.tell(
            f"[{counts['complete'] + counts['pruned']}/{self.search.n_trials}] trial {number}: "
            f"{state} {told or found.user_attrs.get(REASON, '')} in {seconds:.1f} s  "
            f"{format_params(self.space.by_key(params))}"
        )
        if state == "failed":
            self._close_run(number)
        return bool(state == "failed")

    def _close_run(self, number: int) -> None:
        """Leave a failed trial's run in MLflow as failed, made now if the trial never began."""
        attrs = find(self.study, number).user_attrs
        tags = {"trial": str(number), "study": self.study.study_name, "state": "failed"}
        tags["error"] = attrs.get(REASON, "")
        if RUN in attrs:
            run = self.run.child(attrs[RUN])
        else:  # it never came to make one
            run = self.run.begin_child(f"trial-{number}")
            run.log_params(attrs.get(KEYS, {}))
        run.end("FAILED", tags)


def _by_key(params: dict[str, str]) -> dict[str, Any]:
    """Return a run's flat parameters with its choices under the names of their groups."""
    chosen = {k.removeprefix("choices."): v for k, v in params.items() if k.startswith("choices.")}
    return {**params, **chosen}


def plain_overrides(runner: StudyRunner, params: dict[str, Any] | None) -> list[str]:
    """Return a trial as overrides of a plain training; without parameters, the defaults."""
    kept = [one for one in runner.fixed if not one.lstrip("+").startswith(("search", "runner"))]
    searched = [] if params is None else runner.space.overrides(params)
    named = {one.split("=")[0].lstrip("+") for one in (*kept, *searched)}
    # The model of a search is part of it, also where it is not among its parameters.
    model = [] if "model" in named else [f"model={runner.config.choices['model']}"]
    return [*kept, *model, *searched]


def tested_record(done: dict[str, Any]) -> dict[str, Any]:
    """Return what a study keeps of its best trial's training."""
    metric, against = done["metric"], done.get("against_defaults")
    record = {"metric": metric, "run_id": done["run_id"], "value": done["model"][metric]}
    for bound in ("lower", "upper"):
        record[bound] = done["model"].get(f"{metric}_{bound}")
    if against is not None:
        record |= {"defaults": against["figures"][metric], "difference": against["difference"]}
    return record


OURS = ("runner", "threads")
"""Keys of the command line that a sweep decides for its jobs."""


def job_overrides(overrides: Sequence[str], at_once: int, threads: int | None) -> list[str]:
    """Return the overrides of a job: no engine of its own, and its share of the cores."""
    kept = [one for one in overrides if one.lstrip("+").split("=")[0].split(".")[0] not in OURS]
    share = threads or (available_cores() // at_once or 1 if at_once > 1 else None)
    return kept if share is None else [*kept, f"threads={share}"]
