"""What a core and a GiB cost by the hour, and which instances can be had at what price."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optimizer.core.errors import ConfigError
from optimizer.core.validation import require_between
from optimizer.demand.usage import CPU, MEMORY

HOURS_PER_MONTH = 730.0
"""8760 hours a year over 12 months, as cloud price lists count."""
PRICES = {CPU: "core_hour", MEMORY: "gib_hour"}
"""Per resource the key of its price."""
PLACES = 6
"""Digits after the point that prices are listed with."""


@dataclass(frozen=True)
class Instance:
    """A machine that can be had.

    Raises ConfigError: a value is out of its range.

    Parameters
    ----------
    name : str
        As the list names it.
    cores : float
        vCPUs of the whole machine, above 0.
    memory_gib : float
        Memory of the whole machine, above 0.
    hour : float
        Price of an hour, above 0.
    """

    name: str
    cores: float
    memory_gib: float
    hour: float

    def __post_init__(self) -> None:
        for key in ("cores", "memory_gib", "hour"):
            offender = f"prices.instances.{self.name}.{key}"
            require_between(offender, getattr(self, key), 0.0, fix=1.0, open_low=True)


@dataclass(frozen=True, init=False)
class PriceCatalogue:
    """Prices of one list.

    Raises ConfigError: a value is missing or out of its range, or an instance is listed twice.

    Parameters
    ----------
    name : str
        Short name, for reports.
    currency : str
        Three capital letters (ISO 4217).
    as_of : str
        Day the prices are known to hold for, ``YYYY-MM-DD``: a price without a day is no price.
    source : str
        Whose list it is, which region and operating system.
    core_hour : float
        Price of a core by the hour, above 0.
    gib_hour : float
        Price of a GiB of memory by the hour, above 0.
    instances : sequence of mapping, optional
        Machines with ``name``, ``cores``, ``memory_gib`` and ``hour``, for node packing.

    Notes
    -----
    A core is what telemetry and requests count: on most clouds a vCPU, that is one hardware
    thread. Whoever counts physical cores has to give the price of one of those. Prices are
    those of requests (what is reserved), not of use.
    """

    name: str
    currency: str
    as_of: date
    source: str
    core_hour: float
    gib_hour: float
    instances: tuple[Instance, ...]

    def __init__(
        self,
        name: str,
        currency: str,
        as_of: str,
        source: str,
        core_hour: float,
        gib_hour: float,
        instances: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        for key, value in (("core_hour", core_hour), ("gib_hour", gib_hour)):
            require_between(f"prices.{key}", value, 0.0, fix=0.03, open_low=True)
        _require_text("prices.name", name, r"\S.*", "a name", "example")
        _require_text("prices.source", source, r"\S.*", "vendor, list, region", "'own contract'")
        _require_text("prices.currency", currency, r"[A-Z]{3}", "three capital letters", "USD")
        given: dict[str, Any] = {
            "name": name,
            "currency": currency,
            "as_of": _day(as_of),
            "source": source,
            "core_hour": float(core_hour),
            "gib_hour": float(gib_hour),
            "instances": _instances(instances),
        }
        for key, value in given.items():
            object.__setattr__(self, key, value)  # the class is frozen

    def instance(self, name: str) -> Instance:
        """Return an instance by its name. Raises ConfigError: the catalogue does not list it."""
        found = {instance.name: instance for instance in self.instances}
        if name not in found:
            raise ConfigError(
                "prices.instances",
                seen=repr(name),
                allowed=", ".join(found) or f"none: {self.name} lists no instance",
                fix="name one of these, or add it with its cores, memory_gib and hour",
            )
        return found[name]


def price_per_hour(catalogue: PriceCatalogue, resource: str) -> float:
    """Return the price of a core or a GiB by the hour, in the catalogue's currency.

    ``resource``: ``"cpu"`` (per core) or ``"memory"`` (per GiB). Raises ConfigError: the resource
    has no price.
    """
    if resource not in PRICES:
        raise ConfigError(
            "resource",
            seen=repr(resource),
            allowed=", ".join(f"{name} (prices.{key})" for name, key in PRICES.items()),
            fix="use one of these; nothing else has a price",
        )
    return catalogue.core_hour if resource == CPU else catalogue.gib_hour


def monthly_cost(
    values: ArrayLike, catalogue: PriceCatalogue, resource: str
) -> NDArray[np.float64]:
    """Return what requests cost in a month of 730 hours.

    float64, shape of ``values``, in the catalogue's currency; NaN stays NaN. ``values``: requests
    in cores or GiB, any shape; never shares of an unknown capacity. ``resource``: ``"cpu"`` or
    ``"memory"``. Raises ConfigError: the resource has no price.
    """
    price = price_per_hour(catalogue, resource)
    return np.asarray(values, dtype=np.float64) * price * HOURS_PER_MONTH


def fit_prices(instances: Iterable[Instance]) -> tuple[float, float]:
    """Return the prices of a core and of a GiB that explain those of instances best.

    Price of a core and of a GiB by the hour, rounded to six places. ``instances``: at least two
    that differ in GiB per core: general purpose alone cannot tell the two apart. Raises
    ConfigError: the instances do not tell the two prices apart, or only with one that is not above
    0.

    Notes
    -----
    Least squares of the relative error, ``(core * cores + gib * memory_gib) / hour - 1``, so that
    a size of a family counts as much as any other. For vendors that price only whole instances.
    """
    listed = tuple(instances)
    sizes = np.array([(each.cores, each.memory_gib) for each in listed]).reshape(-1, 2)
    hours = np.array([each.hour for each in listed])
    found, _, rank, _ = np.linalg.lstsq(sizes / hours[:, None], np.ones(len(listed)))
    if rank < len(PRICES) or not (found > 0.0).all():
        raise ConfigError(
            "prices.instances",
            seen=", ".join(each.name for each in listed) or "none",
            allowed="prices that rise with cores and with memory, of unlike GiB per core",
            fix="add a compute or a memory optimised family",
        )
    return round(float(found[0]), PLACES), round(float(found[1]), PLACES)


def _instances(given: Sequence[Mapping[str, Any]]) -> tuple[Instance, ...]:
    """Return the instances of a yaml, or raise if one lacks a value or is listed twice."""
    keys = set(Instance.__dataclass_fields__)
    for index, each in enumerate(given):
        if not isinstance(each, Mapping) or set(each) != keys:
            raise ConfigError(
                f"prices.instances[{index}]",
                seen=each,
                allowed="exactly name, cores, memory_gib and hour",
                fix="write {name: m6i.large, cores: 2, memory_gib: 8, hour: 0.096}",
            )
    names = [str(each["name"]) for each in given]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            "prices.instances", seen=f"{twice[0]} twice", allowed="each once", fix="remove one"
        )
    return tuple(
        Instance(**{**each, "name": name}) for each, name in zip(given, names, strict=True)
    )


def _day(text: str) -> date:
    """Return the day that prices hold for, or raise."""
    try:
        return date.fromisoformat(str(text))
    except ValueError as error:
        raise ConfigError(
            "prices.as_of",
            seen=repr(text),
            allowed="a day as YYYY-MM-DD",
            fix="set prices.as_of to the day you read the list",
        ) from error


def _require_text(key: str, value: str, pattern: str, allowed: str, fix: str) -> None:
    """Raise unless a value is a text of a pattern."""
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise ConfigError(key, seen=repr(value), allowed=allowed, fix=f"set {key}={fix}")
