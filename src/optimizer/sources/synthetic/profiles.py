"""How the demand of one kind of service moves, so that a generated fleet is not one curve.

Each function returns demand relative to a service's base, float64, shape ``(n, n_steps)``. Time
is given in hours since a Monday 00:00 UTC, so that rates and rhythms hold at every frequency.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Hours = NDArray[np.float64]
Demand = NDArray[np.float64]
Rng = np.random.Generator
Shape = Callable[[int, Hours, Rng], Demand]

DAY = 24.0
BATCH_PERIODS = np.array([6.0, 8.0, 12.0, 24.0])


@dataclass(frozen=True)
class Archetype:
    """One kind of service.

    Parameters
    ----------
    name : str
        Prefix of its services' names.
    share : float
        Share of the fleet in (0, 1).
    shape : callable
        ``(n, hours, rng)`` to relative demand.
    noise : float
        Standard deviation of the autocorrelated noise of the logarithm of demand.
    """

    name: str
    share: float
    shape: Shape
    noise: float


def rhythm(n: int, hours: Hours, rng: Rng) -> Demand:
    """Return a daily bell with quiet weekends: people at the other end (web)."""
    peak = rng.normal(14.0, 2.5, (n, 1))
    sharpness = rng.uniform(1.5, 3.0, (n, 1))
    swing = rng.uniform(0.45, 0.8, (n, 1))
    bell = np.exp(sharpness * (np.cos(2 * np.pi * (hours - peak) / DAY) - 1))
    weekend = np.where(hours // DAY % 7 >= 5, rng.uniform(0.5, 0.9, (n, 1)), 1.0)
    return np.asarray((1 - swing + swing * bell) * weekend)


def periodic_bursts(n: int, hours: Hours, rng: Rng) -> Demand:
    """Return jobs every 6 to 24 hours that ramp up, differ in size, come late or not at all."""
    period = rng.choice(BATCH_PERIODS, (n, 1))
    since = hours - hours[0] + rng.uniform(0, period)
    turn = (since // period).astype(np.int64)
    table = (n, int(turn.max()) + 1)
    late = np.minimum(rng.exponential(0.6, table), 2.5)
    height = rng.uniform(1.0, 3.0, (n, 1)) * rng.lognormal(0.0, 0.25, table)
    height *= rng.random(table) > 0.12
    length = rng.uniform(1.0, 0.3 * period)
    into = since % period - np.take_along_axis(late, turn, axis=1)
    running = np.clip(into / 1.5, 0, 1) * np.clip((length + 1.5 - into) / 0.5, 0, 1)
    return np.asarray(0.4 + running * np.take_along_axis(height, turn, axis=1))


def bursts(n: int, hours: Hours, rng: Rng) -> Demand:
    """Return shots at random times on a mild rhythm that swell within two hours and fade."""
    return 0.6 + 0.2 * rhythm(n, hours, rng) + shots((n, len(hours)), _step(hours), 45.0, rng)


def flat(n: int, hours: Hours, rng: Rng) -> Demand:
    """Return a level with a faint daily swing."""
    peak = rng.uniform(0, DAY, (n, 1))
    return np.asarray(1 + 0.06 * np.cos(2 * np.pi * (hours - peak) / DAY))


def idle(n: int, hours: Hours, rng: Rng) -> Demand:
    """Return almost nothing, woken every week or so."""
    return 0.12 + 0.4 * shots((n, len(hours)), _step(hours), 150.0, rng)


def growth(n: int, hours: Hours, rng: Rng) -> Demand:
    """Return demand that grows by half to threefold over the span, on a daily swing."""
    span = (hours - hours[0]) / max(hours[-1] - hours[0], 1.0)
    level = 0.5 + rng.uniform(0.5, 1.5, (n, 1)) * span
    return np.asarray(level * (0.5 + 0.5 * rhythm(n, hours, rng)))


ARCHETYPES = (
    Archetype("web", 0.30, rhythm, 0.09),
    Archetype("batch", 0.20, periodic_bursts, 0.09),
    Archetype("spiky", 0.12, bursts, 0.10),
    Archetype("steady", 0.13, flat, 0.07),
    Archetype("idle", 0.13, idle, 0.20),
    Archetype("growing", 0.12, growth, 0.08),
)


def shots(shape: tuple[int, int], step_hours: float, every_hours: float, rng: Rng) -> Demand:
    """Return shot noise: impulses of random size, each swelling and fading over hours.

    Parameters
    ----------
    shape : tuple of int
        ``(n, n_steps)``.
    step_hours : float
        Length of a step in hours.
    every_hours : float
        Mean time between two shots.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        float64, shape ``(n, n_steps)``; one shot follows ``x exp(1 - x)``, ``x`` = age / 2 h.
    """
    from scipy.signal import lfilter

    struck = rng.random(shape) < 1 - np.exp(-step_hours / every_hours)
    size = np.where(struck, 0.5 + np.minimum(0.5 * rng.pareto(3.0, shape), 2.0), 0.0)
    decay = np.exp(-step_hours / 2.0)
    gain = np.e * min(step_hours / 2.0, 1.0)
    return np.asarray(lfilter([gain * decay], [1.0, -2 * decay, decay**2], size, axis=1))


def autoregressive(shape: tuple[int, int], step_hours: float, per_hour: float, rng: Rng) -> Demand:
    """Return AR(1) noise of unit variance, shape ``(n, n_steps)``.

    Parameters
    ----------
    shape : tuple of int
        ``(n, n_steps)``.
    step_hours : float
        Length of a step in hours.
    per_hour : float
        Autocorrelation at one hour, in (0, 1).
    rng : numpy.random.Generator
        Source of randomness.
    """
    from scipy.signal import lfilter

    phi = per_hour**step_hours
    shock = rng.standard_normal(shape) * np.sqrt(1 - phi**2)
    shock[:, 0] /= np.sqrt(1 - phi**2)  # starts in the stationary state
    return np.asarray(lfilter([1.0], [1.0, -phi], shock, axis=1))


def _step(hours: Hours) -> float:
    return float(hours[1] - hours[0])
