"""One Prefect server for a process and all that it starts, while libraries load beside it."""

from __future__ import annotations

import atexit
import importlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from flows.environment import NO_PAGES
from optimizer.core.errors import TrackingError

LIBRARIES = ("mlflow", "duckdb", "sklearn.isotonic", "matplotlib.figure", "lightgbm")
"""What most runs import, and what takes long to: the server is another process meanwhile."""
TEMPORARY = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1"}
"""What Prefect tells a server that is there for one process alone."""
COMMAND = ("uvicorn", "--factory", "prefect.server.api.server:create_app", "--log-level", "error")


@contextmanager
def shared_server() -> Iterator[None]:
    """Start one Prefect server for this process and all that it starts, unless there is one.

    Prefect's own way imports the whole server into this process before it starts another one
    that does so again; the command that it then runs is run here at once.

    Raises
    ------
    TrackingError
        The server does not answer.
    """
    from prefect.settings import PREFECT_API_URL, temporary_settings

    if PREFECT_API_URL.value():
        yield
        return
    server, url = _start()
    for name in LIBRARIES:
        importlib.import_module(name)
    _await(server, f"{url}/health")
    os.environ |= {"PREFECT_API_URL": url, NO_PAGES: "1"}
    try:
        with temporary_settings({PREFECT_API_URL: url}):
            yield
    finally:
        for name in ("PREFECT_API_URL", NO_PAGES):  # the server itself stops with the process
            del os.environ[name]


def _start() -> tuple[subprocess.Popen[bytes], str]:
    """Start a server on a free port of this machine; return it and its address."""
    from prefect.settings import get_current_settings

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    server = subprocess.Popen(  # noqa: S603 - our own
        [sys.executable, "-m", *COMMAND, "--host", "127.0.0.1", "--port", str(port)],
        env={**os.environ, **TEMPORARY, **settings},
    )
    atexit.register(_stop, server)
    return server, f"http://127.0.0.1:{port}/api"


def _await(server: subprocess.Popen[bytes], address: str) -> None:
    """Wait until a server answers, as long as Prefect would."""
    from prefect.settings import PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS

    last = time.monotonic() + PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value()
    while server.poll() is None and time.monotonic() < last:
        try:
            if httpx.get(address).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise TrackingError(
        "Prefect's temporary server",
        seen="no answer" if server.poll() is None else f"exit status {server.returncode}",
        allowed=f"an answer at {address}",
        fix="see what it wrote above, or start `prefect server start` and set PREFECT_API_URL",
    )


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End a server, which has five seconds to do so by itself."""
    server.terminate()
    try:
        server.wait(timeout=5)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
