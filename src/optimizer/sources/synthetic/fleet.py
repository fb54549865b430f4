"""The physics of a generated fleet: what each service demands and what its load does to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.sources.synthetic.profiles import (
    ARCHETYPES,
    Demand,
    Hours,
    Rng,
    autoregressive,
    shots,
)

UNSTABLE = 0.97
"""Utilisation from which the queueing curve goes on as its tangent."""


@dataclass(frozen=True)
class Fleet:
    """Constants of every service.

    Parameters
    ----------
    kind : numpy.ndarray
        int64, shape ``(n_services,)``: index into ``ARCHETYPES``.
    cluster : numpy.ndarray
        int64, shape ``(n_services,)``.
    unit : numpy.ndarray
        Cores of one replica, shape ``(n_services,)``.
    base : numpy.ndarray
        Cores demanded at relative demand 1, shape ``(n_services,)``.
    """

    kind: NDArray[np.int64]
    cluster: NDArray[np.int64]
    unit: NDArray[np.float64]
    base: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of services."""
        return len(self.kind)


@dataclass(frozen=True)
class Anomalies:
    """Injected anomalies, one kind per mask, bool, shape ``(n_services, n_steps)``.

    Parameters
    ----------
    surge : numpy.ndarray
        Demand doubles (a retry storm); the autoscaler sees it.
    stall : numpy.ndarray
        Latency and errors rise without load (a dependency fails).
    silence : numpy.ndarray
        Requests and CPU drop to almost nothing (an outage upstream).
    """

    surge: NDArray[np.bool_]
    stall: NDArray[np.bool_]
    silence: NDArray[np.bool_]

    @property
    def any(self) -> NDArray[np.bool_]:
        """Where anything is anomalous."""
        found: NDArray[np.bool_] = self.surge | self.stall | self.silence
        return found


def draw_fleet(n_services: int, n_clusters: int, rng: Rng) -> Fleet:
    """Draw the services: archetypes by their shares, clusters of equal size.

    Parameters
    ----------
    n_services, n_clusters : int
        Sizes.
    rng : numpy.random.Generator
        Source of randomness.
    """
    edges = np.cumsum([archetype.share for archetype in ARCHETYPES])
    kind = np.searchsorted(edges[:-1], (np.arange(n_services) + 0.5) / n_services)
    cluster = rng.permutation(np.arange(n_services) % n_clusters)
    unit = rng.choice([1.0, 2.0, 4.0], n_services)
    return Fleet(kind, cluster, unit, unit * rng.uniform(3.0, 14.0, n_services))


def draw_demand(fleet: Fleet, hours: Hours, rng: Rng) -> tuple[Demand, NDArray[np.bool_]]:
    """Return cores demanded and the steps with a deploy.

    Rhythm of the archetype, times autocorrelated noise, times level shifts at deploys (one in
    20 days), times shocks of the whole cluster (one in 5 days) that reach each service with its
    own strength and up to three hours late.

    Parameters
    ----------
    fleet : Fleet
        The services.
    hours : numpy.ndarray
        Start of each step in hours since a Monday 00:00 UTC, shape ``(n_steps,)``.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    demand : numpy.ndarray
        Cores, float64, shape ``(n_services, n_steps)``.
    deploys : numpy.ndarray
        bool, same shape.
    """
    shape = (len(fleet), len(hours))
    step = float(hours[1] - hours[0])
    demand = np.empty(shape)
    for index, archetype in enumerate(ARCHETYPES):
        chosen = np.flatnonzero(fleet.kind == index)
        if len(chosen) > 0:
            demand[chosen] = archetype.shape(len(chosen), hours, rng)
    sigma = np.array([archetype.noise for archetype in ARCHETYPES])[fleet.kind][:, None]
    noise = 0.8 * autoregressive(shape, step, 0.95, rng) + 0.6 * autoregressive(
        shape, step, 0.4, rng
    )
    deploys = rng.random(shape) < 1 - np.exp(-step / (20 * 24))
    shifts = np.cumsum(np.where(deploys, rng.normal(0, 0.12, shape), 0.0), axis=1)
    demand *= np.exp(sigma * noise + np.clip(shifts, -0.6, 0.6))
    demand *= fleet.base[:, None] * (1 + _cluster_shocks(fleet, len(hours), step, rng))
    return demand, deploys


def _cluster_shocks(fleet: Fleet, n_steps: int, step: float, rng: Rng) -> Demand:
    shocks = 0.35 * shots((int(fleet.cluster.max()) + 1, n_steps), step, 5 * 24.0, rng)
    late = np.rint(rng.uniform(0, 3.0, len(fleet)) / step).astype(np.int64)
    strength = rng.uniform(0.2, 1.2, (len(fleet), 1))
    when = np.arange(n_steps) - late[:, None]
    seen = shocks[fleet.cluster[:, None], np.maximum(when, 0)]
    return np.asarray(strength * np.where(when >= 0, seen, 0.0))


def draw_anomalies(shape: tuple[int, int], step: float, rate: float, rng: Rng) -> Anomalies:
    """Return anomalies of one to six hours that cover about ``rate`` of the rows.

    Parameters
    ----------
    shape : tuple of int
        ``(n_services, n_steps)``.
    step : float
        Length of a step in hours.
    rate : float
        Share of rows in [0, 0.5).
    rng : numpy.random.Generator
        Source of randomness.
    """
    longest = max(1, round(6.0 / step))
    shortest = max(1, round(1.0 / step))
    count = round(rate * shape[0] * shape[1] / ((shortest + longest) / 2))
    length = rng.integers(shortest, longest + 1, count)
    first = rng.integers(0, shape[1], count)
    service = rng.integers(0, shape[0], count)
    kind = rng.integers(0, 3, count)
    edges = np.zeros((3, shape[0], shape[1] + 1), dtype=np.int16)
    np.add.at(edges, (kind, service, first), 1)
    np.add.at(edges, (kind, service, np.minimum(first + length, shape[1])), -1)
    inside = np.cumsum(edges[:, :, :-1], axis=2, dtype=np.int16) > 0
    return Anomalies(*inside)


def queueing_latency(utilization: Demand, base_ms: Demand) -> Demand:
    """Return latency, convex in utilisation: ``base (1 + u^2 / (2 (1 - u)))``, tangent past 0.97.

    Parameters
    ----------
    utilization : numpy.ndarray
        Fraction of capacity, any shape.
    base_ms : numpy.ndarray
        Latency without load in ms, broadcast against it.

    References
    ----------
    .. [1] Pollaczek-Khinchine: the mean number waiting in an M/D/1 queue is
       u^2 / (2 (1 - u)).
    """
    u = np.minimum(utilization, UNSTABLE)
    waiting = u**2 / (2 * (1 - u))
    slope = (2 * UNSTABLE - UNSTABLE**2) / (2 * (1 - UNSTABLE) ** 2)
    return np.asarray(base_ms * (1 + waiting + slope * np.maximum(utilization - UNSTABLE, 0)))


def leaking_memory(
    utilization: Demand, deploys: NDArray[np.bool_], step: float, rng: Rng
) -> Demand:
    """Return memory as a fraction: a level, a leak that a restart or deploy resets, and load.

    Six services in ten leak; they restart when the leak has filled 45 % of the memory.

    Parameters
    ----------
    utilization : numpy.ndarray
        CPU as a fraction, shape ``(n_services, n_steps)``.
    deploys : numpy.ndarray
        bool, same shape.
    step : float
        Length of a step in hours.
    rng : numpy.random.Generator
        Source of randomness.
    """
    n, n_steps = utilization.shape
    leaks = rng.random((n, 1)) < 0.6
    fills_in = rng.uniform(3 * 24.0, 20 * 24.0, (n, 1))
    clock = np.arange(n_steps)
    deployed = np.maximum.accumulate(np.where(deploys, clock, 0), axis=1)
    age = (clock - deployed) * step + np.where(deployed == 0, rng.uniform(0, fills_in), 0.0)
    leak = np.where(leaks, 0.45 * (age % fills_in) / fills_in, 0.0)
    level = rng.uniform(0.2, 0.4, (n, 1)) + 0.1 * np.minimum(utilization, 1.2)
    noise = 0.01 * autoregressive((n, n_steps), step, 0.8, rng)
    return np.asarray(np.clip(level + leak + noise, 0.01, 1.0))
