"""What both boosters need to train on Dask: the workers, and a part of the rows for each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.core.errors import ConfigError

_one_at_a_time = Lock()


@dataclass(frozen=True)
class Workers:
    """The workers of a Dask cluster, for the time of one fit."""

    client: Any
    threads: dict[str, int]

    def send(self, address: str, piece: Any) -> Any:
        """Return a future of a piece of data that a worker now holds.

        It takes no detour through the scheduler, which need not have room for it.
        """
        # Without a key of its own, what two workers are sent would be one if it is equal.
        sent = self.client.scatter(piece, workers=[address], direct=True, hash=False)
        # Within a task of Dask, scatter leaves everything on the worker of the task.
        return self.client.submit(_same, sent, workers=[address], pure=False)


def _same(piece: Any) -> Any:
    return piece


@contextmanager
def dask_workers(scheduler: str | None) -> Iterator[Workers]:
    """Yield the workers of a scheduler. Raises ConfigError: there is no scheduler."""
    if scheduler is None:
        raise ConfigError(
            "model.distributed",
            seen="True with a runner that is not dask",
            allowed="true with a Dask scheduler, else false",
            fix="add runner=dask",
        )
    with _client(scheduler) as client:
        client.wait_for_workers(1)
        yield Workers(client, dict(sorted(client.nthreads().items())))


def _client(scheduler: str) -> Any:
    """Return a client to enter."""
    from distributed import Client, get_client, get_worker, worker_client

    try:
        get_worker()
    except ValueError:
        return Client(scheduler, set_as_default=False)  # type: ignore[no-untyped-call]
    with _one_at_a_time:  # two threads of a worker cannot make its client at once
        get_client()
    # A task that waited in its thread of a worker would wait for a part that needs this thread.
    return worker_client()


@contextmanager
def muted(stream: int) -> Iterator[None]:
    """Drop what this process writes to a file descriptor.

    While they connect, both libraries print from threads of their own, whatever the verbosity.
    """
    kept, null = os.dup(stream), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream)
    os.close(null)
    try:
        yield
    finally:
        os.dup2(kept, stream)
        os.close(kept)


def drawn_rows(rows: int, parts: int, seed: int) -> list[NDArray[np.int64]]:
    """Return which rows each part holds: drawn at random, in order, sizes equal but for one row.

    Quantiles of a leaf and the edges of bins are found per part and averaged, so every part must
    be a small image of the whole. Rows are sorted by service and time, so neither blocks nor
    every n-th row would be.
    """
    order = np.random.default_rng(seed).permutation(rows)
    return [np.sort(part) for part in np.array_split(order, parts)]
