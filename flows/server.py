"""One Prefect server for a process and all that it starts, while libraries load beside it."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from flows.environment import NO_PAGES

LIBRARIES = ("mlflow", "duckdb", "sklearn.isotonic", "matplotlib.figure", "lightgbm")
"""What most runs import, and what takes long to: the server is another process meanwhile."""


@contextmanager
def shared_server() -> Iterator[None]:
    """Start one Prefect server for this process and all that it starts, unless there is one."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    if PREFECT_API_URL.value():
        yield
        return
    from prefect.server.api.server import SubprocessASGIServer

    server = SubprocessASGIServer()
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(server.start)
        for name in LIBRARIES:
            importlib.import_module(name)
        started.result()
    os.environ |= {"PREFECT_API_URL": server.api_url, NO_PAGES: "1"}
    try:
        with temporary_settings({PREFECT_API_URL: server.api_url}):
            yield
    finally:
        for name in ("PREFECT_API_URL", NO_PAGES):  # the server itself stops with the process
            del os.environ[name]
