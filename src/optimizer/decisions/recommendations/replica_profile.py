"""Services that run in replicas: how many of which size now, and at which hour of the week."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.errors import ConfigError
from optimizer.core.panel import FloatArray
from optimizer.core.schema import SERVICE
from optimizer.decisions.pricing.catalogue import PriceCatalogue, price_per_hour
from optimizer.decisions.recommendations.recommend import SHARE, RecommendationSettings
from optimizer.decisions.recommendations.replicas import desired_replicas, split_by_step
from optimizer.demand.usage import CPU, MEMORY, Usage

MEMORY_STEP = 0.25
"""Sizes of replicas are multiples of this, GiB."""
BUSY = 0.95
"""Share of an hour's steps over the weeks that its replicas shall hold."""


@dataclass(frozen=True)
class Replicas:
    """Replicas of the services that scale out.

    - ``frame``: the recommendations with ``replicas`` (0 where the service does not scale out) and
      ``replica_size`` (request of one replica; NaN there).
    - ``services``: services that scale out.
    - ``hourly``: int64, shape ``(n_services, 24, 2)``: replicas by UTC hour, on weekdays and
      weekends.
    """

    frame: pd.DataFrame
    services: tuple[str, ...]
    hourly: NDArray[np.int64]


def split_services(
    frame: pd.DataFrame,
    cpu: Usage,
    catalogue: PriceCatalogue | None,
    settings: RecommendationSettings,
) -> Replicas:
    """Return replicas and their size for the services whose id matches ``scale_out``.

    They hold the standing target: what an autoscaler may do with them between two of its runs.
    Raises ConfigError: services scale out and there are no prices, or the pattern is none.

    - ``cpu``: past usage of CPU: the typical load that must outlast the loss of a replica, and the
      load of each hour.
    - ``catalogue``: needed where services scale out: the cheapest split depends on prices.
    - ``settings``: pattern, step and most replicas.
    """
    bare = frame.assign(replicas=0, replica_size=np.nan)
    chosen = _matching(cpu.services, settings.scale_out)
    if not chosen:
        return Replicas(bare, (), np.zeros((0, 24, 2), dtype=np.int64))
    if catalogue is None:
        raise ConfigError(
            "prices",
            seen=f"none, and recommend.scale_out matches {len(chosen)} services",
            allowed="a price list: the cheapest number of replicas depends on it",
            fix="add prices=aws, or leave recommend.scale_out out",
        )
    known = bare[bare["unit"] != SHARE]
    wide = known.pivot_table(
        index=SERVICE, columns="resource", values="standing_target", dropna=False
    )
    names = [CPU, *(name for name in (MEMORY,) if name in wide)]
    wide = wide.reindex(index=list(chosen), columns=names)  # no known CPU: no split
    rows = [cpu.services.index(name) for name in chosen]
    typical = np.zeros(wide.shape)
    typical[:, 0] = np.nan_to_num(_percentile(cpu.values[rows], 0.5))
    steps = {CPU: settings.replica_step, MEMORY: MEMORY_STEP}
    found = split_by_step(
        wide.to_numpy(np.float64),
        typical,
        [steps[name] for name in names],
        [price_per_hour(catalogue, name) for name in names],
        max_replicas=settings.max_replicas,
    )
    sizes = dict(zip(product(chosen, names), found.size.ravel().tolist(), strict=True))
    numbers = pd.Series(found.replicas, index=wide.index)
    told = bare.assign(
        replicas=bare[SERVICE].map(numbers).fillna(0).astype(int),
        replica_size=pd.MultiIndex.from_frame(bare[[SERVICE, "resource"]]).map(sizes),
    )
    load = hourly_load(cpu)[rows]
    with np.errstate(invalid="ignore"):
        wanted = desired_replicas(load, found.size[:, :1, None])
    hourly = np.clip(np.nan_to_num(wanted, nan=1.0), 1, settings.max_replicas).astype(np.int64)
    return Replicas(told, chosen, hourly)


def _matching(services: tuple[str, ...], pattern: str | None) -> tuple[str, ...]:
    if pattern is None:
        return ()
    try:
        return tuple(name for name in services if re.search(pattern, name))
    except re.error as error:
        raise ConfigError(
            "recommend.scale_out",
            seen=repr(pattern),
            allowed="a regular expression",
            fix=f"correct it ({error}), for example '^web'",
        ) from error


def hourly_load(usage: Usage) -> FloatArray:
    """Return the load of each hour of the day, on weekdays and at weekends.

    float32, shape ``(n_services, 24, 2)``: P95 of the hour's steps, NaN where none was observed.
    ``usage``: past usage; a step belongs to the hour in which it begins.
    """
    begun = pd.DatetimeIndex(usage.timestamps) - usage.step
    weekend = (begun.dayofweek >= 5).astype(int)
    out = np.full((usage.n_services, 24, 2), np.nan, dtype=np.float32)
    for hour in range(24):
        for side in range(2):
            held = (begun.hour == hour) & (weekend == side)
            if held.any():
                out[:, hour, side] = _percentile(usage.values[:, held], BUSY)
    return out


def _percentile(values: FloatArray, share: float) -> FloatArray:
    """Return the least value that a share of each row's observed ones does not exceed."""
    count = np.sum(~np.isnan(values), axis=1)
    rank = np.maximum(np.ceil(share * count - 1e-9).astype(np.int64) - 1, 0)
    return np.take_along_axis(np.sort(values, axis=1), rank[:, None], axis=1)[:, 0]
