"""The feature store of one project: open it, register its definitions, fill the online store."""

from __future__ import annotations

import io
import logging
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from optimizer.core.errors import OptimizerError, StoreError, first_line
from optimizer.features.schema import StoreSchema
from optimizer.features.store.feast_objects import define_objects
from optimizer.features.store.manifest import locked
from optimizer.features.store.settings import StoreSettings

logger = logging.getLogger(__name__)
T = TypeVar("T")
ATTEMPTS = 3
PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class FeatureStore:
    """A project's features: offline partitions, registry and online store.

    Parameters
    ----------
    settings : StoreSettings
        The environment.
    project : str
        The fleet.
    schema : StoreSchema
        Its features.
    """

    settings: StoreSettings
    project: str
    schema: StoreSchema

    @property
    def directory(self) -> Path:
        """Where the offline partitions lie."""
        return self.settings.directory(self.project)

    @property
    def ttl(self) -> pd.Timedelta:
        """Age up to which a value is served."""
        return self.settings.time_to_live(self.schema.step)

    def require_version(self, version: str) -> None:
        """Raise unless these are the features of a version, such as a model's tag names.

        Raises
        ------
        StoreError
            The model was trained on features of another definition.
        """
        if version != self.schema.version:
            raise StoreError(
                f"feature store {self.project}",
                seen=f"features of version {self.schema.version}",
                allowed=f"version {version}, which the model was trained on",
                fix="train again, or open the project that holds that version",
            )

    @cached_property
    def objects(self) -> dict[str, Any]:
        """Feast's definitions of this project by name."""
        return define_objects(self.schema, self.directory, self.ttl)

    @cached_property
    def feast(self) -> Any:
        """Feast's own store of this project.

        Raises
        ------
        StoreError
            ``feature_store.yaml`` is absent or wrong, or the registry cannot be reached.
        """
        return attempt(lambda: open_feast(self.settings.feast_file(), self.project), "registry")

    def register(self) -> None:
        """Register the definitions; what was registered and is no longer defined is removed.

        Raises
        ------
        StoreError
            The registry cannot be reached.
        """
        wanted = list(self.objects.values())
        with locked(Path(self.settings.offline)):  # all projects share the registry
            gone = attempt(self._superseded, "registry")
            put = partial(self.feast.apply, wanted, objects_to_delete=gone, partial=not gone)
            attempt(put, "registry")

    def _superseded(self) -> list[Any]:
        """Return registered views and services that the definitions no longer name."""
        found = [
            *self.feast.list_feature_services(),
            *self.feast.list_on_demand_feature_views(),
            *self.feast.list_batch_feature_views(),
        ]
        return [one for one in found if one.name not in self.objects]

    def ask(self, features: Any, rows: dict[str, list[str]]) -> dict[str, Any]:
        """Return Feast's answer from the online store, one vector per feature name.

        Parameters
        ----------
        features : FeatureService or list of str
            A service, or references such as ``"lag_features:cpu_utilization_lag_1"``.
        rows : dict
            Join key to ids.

        Raises
        ------
        StoreError
            The registry or the online store cannot be reached.
        """
        fetch = partial(self.feast.get_online_features, features, rows)
        proto = attempt(fetch, "online store").proto
        return dict(zip(proto.metadata.feature_names.val, proto.results, strict=True))

    def materialize(self, end: pd.Timestamp) -> None:
        """Put the newest value of every entity up to ``end`` online.

        Services whose newest value lies further back than ``online_window`` are left out.
        Writing twice gives the same values, so an interrupted call is mended by another.

        Raises
        ------
        StoreError
            The online store cannot be reached; the message says which views were written.
        """
        begin = (end - pd.Timedelta(self.settings.online_window)).to_pydatetime()
        views = [name for name, one in self.objects.items() if type(one).__name__ == "FeatureView"]
        for index, view in enumerate(views):
            done, left = ", ".join(views[:index]) or "no view", ", ".join(views[index:])
            alone = locked(Path(self.settings.offline))  # Feast rewrites the registry file
            with alone, duckdb_session(), redirect_stdout(io.StringIO()):  # and prints
                attempt(
                    partial(self.feast.materialize, begin, end.to_pydatetime(), [view]),
                    "online store",
                    note=f"; written: {done}; not yet: {left}",
                )


def open_feast(config_file: Path, project: str) -> Any:
    """Return Feast's store with the settings of a ``feature_store.yaml`` for a project.

    Raises
    ------
    StoreError
        The file is absent, or a variable that it names is not set.
    """
    from feast import FeatureStore as FeastStore
    from feast.repo_config import load_repo_config

    if not config_file.is_file():
        raise StoreError(
            "store.feast",
            seen=f"no file {config_file}",
            allowed="the path of a feature_store.yaml",
            fix="run from the project's root, or set store.feast=<path>",
        )
    wanted = re.findall(r"\$\{(\w+)\}", config_file.read_text())
    unset = [name for name in wanted if name not in os.environ]
    if unset:
        raise StoreError(
            str(config_file),
            seen=f"{', '.join(unset)} not set",
            allowed=f"values of {', '.join(wanted)} in the environment",
            fix=f"export {unset[0]}=…, or choose store=local",
        )
    quiet_libraries()
    home = config_file.resolve().parent
    config = load_repo_config(home, config_file)
    config.project = project
    if "://" not in config.registry.path:  # Feast looks for it in the working directory
        config.registry.path = str(home / config.registry.path)
    return FeastStore(config=config)


def attempt(call: Callable[[], T], what: str, note: str = "") -> T:
    """Call a store, again after a pause where it fails, and tell the last failure plainly.

    Raises
    ------
    StoreError
        Every attempt failed.
    """
    for left in range(ATTEMPTS - 1, -1, -1):
        try:
            return call()
        except OptimizerError:
            raise
        except Exception as error:
            if left and not type(error).__module__.startswith("feast.errors"):
                logger.warning("%s: %s; trying again", what, first_line(error))
                time.sleep(PAUSE_SECONDS)
                continue
            raise StoreError(
                f"feature store: {what}",
                seen=f"{type(error).__name__}: {first_line(error)}{note}",
                allowed="a store that can be reached and has the definitions applied",
                fix="check its address in feature_store.yaml and that it runs, then run "
                "`python flows/features.py` again: it mends what was interrupted",
            ) from error
    raise AssertionError("unreachable")


def quiet_libraries() -> None:
    """Keep Feast's notices about its own internals away from the user."""
    warnings.filterwarnings("ignore", module=r"feast\..*|ibis\..*")
    for name in ("feast", "ibis", "sqlglot"):
        logging.getLogger(name).setLevel(logging.ERROR)


@contextmanager
def duckdb_session() -> Iterator[None]:
    """Close the DuckDB session that Feast opens through ibis, and give its memory back."""
    import gc

    import ibis

    try:
        yield
    finally:
        ibis.options.default_backend = None
        gc.collect()
