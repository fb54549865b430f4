"""Which recommendations become patches, and why the others do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.errors import SchemaError
from optimizer.delivery.patches.names import workload_names

ACTIONS: Final = ("scale_up", "scale_down")
UNITS: Final = {"cpu": "cores", "memory": "GiB"}
SHARE: Final = "share of capacity"
DAY: Final = 24
AMOUNTS: Final = ("current", "target", "lower_bound", "upper_bound")
COLUMNS: Final = (
    "service_id", "cluster_id", "resource", "unit", "action", "risk", "reason", *AMOUNTS,
)  # fmt: skip


@dataclass(frozen=True)
class Change:
    """The new request of one resource, in cores or GiB.

    ``resource``: ``"cpu"`` or ``"memory"``. ``current``: request of today; NaN if unknown.
    ``target``: request to write, above 0. ``lower``, ``upper``: P5 and P95 of the coming interval's
    peak; NaN if unknown.
    """

    resource: str
    current: float
    target: float
    lower: float
    upper: float
    reason: str


@dataclass(frozen=True)
class ServiceChange:
    """What changes for one service: at least one resource, CPU first."""

    service_id: str
    cluster_id: str
    name: str
    risk: float
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Skipped:
    """A recommendation that was asked for and is not written, with the reason."""

    service_id: str
    resource: str
    reason: str


@dataclass(frozen=True)
class ReplicaProfile:
    """How many replicas each service wants at each hour.

    ``services``: service ids, shape ``(n_services,)``. ``replicas``: int64, shape ``(n_services,
    24, 2)``, at least 0: hour ``h`` is from ``h:00`` to ``h+1:00`` UTC; the last axis is Monday to
    Friday, then Saturday and Sunday. Raises SchemaError: the shape differs, a value is no whole
    number of at least 0, or a service is there twice.
    """

    services: tuple[str, ...]
    replicas: NDArray[np.int64]

    def __post_init__(self) -> None:
        shape = (len(self.services), DAY, 2)
        if self.replicas.shape != shape:
            raise _bad("shape", self.replicas.shape, f"{shape}: services, hours, weekday or not")
        if not np.issubdtype(self.replicas.dtype, np.integer):
            raise _bad("dtype", self.replicas.dtype, "whole numbers")
        if (self.replicas < 0).any():
            raise _bad("value", int(self.replicas.min()), "at least 0")
        if len(set(self.services)) < len(self.services):
            raise _bad("services", ", ".join(self.services), "every service once")


@dataclass(frozen=True)
class PatchPlan:
    """What will be written, what will not, and the Kubernetes name of every service id."""

    services: tuple[ServiceChange, ...]
    skipped: tuple[Skipped, ...]
    names: dict[str, str]
    profile: ReplicaProfile | None = None


def plan_patches(frame: pd.DataFrame, profile: ReplicaProfile | None = None) -> PatchPlan:
    """Return the changes of the services that are to scale up or down.

    Services in the order of their ids. A row whose action is neither scale_up nor scale_down asks
    for nothing and is left out; one in shares of an unknown capacity is skipped, and so are the
    replicas of a service that wants the same at all hours. ``frame``: recommendations, one row per
    service and resource. ``profile``: replicas by hour; the names of its services must not collide
    with those of the frame. Raises SchemaError: a column is missing, a unit is unknown, a row is
    there twice, a target is no number above 0, another amount is negative or infinite, or two ids
    become the same name.
    """
    wanted = _checked(frame)
    shares = wanted["unit"] == SHARE
    rows = wanted[~shares]
    names = workload_names([*rows["service_id"], *(profile.services if profile else ())])
    groups = rows.groupby("service_id", sort=True)
    services = tuple(
        _service(str(service), names[str(service)], group.to_dict("records"))
        for service, group in groups
    )
    skipped = tuple(
        Skipped(
            service,
            resource,
            f"its {resource} is known only as a share of capacity; a patch needs cores or GiB",
        )
        for service, resource in zip(
            wanted.loc[shares, "service_id"], wanted.loc[shares, "resource"], strict=True
        )
    )
    return PatchPlan(services, skipped + _flat(profile), names, profile)


def _flat(profile: ReplicaProfile | None) -> tuple[Skipped, ...]:
    """Return the services that need no schedule."""
    if profile is None:
        return ()
    reason = "it wants the same replicas at all hours; a schedule would say nothing"
    same = (profile.replicas == profile.replicas[:, :1, :1]).all(axis=(1, 2))
    flat = np.array(profile.services)[same]
    return tuple(Skipped(str(service), "replicas", reason) for service in flat)


def _service(service_id: str, name: str, rows: list[dict[Any, Any]]) -> ServiceChange:
    changes = tuple(
        Change(
            row["resource"],
            float(row["current"]),
            float(row["target"]),
            float(row["lower_bound"]),
            float(row["upper_bound"]),
            str(row["reason"]),
        )
        for row in rows
    )
    return ServiceChange(
        service_id, str(rows[0]["cluster_id"]), name, float(rows[0]["risk"]), changes
    )


def _checked(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that ask for a change, sorted, after a look at what must hold."""
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise SchemaError(
            f"recommendations: column {', '.join(missing)}",
            seen=f"columns {', '.join(map(str, frame.columns))}",
            allowed=f"at least {', '.join(COLUMNS)}",
            fix="pass the frame that the recommendations came in",
        )
    wanted = frame.loc[frame["action"].isin(ACTIONS), list(COLUMNS)]
    wanted = wanted.sort_values(["service_id", "resource"], kind="stable")
    known = (wanted["unit"] == SHARE) & wanted["resource"].isin(UNITS)
    known |= wanted["unit"] == wanted["resource"].map(UNITS)
    _refuse(wanted[~known], ["resource", "unit"], "cpu in cores or memory in GiB, or shares")
    twice = wanted.duplicated(["service_id", "resource"])
    _refuse(wanted[twice], ["resource"], "one row per service and resource")
    amounts = wanted[list(AMOUNTS)].astype(float)
    usable = np.isfinite(amounts["target"]) & (amounts["target"] > 0.0)
    _refuse(wanted[~usable], ["resource", "target"], "a target above 0")
    usable = ((amounts >= 0.0) & np.isfinite(amounts) | amounts.isna()).all(axis=1)
    _refuse(wanted[~usable], ["resource", *AMOUNTS], "finite amounts of at least 0, or NaN")
    return wanted


def _refuse(rows: pd.DataFrame, columns: list[str], allowed: str) -> None:
    if len(rows):
        first = rows.iloc[0]
        raise SchemaError(
            f"recommendations: {' and '.join(columns)} of {first['service_id']}",
            seen=", ".join(str(first[column]) for column in columns),
            allowed=allowed,
            fix="pass the frame that the recommendations came in",
        )


def _bad(what: str, seen: object, allowed: str) -> SchemaError:
    return SchemaError(
        f"replica profile: {what}",
        seen=seen,
        allowed=allowed,
        fix="pass whole replicas of shape (services, 24, 2)",
    )
