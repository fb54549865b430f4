"""A study: trials until it is complete, its best scored once on the test fold, its pictures."""

from __future__ import annotations

import shlex
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from jobs import jobs_at_once, shared_server
from messages import quiet_jobs, quiet_loggers, say, show_table
from optimizer.config import build, load_config
from optimizer.config_grammar import is_sweep
from optimizer.config_schema import ExperimentConfig
from optimizer.errors import ConfigError
from optimizer.experiment import build_components
from optimizer.io.artifacts import write_json
from optimizer.io.experiments import open_experiment
from optimizer.io.tracking import TrackedRun, continue_run, track_run
from optimizer.search.export import require_writable, write_experiment
from optimizer.search.pictures import draw_study
from optimizer.search.settings import Search
from optimizer.search.space import Space, build_space
from optimizer.search.storage import open_storage
from optimizer.search.study import (
    ENQUEUED,
    INPUTS,
    RUN,
    TESTED,
    StudySpec,
    best_trial,
    open_study,
)
from optimizer.search.summary import describe_study, frame_trials, trial_rows
from optimizer.training import primary_metric
from runners import Engine, open_engine
from searching import Searching
from steps import prepare_data, project_of

DECIDING = ("data", "quality", "features", "target", "split", "model", "imbalance", "seed")
"""Nodes of the configuration that decide what a trial scores."""

ASIDE = ("model.device", "model.distributed")
"""Keys among them that decide only where it is computed."""


def run_study(arguments: list[str], launcher: Any, hydra_config: DictConfig) -> dict[str, Any]:
    """Run or continue the study that the command line describes and return its record.

    Parameters
    ----------
    arguments : list of str
        Overrides; sweeps among them are part of the space.
    launcher : hydra.plugins.launcher.Launcher
        Starts the trials.
    hydra_config : omegaconf.DictConfig
        Gives the directory of the sweep.
    """
    quiet_loggers()
    fixed = [one for one in arguments if not is_sweep(one)]
    config = load_config(fixed)
    search = require_search(config)
    settled = dict(one.lstrip("+").split("=", 1) for one in fixed if "=" in one)
    space = build_space(search, [one for one in arguments if is_sweep(one)], settled)
    for key in sorted(settled.keys() & {*search.params, *typed_keys(search)}):
        say(f"{key}={settled[key]} is given: it is not searched")
    check_space(space, fixed)
    if search.save:
        require_writable(fixed)
    open_storage(search.storage)
    output = Path(hydra_config.hydra.sweep.dir)
    output.mkdir(parents=True, exist_ok=True)
    with shared_server(), open_engine(config.runner) as engine:
        launcher.engine = engine
        spec, inputs = prepare_study(config, search, space, engine, settled)
        study = open_study(search, spec, space, config.seed)
        study.set_user_attr(INPUTS, [[ref.path, ref.sha256] for ref in inputs])
        with study_run(config, study) as run:
            study.set_user_attr(RUN, run.run_id)
            searching = Searching(study, search, space, fixed, config, run, launcher)
            searching.prepare(registered_name(config))
            with quiet_jobs():
                seconds = searching.exhaust(jobs_at_once(hydra_config, engine))
            return finish_study(searching, spec, seconds, output)


def require_search(config: ExperimentConfig) -> Search:
    """Return the search of a configuration.

    Raises
    ------
    ConfigError
        It has none, or the search's own settings are wrong.
    """
    if not config.search:
        raise ConfigError(
            "search",
            seen="none",
            allowed="lightgbm, xgboost, catboost, lstm, gru, all",
            fix="add search=lightgbm",
        )
    search: Search = build(config.search, "search")
    return search


def check_space(space: Space, fixed: list[str]) -> None:
    """Compose and build every choice and both ends of every range, before the first trial.

    Raises
    ------
    ConfigError
        A key does not exist, or refuses a value.
    """
    for overrides in space.samples():
        build_components(load_config([*fixed, *overrides]))


def prepare_study(
    config: ExperimentConfig,
    search: Search,
    space: Space,
    engine: Engine,
    settled: dict[str, str],
) -> tuple[StudySpec, tuple[Any, Any]]:
    """Return what the study is about and the data of its trials, computed once for all of them."""
    parts = build_components(config)
    inputs, _ = prepare_data(config, parts, project_of(config, parts.source.name), engine)
    experiment = open_experiment(config, *inputs, search.folds)
    sign = primary_metric(experiment.recipe.task)[1]
    quality = "maximize" if sign > 0 else "minimize"
    directions = tuple(quality if one == "quality" else "minimize" for one in search.objectives)
    settings = deciding_values(config, space)
    settings |= {"search.folds": str(search.folds), "data content": inputs[0].sha256[:12]}
    settings |= settled_values(space, settled) | {"search.reports": str(search.reports)}
    if "seconds" in search.objectives:
        settings["threads"] = str(config.threads)
    target, data = config.choices["target"], parts.source.name
    name = search.study or f"{config.choices['search']}-{target}-{data}"
    return StudySpec(name, directions, settings), inputs


def deciding_values(config: ExperimentConfig, space: Space) -> dict[str, str]:
    """Return everything that is not searched and decides what a trial scores, flat."""
    searched = {domain.key for domain in space.domains}
    whole = {key for key in searched if "." not in key}
    found = {}
    for key, value in {**config.flatten(), **config.choices}.items():
        head = key.split(".")[0]
        if head in DECIDING and head not in whole and key not in {*searched, *ASIDE}:
            found[key] = str(value)
    return found


def settled_values(space: Space, settled: dict[str, str]) -> dict[str, str]:
    """Return the values given for keys of a group whose choice is searched."""
    searched = {domain.key for domain in space.domains}
    groups = tuple(f"{key}." for key in searched if "." not in key)
    return {key: text for key, text in settled.items() if groups and key.startswith(groups)}


def typed_keys(search: Search) -> set[str]:
    """Return the keys that exist under some choice only."""
    choices = [params for cases in search.cases.values() for params in cases.values()]
    return {key for params in choices for key in params}


def registered_name(config: ExperimentConfig) -> str:
    """Return the name that models of this configuration are registered under."""
    data = build(config.data, "data").name
    return config.registry.name or f"{config.choices['target']}-{data}"


def study_run(config: ExperimentConfig, study: Any) -> AbstractContextManager[TrackedRun]:
    """Return the study's run in MLflow, opened again if the study is continued."""
    tracking, known = config.tracking, study.user_attrs.get(RUN)
    if known is not None:
        return continue_run(tracking.uri, tracking.experiment, known)
    return track_run(tracking.uri, tracking.experiment, study.study_name, tracking.parent)


def finish_study(
    searching: Searching, spec: StudySpec, seconds: float, output: Path
) -> dict[str, Any]:
    """Print and draw the study, score its best trial on the test fold and return the record."""
    study, search, run = searching.study, searching.search, searching.run
    record = describe_study(study, spec.directions) | {"seconds": seconds}
    head, rows = trial_rows(study, search.objectives, spec.directions)
    trials = frame_trials(study, search.objectives)
    trials.to_csv(output / "trials.csv", index=False)
    best = best_trial(study, spec.directions)
    if best is not None:
        front = ", * on the Pareto front" if len(search.objectives) > 1 else ""
        title = f"study {study.study_name}, the best {len(rows)} complete trials{front}"
        show_table(title, head, rows)
        overrides = plain_overrides(searching, best.params)
        record["command"] = shlex.join(["python", "flows/train.py", *overrides])
        record |= test_best(searching, best, overrides, output)
        if search.save:
            told = f"Trial {best.number} of {len(trials)} of study {study.study_name}"
            figure = f"{search.objectives[0]} {best.values[0]:.5g} on validation"
            write_experiment(study.study_name, overrides, f"{told}: {figure}.")
            record["experiment"] = study.study_name
    pictures = draw_study(study, search.objectives, output)
    write_json(output / "study.json", record)
    for path in (*pictures, output / "trials.csv", output / "study.json"):
        run.log_file(path)
    counts = record["trials"]
    run.log_metrics({f"n_{state}": count for state, count in counts.items()})
    if best is not None:
        run.log_metrics({"best_value": best.values[0]})
    record["run_id"] = run.run_id
    tell_study(record, search, searching.config, output)
    if best is None:
        raise SystemExit(1)
    return record


def plain_overrides(searching: Searching, params: dict[str, Any] | None) -> list[str]:
    """Return a trial as overrides of a plain training; without parameters, the defaults."""
    kept = [one for one in searching.fixed if not one.lstrip("+").startswith(("search", "runner"))]
    searched = [] if params is None else searching.space.overrides(params)
    named = {one.split("=")[0].lstrip("+") for one in (*kept, *searched)}
    # The model of a search is part of it, also where it is not among its parameters.
    model = [] if "model" in named else [f"model={searching.config.choices['model']}"]
    return [*kept, *model, *searched]


def test_best(
    searching: Searching, best: Any, overrides: list[str], output: Path
) -> dict[str, Any]:
    """Fit the best configuration anew and score it on the test fold, once for each best trial."""
    from train import train_flow

    study = searching.study
    key = f"{TESTED}:{best.number}"  # one attribute each: several processes may add theirs
    if key not in study.user_attrs:
        home = output / "best"
        home.mkdir(exist_ok=True)
        own = best.user_attrs.get(ENQUEUED) == "defaults"
        rival = None if own else plain_overrides(searching, None)
        parent = f"tracking.parent={searching.run.run_id}"
        done = train_flow([*overrides, parent], str(home), rival)
        study.set_user_attr(key, _test_record(done))
        searching.run.tag_child(done["run_id"], {"state": "tested", "of_trial": str(best.number)})
    attrs = study.user_attrs
    looks = sum(name.startswith(f"{TESTED}:") for name in attrs)
    return {"test": attrs[key], "looks_at_test": looks}


def _test_record(done: dict[str, Any]) -> dict[str, Any]:
    """Return what a study keeps of its best trial's training."""
    metric, against = done["metric"], done.get("against_defaults")
    record = {"metric": metric, "run_id": done["run_id"], "value": done["model"][metric]}
    for bound in ("lower", "upper"):
        record[bound] = done["model"].get(f"{metric}_{bound}")
    if against is not None:
        record |= {"defaults": against["figures"][metric], "difference": against["difference"]}
    return record


def tell_study(record: dict[str, Any], search: Search, config: ExperimentConfig, at: Path) -> None:
    """Print what was tried, what came of it on validation and on test, and what to do next."""
    counts = record["trials"]
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    say(
        f"study {record['study']}: {sum(counts.values())} trials tried ({told}), "
        f"{record['seconds']:.0f} s in this run",
    )
    if "best" not in record:
        say("no trial was completed: nothing to choose")
        return
    best, test = record["best"], record["test"]
    validation = best["values"][0]
    others = [f"{one} {record[one]:.5g}" for one in ("defaults", "champion") if one in record]
    beside = f" ({', '.join(others)})" if others else ""
    say(f"best: trial {best['trial']}, validation {validation:.5g}{beside}")
    if search.objectives[0] == "quality":
        gap = test["value"] - validation
        say(
            f"test fold, seen by {record['looks_at_test']} configuration(s) of this study: "
            f"{test['metric']} {test['value']:.5g}, {gap:+.5g} from validation; "
            + tell_against(test)
        )
    say(record["command"])
    if "experiment" in record:
        say(f"the same: python flows/train.py experiment={record['experiment']}")
    say(f"pictures: {at / 'study.html'}; run {record['run_id']} in {config.tracking.uri}")


def tell_against(test: dict[str, Any]) -> str:
    """Return one line: the best trial against the defaults on the test fold."""
    difference = test.get("difference")
    if difference is None:
        return "the defaults were not beaten on validation"
    parts = [
        f"{key.replace('_', ' ')} {value:+.4f} "
        f"[{difference.get(f'{key}_lower', float('nan')):+.4f}, "
        f"{difference.get(f'{key}_upper', float('nan')):+.4f}]"
        for key, value in difference.items()
        if key.startswith(("average_precision_gain", "pinball_change"))
        and not key.endswith(("_lower", "_upper"))
    ]
    return f"defaults {test['defaults']:.5g}: {', '.join(parts)}"
