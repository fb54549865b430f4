"""Train a model on telemetry: ``python flows/train.py model=lstm imbalance=focal``.

Hydra composes the choices, Prefect runs the steps, MLflow keeps what happened. With ``-m`` it
trains a grid of choices, or searches with ``hydra/sweeper=optuna search=lightgbm``. The surface of
right-sizing policies is a target too: ``target=exceedance`` or ``target=exceedance_memory``.
"""

from __future__ import annotations

from flows import environment  # noqa: F401 - what Prefect reads when it is imported

# isort: split

import time
from typing import Any

from omegaconf import DictConfig
from prefect import flow

from flows.command import (
    Prepared,
    command,
    is_multirun,
    output_directory,
    quiet_loggers,
    running_config,
    start_flow,
)
from flows.engine import open_engine
from flows.server import shared_server
from flows.tasks.caching import as_is
from flows.tasks.fit import train_fold
from flows.tasks.store import prepare_inputs
from flows.tasks.track import log_run
from optimizer.core.artifacts import code_digest
from optimizer.core.config import load_config
from optimizer.core.config_schema import ExperimentConfig
from optimizer.delivery.console.training import show_training
from optimizer.training.experiment import Components, build_components, refuse_search
from optimizer.training.runs.opening import open_training
from optimizer.training.tracking.mlflow_run import track_config


@flow(name="train", flow_run_name="train", validate_parameters=False)
def train_flow(
    overrides: list[str] | None = None,
    output_dir: str | None = None,
    reference: list[str] | None = None,
    prepared: Prepared[Components] | None = None,
) -> dict[str, Any]:
    """Train, evaluate, track and register one model.

    Returns what ``metrics.json`` holds.

    - ``overrides``: Hydra overrides, for example ``["model=lstm", "imbalance=focal"]``.
    - ``output_dir``: where ``metrics.json``, ``predictions.parquet`` and ``plots/`` go; a directory
      under ``outputs/`` if absent.
    - ``reference``: overrides of another model to compare with on the same test rows.
    """
    began = time.perf_counter()
    other = None if reference is None else load_config(reference)
    ready, output = start_flow(prepared, build_components, overrides, output_dir, "train")
    config, parts = ready.config, ready.parts
    name = "-".join(config.choices[key] for key in ("model", "imbalance", "target"))
    with open_engine(config.runner) as engine, track_config(config, name) as run:
        inputs, cached = prepare_inputs(config, parts, engine)
        training = open_training(config, parts, inputs, other)
        tags = {"data_sha256": inputs[0].sha256, "code_digest": code_digest(), **training.tags}
        run.set_tags(tags)
        folds = [train_fold(training, index, engine) for index in range(training.n_folds)]
        results = [result for result, _ in folds]
        record = training.describe(results) | {
            "data_sha256": inputs[0].sha256,
            "run_id": run.run_id,
            "overrides": config.overrides,
            "cached": cached,
        }
        record["registry"] = training.enter(run, results[-1], tags)
        record["seconds"] = {
            "total": time.perf_counter() - began,
            **{part: sum(spent[part] for _, spent in folds) for part in ("fit", "evaluate")},
        }
        training.write(output, results, record)
        log_run(as_is(run), output, inputs[0].directory, as_is(record))
    show_training(training, record, output)
    return record


def job(composed: DictConfig) -> Any:
    """Train what Hydra has composed, alone or as a job of a sweep."""
    config = running_config(composed)
    if is_multirun():  # the sweep tells of errors, and goes on with the other jobs
        return run_job(config, str(output_directory()))
    refuse_search(config)
    prepared = Prepared(config, build_components(config))
    with shared_server():
        return train_flow(config.overrides, str(output_directory()), None, prepared)


def run_job(config: ExperimentConfig, output_dir: str) -> Any:
    """Run one job of a sweep: a trial of a search, or a whole training."""
    quiet_loggers()
    if config.trial.number is not None:
        from flows.trial import run_trial

        return run_trial(config)
    return train_flow(
        config.overrides, output_dir, None, Prepared(config, build_components(config))
    )


main = command(job)

if __name__ == "__main__":
    main()
