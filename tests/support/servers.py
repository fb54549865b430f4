"""Redis and PostgreSQL servers of the tests' own, on free ports, from the Debian packages."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(name: str) -> str:
    """Return the path of a server's program, or skip the test."""
    found = [shutil.which(name), *map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))]
    known = [path for path in found if path]
    if not known:
        pytest.skip(f"{name} is not installed (Debian packages redis-server and postgresql)")
    return known[0]


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a server listens."""
    for _ in range(200):
        if process.poll() is not None:
            raise RuntimeError(f"{process.args} ended with {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args} does not listen on {port}")


def start_redis(port: int, home: Path) -> subprocess.Popen[bytes]:
    """Start a Redis that keeps its data in a directory, also when it is killed."""
    home.mkdir(parents=True, exist_ok=True)
    command = [program("redis-server"), "--port", str(port), "--bind", "127.0.0.1"]
    command += ["--dir", str(home), "--appendonly", "yes", "--appendfsync", "always"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    wait_for(port, process)
    return process


@contextmanager
def postgres(home: Path) -> Iterator[str]:
    """Yield the address of a database; the server refuses root, so it runs as another user."""
    initdb, server = program("initdb"), program("postgres")
    user = _other_user()
    home.mkdir(parents=True)
    if user is not None:
        shutil.chown(home, user)
        for parent in home.parents:  # it must be able to pass through
            if parent.stat().st_uid == os.getuid() and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
    port = free_port()
    subprocess.run(
        [initdb, "-D", str(home), "-U", "feast", "-A", "trust", "--no-sync"],
        check=True, stdout=subprocess.DEVNULL, user=user, cwd="/",
    )  # fmt: skip
    options = [
        "-D",
        str(home),
        "-p",
        str(port),
        "-k",
        str(home),
        "-c",
        "listen_addresses=127.0.0.1",
    ]
    process = subprocess.Popen(
        [server, *options], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, user=user, cwd="/"
    )
    try:
        wait_for(port, process)
        yield f"postgresql+psycopg://feast@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGINT)  # do not wait for clients
        process.wait(20)


def _other_user() -> str | None:
    """Return a user that is not root, None if we are not root ourselves."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
