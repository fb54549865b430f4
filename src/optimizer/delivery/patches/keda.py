"""KEDA objects that scale by the clock: windows of replicas, from an hourly profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from optimizer.delivery.patches.base import origin, render_object, target_of
from optimizer.delivery.patches.plan import DAY, PatchPlan
from optimizer.delivery.patches.settings import PatchSettings, require_api_version

TIMEZONE: Final = "Etc/UTC"
WEEK: Final = 7 * DAY


@dataclass(frozen=True)
class Keda:
    """A ScaledObject per service whose replicas change by the hour, in ``keda/``.

    Raises ConfigError: the version is none.

    Parameters
    ----------
    api_version : str
        ``apiVersion`` of the objects.

    Notes
    -----
    KEDA makes a HorizontalPodAutoscaler of it: a workload that has one keeps that and takes the
    triggers over by hand.

    References
    ----------
    KEDA documentation, "ScaledObject specification" and "Cron".
    """

    api_version: str = "keda.sh/v1alpha1"

    def __post_init__(self) -> None:
        require_api_version("patches.formats.keda.api_version", self.api_version)

    def render(self, plan: PatchPlan, settings: PatchSettings) -> dict[str, str]:
        """Return a file per service of the profile that needs a schedule."""
        texts: dict[str, str] = {}
        if plan.profile is None:
            return texts
        for service, replicas in zip(plan.profile.services, plan.profile.replicas, strict=True):
            document = self.scaled_object(service, plan.names[service], replicas, settings)
            if document is not None:
                texts |= render_object(f"keda/{plan.names[service]}.yaml", document, "keda")
        return texts

    def scaled_object(
        self, service_id: str, name: str, replicas: NDArray[np.int64], settings: PatchSettings
    ) -> dict[str, Any] | None:
        """Return the ScaledObject of a service, or None if it wants the same at all hours.

        ``replicas``: its profile, shape ``(24, 2)``.
        """
        windows = schedule_hints(replicas)
        if not windows:
            return None
        return {
            "apiVersion": self.api_version,
            "kind": "ScaledObject",
            "metadata": {
                "name": name,
                "namespace": settings.namespace,
                "annotations": origin(service_id, name),
            },
            "spec": {
                "scaleTargetRef": target_of(name, settings),
                "minReplicaCount": int(replicas.min()),
                "maxReplicaCount": int(replicas.max()),
                "triggers": [_trigger(window) for window in windows],
            },
        }


@dataclass(frozen=True)
class CronWindow:
    """Replicas from one cron time to another, ``minute hour day month weekday`` (Sunday is 0)."""

    start: str
    end: str
    replicas: int


def schedule_hints(replicas: NDArray[np.int64]) -> tuple[CronWindow, ...]:
    """Return the windows in which a service wants more replicas than at its quietest hour.

    Hours of the same replicas are one window, over midnight too; windows that repeat on several
    days are one with a list of days. Disjoint; none if all hours are the same. ``replicas``: one
    service's profile, shape ``(24, 2)``: hours, and weekday or weekend.

    Notes
    -----
    KEDA's cron trigger is active while the next ``end`` comes before the next ``start``. Each
    window repeats with the same hour and length, so starts and ends alternate. Between windows
    the least replicas apply, as ``minReplicaCount``.

    References
    ----------
    kedacore/keda, ``pkg/scalers/cron_scaler.go``; robfig/cron v3, weekdays 0 to 6.
    """
    week = np.concatenate([np.tile(replicas[:, 0], 5), np.tile(replicas[:, 1], 2)])
    starts = np.flatnonzero(week != np.roll(week, 1))
    lengths = (np.roll(starts, -1) - starts) % WEEK
    repeats: dict[tuple[int, int, int], list[int]] = {}
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        if week[start] > week.min():
            key = (start % DAY, length, int(week[start]))
            repeats.setdefault(key, []).append(start)
    return tuple(
        CronWindow(_cron(begins), _cron([begin + length for begin in begins]), count)
        for (_, length, count), begins in sorted(repeats.items())
    )


def _trigger(window: CronWindow) -> dict[str, Any]:
    return {
        "type": "cron",
        "metadata": {
            "timezone": TIMEZONE,
            "start": window.start,
            "end": window.end,
            "desiredReplicas": str(window.replicas),
        },
    }


def _cron(hours: list[int]) -> str:
    """Return the cron time of hours of the week from Monday 0:00, all at one hour of the day."""
    days = sorted({(hour // DAY + 1) % 7 for hour in hours})
    return f"0 {hours[0] % DAY} * * {_days(days)}"


def _days(days: list[int]) -> str:
    if len(days) == 7:
        return "*"
    if len(days) > 2 and days[-1] - days[0] == len(days) - 1:
        return f"{days[0]}-{days[-1]}"
    return ",".join(map(str, days))
