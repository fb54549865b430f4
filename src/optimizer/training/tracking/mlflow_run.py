"""One MLflow run per training: parameters, figures, files, and how it ended."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.errors import TrackingError

PARENT = "mlflow.parentRunId"
PARAM_LENGTH = 500
"""Longest parameter value that every MLflow store takes."""


@dataclass(frozen=True)
class TrackedRun:
    """A run that is open.

    Parameters
    ----------
    run_id : str
        MLflow's id.
    experiment_id : str
        The experiment it belongs to.
    client : mlflow.MlflowClient
        Bound to the store, so that no global URI is needed.
    """

    run_id: str
    experiment_id: str
    client: Any

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Log parameters in one call."""
        from mlflow.entities import Param

        params = [Param(key, str(value)[:PARAM_LENGTH]) for key, value in values.items()]
        for start in range(0, len(params), 100):
            self.client.log_batch(self.run_id, params=params[start : start + 100])

    def log_metrics(self, values: Mapping[str, float], prefix: str = "") -> None:
        """Log the finite figures in one call."""
        from mlflow.entities import Metric
        from mlflow.utils.time import get_current_time_millis

        now = get_current_time_millis()
        metrics = [
            Metric(prefix + key.replace("@", "_at_"), float(value), now, 0)
            for key, value in values.items()
            if value == value and abs(value) != float("inf")  # noqa: PLR0124 - NaN is not equal
        ]
        for start in range(0, len(metrics), 500):
            self.client.log_batch(self.run_id, metrics=metrics[start : start + 500])

    def log_history(self, key: str, values: Sequence[tuple[int, float]]) -> None:
        """Log the values of one figure by step in one call."""
        from mlflow.entities import Metric
        from mlflow.utils.time import get_current_time_millis

        now = get_current_time_millis()
        metrics = [Metric(key, value, now, step) for step, value in values]
        if metrics:
            self.client.log_batch(self.run_id, metrics=metrics[:1000])

    def child(self, run_id: str) -> TrackedRun:
        """Return another run of the same experiment, such as one nested in this."""
        return replace(self, run_id=run_id)

    def discard(self, run_id: str) -> None:
        """Delete a run that this one repeats, such as a trial's whose worker died."""
        self.client.delete_run(run_id)

    def set_tags(self, values: Mapping[str, str]) -> None:
        """Set tags in one call."""
        from mlflow.entities import RunTag

        self.client.log_batch(self.run_id, tags=[RunTag(k, str(v)) for k, v in values.items()])

    def end(self, status: str, tags: Mapping[str, str]) -> None:
        """Set tags and close the run with a status of MLflow's, for example ``"KILLED"``."""
        self.set_tags(tags)
        self.client.set_terminated(self.run_id, status)

    def begin_child(self, name: str) -> TrackedRun:
        """Make a run nested in this one; whoever makes it ends it."""
        made = self.client.create_run(self.experiment_id, run_name=name, tags={PARENT: self.run_id})
        return self.child(str(made.info.run_id))

    def close_orphans(self) -> None:
        """Close nested runs that nobody works on any more: their worker was ended."""
        for one in self.children():
            if one.info.status == "RUNNING":
                told = {"error": "its worker was ended; the job was begun again"}
                self.child(one.info.run_id).end("KILLED", told)

    def children(self) -> list[Any]:
        """Return the runs nested in this one, oldest first."""
        query = f"tags.`{PARENT}` = '{self.run_id}'"
        found, token = [], None
        while True:
            page = self.client.search_runs(
                [self.experiment_id], query, order_by=["attributes.start_time"], page_token=token
            )
            found += page
            token = page.token
            if not token:
                return found

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Log a file."""
        self.client.log_artifact(self.run_id, str(path), folder)

    def log_directory(self, path: Path, folder: str) -> None:
        """Log a directory with all it holds."""
        self.client.log_artifacts(self.run_id, str(path), folder)


@contextmanager
def track_run(
    uri: str, experiment: str, name: str, parent: str | None = None
) -> Iterator[TrackedRun]:
    """Open a run and close it as FINISHED, FAILED or KILLED, whatever happens inside.

    Parameters
    ----------
    uri : str
        MLflow tracking URI.
    experiment : str
        Name of the experiment, created if absent.
    name : str
        Name of the run.
    parent : str, optional
        Run that this one is nested in.

    Raises
    ------
    TrackingError
        The store cannot be opened.
    """
    import mlflow

    with _quiet():
        client, experiment_id = _connect(uri, experiment)
        tags = {} if parent is None else {PARENT: parent}
        run = client.create_run(experiment_id, run_name=name, tags=tags)
        run_id = run.info.run_id
        mlflow.set_tracking_uri(uri)  # model logging has no client form
        mlflow.set_registry_uri(uri)
        with _ending(client, run_id):
            yield TrackedRun(run_id, experiment_id, client)


@contextmanager
def track_config(config: ExperimentConfig, name: str) -> Iterator[TrackedRun]:
    """Open a run of a configuration, which becomes its parameters: :func:`track_run`."""
    tracking = config.tracking
    with track_run(tracking.uri, tracking.experiment, name, tracking.parent) as run:
        run.log_params({**config.flatten(), "overrides": " ".join(config.overrides)})
        yield run


@contextmanager
def continue_run(uri: str, experiment: str, run_id: str) -> Iterator[TrackedRun]:
    """Open a run of before again; it ends as :func:`track_run` ends one.

    Raises
    ------
    TrackingError
        The store cannot be opened, or has no such run.
    """
    from mlflow.exceptions import MlflowException

    with _quiet():
        client, experiment_id = _connect(uri, experiment)
        try:
            client.update_run(run_id, status="RUNNING")
        except MlflowException as error:
            raise TrackingError(
                f"run {run_id}",
                seen=str(error).splitlines()[0],
                allowed=f"a run in {uri}",
                fix="use the tracking.uri that the study was begun with, or another search.study",
            ) from error
        with _ending(client, run_id):
            yield TrackedRun(run_id, experiment_id, client)


@contextmanager
def _ending(client: Any, run_id: str) -> Iterator[None]:
    """Close a run as FINISHED, FAILED or KILLED, whatever happens inside."""
    try:
        yield
    except KeyboardInterrupt:
        client.set_terminated(run_id, "KILLED")
        raise
    except BaseException as error:
        client.set_tag(run_id, "error", str(error)[:PARAM_LENGTH])
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")


def _connect(uri: str, experiment: str) -> tuple[Any, str]:
    """Return a client and the id of the experiment, created beside the store if need be."""
    # A dead server should be told of in seconds; MLflow's own default waits for minutes.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    from mlflow import MlflowClient

    try:
        client = MlflowClient(uri, uri)
        found = client.get_experiment_by_name(experiment)
        if found is not None:
            return client, str(found.experiment_id)
        return client, str(client.create_experiment(experiment, _artifact_root(uri)))
    except Exception as error:  # the store's own exceptions differ by backend
        raise TrackingError(
            "tracking.uri",
            seen=f"{uri!r} ({str(error).splitlines()[0]})",
            allowed="a reachable MLflow store such as sqlite:///mlflow.db or http://host:5000",
            fix="start the server or correct tracking.uri",
        ) from error


def _artifact_root(uri: str) -> str | None:
    """Return where a local store keeps files: beside its database, wherever the run starts."""
    parsed = urlparse(uri)
    if parsed.scheme != "sqlite":
        return None
    database = Path(uri.removeprefix("sqlite:///")).resolve()
    return (database.parent / "mlruns").as_uri()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep MLflow and its migrations from chatting below warnings."""
    levels = {}
    for name in ("mlflow", "alembic"):
        logger = logging.getLogger(name)
        levels[name] = logger.level
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
