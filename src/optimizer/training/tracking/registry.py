"""The model registry: pyfunc models under ``<target>-<data name>``, challenger and champion."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from optimizer.core.artifacts import LOCK_FILE
from optimizer.core.errors import StateError, TrackingError, first_line
from optimizer.core.schema import CANONICAL, CLUSTER, LABELS, REQUIRED, SERVICE, TIMESTAMP
from optimizer.models.exceedance.fitted import TrainedSurface
from optimizer.training.tracking.bundle import FORMAT, Trained, read_bundle, write_bundle
from optimizer.training.tracking.mlflow_run import TrackedRun

logger = logging.getLogger(__name__)

CHAMPION, CHALLENGER = "champion", "challenger"
BUNDLE = "bundle"
"""Name of a model's directory; MLflow puts it below ``data``."""
LIBRARIES = (
    "bottleneck", "catboost", "holidays", "lightgbm", "numpy", "pandas",
    "pytorch-lightning", "scikit-learn", "scipy", "torch", "xgboost",
)  # fmt: skip
"""What a model may need at prediction; pinned from the lock file, since inferring takes seconds."""


class UnreadableModelError(TrackingError):
    """A registered version that the present code cannot read: it is to be trained again."""


@dataclass(frozen=True)
class Version:
    """A registered model version.

    Parameters
    ----------
    name : str
        Registered name.
    version : str
        MLflow's number.
    run_id : str
        The run that made it.
    """

    name: str
    version: str
    run_id: str


@dataclass(frozen=True)
class LoggedModel:
    """A model that lies in a run and may be registered.

    Parameters
    ----------
    uri, model_id : str
        MLflow's.
    run_id : str
        The run that made it.
    """

    uri: str
    model_id: str
    run_id: str


def log_model(run: TrackedRun, trained: Trained) -> LoggedModel:
    """Log the model, which predicts from canonical telemetry, as pyfunc into an open run."""
    with TemporaryDirectory() as draft:
        bundle = Path(draft) / BUNDLE
        write_bundle(trained, bundle)
        info = _log_model(run, trained, bundle)
    return LoggedModel(info.model_uri, info.model_id, run.run_id)


def register(run: TrackedRun, model: LoggedModel, name: str, tags: Mapping[str, str]) -> Version:
    """Register a logged model and give it the alias ``challenger``.

    Parameters
    ----------
    run : TrackedRun
        Any run of the same store.
    model : LoggedModel
        What to register.
    name : str
        Registered name.
    tags : mapping
        Kept with the version, among them ``feature_version`` of the store that it was trained
        from.
    """
    if not run.client.search_registered_models(f"name = '{name}'"):
        run.client.create_registered_model(name)
    made = run.client.create_model_version(
        name, model.uri, run_id=model.run_id, model_id=model.model_id, tags=dict(tags)
    )
    run.client.set_registered_model_alias(name, CHALLENGER, made.version)
    return Version(name, str(made.version), model.run_id)


def _log_model(run: TrackedRun, trained: Trained, bundle: Path) -> Any:
    """Log the pyfunc into the run and return MLflow's description of it."""
    import mlflow

    with mlflow.start_run(run_id=run.run_id, log_system_metrics=False):
        return mlflow.pyfunc.log_model(
            name="model",
            loader_module="optimizer.training.tracking.pyfunc",
            data_path=str(bundle),
            pip_requirements=_requirements(),
            signature=_signature(trained),
        )


def set_champion(run: TrackedRun, version: Version) -> None:
    """Give the version the alias ``champion``."""
    run.client.set_registered_model_alias(version.name, CHAMPION, version.version)


def find_champion(run: TrackedRun, name: str) -> Version | None:
    """Return the champion of a registered name, None if it has none."""
    return _find(run, name, CHAMPION)


def find_challenger(run: TrackedRun, name: str) -> Version | None:
    """Return the newest version of a registered name, None if it has none."""
    return _find(run, name, CHALLENGER)


def _find(run: TrackedRun, name: str, alias: str) -> Version | None:
    from mlflow.exceptions import MlflowException

    try:
        found = run.client.get_model_version_by_alias(name, alias)
    except MlflowException:
        return None
    return Version(name, str(found.version), str(found.run_id))


def champion_values(run: TrackedRun, name: str) -> dict[str, str]:
    """Return the configuration that the champion was trained with, flat; empty without one."""
    from mlflow.exceptions import MlflowException

    found = find_champion(run, name)
    if found is None:
        return {}
    try:
        params: dict[str, str] = dict(run.client.get_run(found.run_id).data.params)
    except MlflowException:  # its run was deleted
        return {}
    return params


def load_trained(version: Version) -> Trained:
    """Return the trained model or surface behind a version, for evaluation beside another.

    Its bundle is read and nothing else of its artifact: MLflow's own loader would import what
    the artifact names.

    Raises
    ------
    UnreadableModelError
        Its files were changed, or are of a format that the present code does not read.
    TrackingError
        The store does not give its files.
    """
    from mlflow.artifacts import download_artifacts

    uri = f"models:/{version.name}/{version.version}"
    with TemporaryDirectory() as draft:
        try:
            # a directory of its own: MLflow would else hand out a local store's own files
            place = download_artifacts(f"{uri}/data/{BUNDLE}", dst_path=draft)
            return read_bundle(Path(place))
        except StateError as error:
            seen, allowed = f"{error.offender}: {error.seen}", error.allowed
            fix = _training_command(version.name)
            raise UnreadableModelError(
                f"registry {uri}", seen=seen, allowed=allowed, fix=fix
            ) from error
        except Exception as error:  # a store's own exceptions differ by backend
            pickles, fix = _format_pickles(uri), _training_command(version.name)
            raise (UnreadableModelError if pickles else TrackingError)(
                f"registry {uri}",
                seen=pickles or first_line(error),
                allowed=f"a model of format {FORMAT}, a directory data/{BUNDLE}",
                fix=fix if pickles else f"see that tracking.uri holds its files, or {fix}",
            ) from error


def load_reference(run: TrackedRun, name: str) -> Trained | None:
    """Return the champion that a new model has to beat; None if there is none that can be read.

    A champion of an earlier format does not keep its successor out: a warning says so.
    """
    champion = find_champion(run, name)
    if champion is None:
        return None
    try:
        return load_trained(champion)
    except UnreadableModelError as error:
        logger.warning("%s judged as the first of its name, since the champion is not read", name)
        logger.warning("%s", error)
        return None


def _training_command(name: str) -> str:
    """Return what trains a model of a registered name, ``<target>-<data name>``, again."""
    target, _, data = name.partition("-")
    command = f"train again: python flows/train.py target={target}"
    return f"{command} (on the data it learned from, {data})" if data else command


def _format_pickles(uri: str) -> str:
    """Return what a version of an earlier format holds; empty if it holds no pickle."""
    from mlflow.artifacts import list_artifacts
    from mlflow.exceptions import MlflowException

    try:
        names = [Path(one.path).name for one in list_artifacts(uri)]
    except (MlflowException, OSError):
        return ""
    pickles = ", ".join(name for name in names if name.endswith(".pkl"))
    return pickles and f"a pickle of an earlier format ({pickles}), which is not opened"


def _requirements() -> list[str]:
    """Return the pins of the libraries that prediction may need."""
    lines = LOCK_FILE.read_text().splitlines() if LOCK_FILE.is_file() else []
    pinned = {line.split("==")[0].lower(): line for line in lines if "==" in line}
    return [pinned.get(name, name) for name in LIBRARIES]


def _signature(trained: Trained) -> Any:
    """Return the columns that go in (optional ones marked so) and those that come out."""
    from mlflow.models import ModelSignature
    from mlflow.models.signature import infer_signature
    from mlflow.types import ColSpec, Schema

    kinds = {SERVICE: "string", CLUSTER: "string", TIMESTAMP: "datetime"}
    surface = isinstance(trained, TrainedSurface)  # whose usage may be a share of its capacity
    needed = {*REQUIRED, *(trained.metrics[:1] if surface else trained.metrics)}
    columns = [
        ColSpec(kinds.get(name, "double"), name, required=name in needed and name not in LABELS)
        for name in CANONICAL
    ]
    example = {
        SERVICE: ["web-1"],
        TIMESTAMP: [pd.Timestamp("2025-01-01")],
    }
    outputs = infer_signature(pd.DataFrame(example | _example_outputs(trained))).inputs
    return ModelSignature(inputs=Schema(columns), outputs=outputs)


def _example_outputs(trained: Trained) -> dict[str, list[Any]]:
    """Return one value of every column that a prediction has besides its keys."""
    from optimizer.targets.task import EventTask

    if isinstance(trained, TrainedSurface):
        one = [np.float32(0.5)]
        return {"resource": [trained.resource], "level": one, "exceedance": one}
    if isinstance(trained.task, EventTask):
        return {"y_score": [0.5]}
    return {"horizon": ["1h"]} | {f"q{level:g}": [0.5] for level in trained.task.quantiles}
