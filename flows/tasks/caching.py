"""How tasks are cached, retried and run: keyed by their arguments and by the code behind them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, TypeVar, cast

from prefect.cache_policies import CachePolicy
from prefect.context import TaskRunContext
from prefect.utilities.annotations import quote

from optimizer.core.artifacts import ArtifactRef, code_digest, hash_values

logger = logging.getLogger(__name__)
T = TypeVar("T")


def digest_key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """Return a cache key of the task's parameters and of the code that it runs.

    A thin task's own source says nothing about the functions it calls, so the key holds a hash
    of the whole package and its lock file. Where the cache lies and what the work is spread over
    are not part of the key: the result is the same. Nor is a whole configuration: a task that
    takes one is also given what of it decides.
    """
    aside = ("cache_dir", "map_fn", "config", "scheduler")
    named = {key: value for key, value in parameters.items() if key not in aside}
    return hash_values({"task": context.task.name, "code": code_digest(), **named})


def is_io_error(_task: Any, _run: Any, state: Any) -> bool:
    """Retry only what a second try can mend: the disk or the network, never bad input."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, OSError) and not isinstance(error, FileNotFoundError)


CACHED: dict[str, Any] = {
    "persist_result": True,
    "cache_policy": CachePolicy.from_cache_key_fn(digest_key),
    "retries": 2,
    "retry_delay_seconds": 2,
    "retry_condition_fn": is_io_error,
}


def run_cached(
    cached: Any, *args: Any, cache_dir: str, again: bool = False, **kwargs: Any
) -> tuple[ArtifactRef, bool]:
    """Run a cached task and return its reference, and whether it came from the cache.

    Prefect remembers the reference, not the file: if the file is gone or was changed, the task
    runs again; so it does if asked to.
    """
    bound = cached.with_options(result_storage=Path(cache_dir) / "tasks", refresh_cache=again)
    state = bound(*args, cache_dir=cache_dir, **kwargs, return_state=True)
    ref: ArtifactRef = state.result()
    if state.name != "Cached":
        return ref, False
    if ref.is_intact():
        return ref, True
    change = "has changed since" if Path(ref.path).is_file() else "is gone"
    logger.info("%s: %s %s; running again", cached.name, ref.path, change)
    return bound.with_options(refresh_cache=True)(*args, cache_dir=cache_dir, **kwargs), False


def artifact_dir(cache_dir: str, kind: str, *parts: Any) -> Path:
    """Return the directory of an artifact, named by what it is made of."""
    return Path(cache_dir).resolve() / kind / hash_values([code_digest(), *parts])[:20]


def as_is(value: T) -> T:
    """Return what hands a value to a task unseen: Prefect would walk through all of it else."""
    return cast("T", quote(value))
