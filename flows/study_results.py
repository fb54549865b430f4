"""What came of a study: its best trial scored once on the test fold, tables, pictures, MLflow."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from flows.messages import say, show_table
from flows.searching import Searching
from optimizer.core.artifacts import write_json
from optimizer.core.config_schema import ExperimentConfig
from optimizer.training.summary import tell_difference
from optimizer.training.tuning.export import write_experiment
from optimizer.training.tuning.plots import draw_study
from optimizer.training.tuning.settings import Search
from optimizer.training.tuning.study import ENQUEUED, TESTED, StudySpec, best_trial
from optimizer.training.tuning.summary import describe_study, frame_trials, trial_rows


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
        record |= score_best(searching, best, overrides, output)
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


def score_best(
    searching: Searching, best: Any, overrides: list[str], output: Path
) -> dict[str, Any]:
    """Fit the best configuration anew and score it on the test fold, once for each best trial."""
    from flows.train import train_flow

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
        tags = {"state": "tested", "of_trial": str(best.number)}
        searching.run.child(done["run_id"]).set_tags(tags)
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
            f"{test['metric']} {test['value']:.5g}, {gap:+.5g} from validation",
            tell_difference(test["difference"], f"the defaults, {test['defaults']:.5g}")
            if "difference" in test
            else "the defaults were not beaten on validation",
        )
    say(record["command"])
    if "experiment" in record:
        say(f"the same: python flows/train.py experiment={record['experiment']}")
    say(f"pictures: {at / 'study.html'}; run {record['run_id']} in {config.tracking.uri}")
