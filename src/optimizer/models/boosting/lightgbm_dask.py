"""LightGBM on the workers of Dask: each holds a part of the training rows.

What :mod:`lightgbm.dask` does, but for three things: that does not stop early, evaluates each
worker's part of the validation rows alone, and brings the training rows back to the client.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from copy import copy
from dataclasses import replace
from typing import Any, Protocol
from urllib.parse import urlparse

from optimizer.models.base import Runtime
from optimizer.models.boosting.dask_data import Workers, dask_workers, drawn_rows, muted
from optimizer.models.boosting.data import Boosted, BoostingData, EventGoal, Report

Params = dict[str, Any]
STDOUT = 1
_held: dict[int, socket.socket] = {}


class Boostable(Protocol):
    """What a worker runs on its part of the rows: LightGBM, not distributed."""

    distributed: bool

    def boost(
        self,
        runs: Iterable[tuple[Params, Report]],
        fold: BoostingData,
        goal: EventGoal | None,
        runtime: Runtime,
        *,
        stops: bool,
    ) -> list[Boosted]:
        """Return one booster per run."""
        ...


def boost_on_dask(
    model: Boostable,
    runs: list[Params],
    fold: BoostingData,
    goal: EventGoal | None,
    runtime: Runtime,
    *,
    stops: bool,
) -> list[Boosted]:
    """Return per run the booster that all workers arrive at, and its curves.

    Each worker does what a local fit does, with its part of the training rows; the library adds up
    their histograms. The validation rows are whole on every worker, so that all see the same metric
    and stop at the same round. The training curve is that of the first worker's part. Nothing is
    reported to ``runtime.watch``, which is in another process, so a distributed fit is not pruned.
    ``runs``: the library's parameters, once per booster. ``goal``: what a fit to events optimises.
    """
    from distributed import MultiLock

    local = copy(model)
    local.distributed = False
    with dask_workers(runtime.scheduler) as workers:
        addresses, client = list(workers.threads), workers.client
        drawn = drawn_rows(len(fold.y), len(addresses), runtime.seed)
        parts = [
            workers.send(address, _part(fold, rows))
            for address, rows in zip(addresses, drawn, strict=True)
        ]
        # Two fits that each hold one of two workers would wait for each other for ever.
        with MultiLock(addresses, client):
            networks = _networks(workers, len(runs))
            futures = [
                client.submit(
                    _boost_part,
                    local,
                    [run | network for run, network in zip(runs, networks[address], strict=True)],
                    part,
                    goal,
                    stops=stops,
                    kept=address == addresses[0],
                    workers=[address],
                    pure=False,
                )
                for address, part in zip(addresses, parts, strict=True)
            ]
            found: list[Boosted] = client.gather(futures)[0]
    return found


def _part(fold: BoostingData, rows: Any) -> BoostingData:
    """Return some training rows and all validation rows."""
    weight = None if fold.weight is None else fold.weight[rows]
    return replace(fold, X=fold.X[rows], y=fold.y[rows], weight=weight)


def _networks(workers: Workers, count: int) -> dict[str, list[Params]]:
    """Return per worker what to tell the library of the others, once per run.

    Each run has ports of its own: those of the last may not be free again yet.
    """
    ports = workers.client.run(_hold_ports, count, workers=list(workers.threads))
    hosts = {address: urlparse(address).hostname for address in workers.threads}
    machines = [
        ",".join(f"{host}:{ports[address][run]}" for address, host in hosts.items())
        for run in range(count)
    ]
    return {
        address: [
            {
                "tree_learner": "data",
                "machines": machines[run],
                "num_machines": len(hosts),
                "local_listen_port": ports[address][run],
                "num_threads": threads,
            }
            for run in range(count)
        ]
        for address, threads in workers.threads.items()
    }


def _hold_ports(count: int) -> list[int]:
    """Return free ports of this worker, kept from everybody else until they are released."""
    ports = []
    for _ in range(count):
        held = socket.socket()
        held.bind(("", 0))
        ports.append(held.getsockname()[1])
        _held[ports[-1]] = held
    return ports


def _boost_part(
    model: Boostable,
    runs: list[Params],
    part: BoostingData,
    goal: EventGoal | None,
    *,
    stops: bool,
    kept: bool,
) -> list[Boosted]:
    """Train on a worker as one of many; the boosters are the same on all, so one keeps them."""
    quiet = ExitStack()

    def connecting() -> Iterator[tuple[Params, Report]]:
        for params in runs:
            _held.pop(params["local_listen_port"]).close()
            quiet.enter_context(muted(STDOUT))
            yield params, lambda _: quiet.close()

    with quiet:
        found = model.boost(connecting(), part, goal, Runtime(), stops=stops)
    return found if kept else []
