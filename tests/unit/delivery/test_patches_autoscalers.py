"""Autoscaler objects: bounds, cron windows as KEDA reads them, and their schemas."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest

from optimizer.core.errors import SchemaError
from optimizer.delivery.patches.base import check_object, load_schema
from optimizer.delivery.patches.keda import CronWindow, Keda, schedule_hints
from optimizer.delivery.patches.plan import Change, ReplicaProfile, ServiceChange
from optimizer.delivery.patches.settings import PatchSettings
from optimizer.delivery.patches.vpa import Vpa

NAN = float("nan")
SETTINGS = PatchSettings()
VPA, KEDA = load_schema("vpa"), load_schema("keda")
CPU = Change("cpu", 1.0, 1.2, 0.9005, 1.4, "Peaks reach the request.")
MEMORY = Change("memory", 4.0, 2.0, 1.0, 1.5, "Half of it is idle.")


def service(*changes: Change) -> ServiceChange:
    return ServiceChange("web", "c1", "web", 2.5, changes)


def vpa_of(*changes: Change) -> dict[str, Any]:
    found = Vpa().autoscaler(service(*changes), SETTINGS)
    assert found is not None
    return found


def keda_of(replicas: np.ndarray[Any, Any]) -> dict[str, Any]:
    found = Keda().scaled_object("web", "web", replicas, SETTINGS)
    assert found is not None
    return found


def hours(weekday: dict[range, int], weekend: dict[range, int], base: int = 1) -> Any:
    """Return a profile of base replicas but for the given hours."""
    found = np.full((24, 2), base)
    for column, given in enumerate((weekday, weekend)):
        for span, count in given.items():
            found[list(span), column] = count
    return found


def fires(cron: str) -> np.ndarray[Any, Any]:
    """Return whether a cron time fires at the start of each hour of a week from Monday."""
    minute, hour, day, month, weekdays = cron.split()
    assert (minute, day, month) == ("0", "*", "*")
    days: set[int] = set()
    for part in weekdays.replace("*", "0-6").split(","):
        first, _, last = part.partition("-")
        days |= set(range(int(first), int(last or first) + 1))
    assert days <= set(range(7))
    at = np.arange(168)
    return (at % 24 == int(hour)) & np.isin((at // 24 + 1) % 7, list(days))


def replicas_by_keda(spec: dict[str, Any]) -> list[int]:
    """Return the replicas of each hour of the week, by the rule of KEDA's cron scaler."""
    found = np.full(168, spec["minReplicaCount"])
    for trigger in spec["triggers"]:
        values = trigger["metadata"]
        starts, ends = fires(values["start"]), fires(values["end"])
        for hour in range(168):
            # Half past the hour: the next fires come from the next hour on.
            coming = (hour + 1 + np.arange(168)) % 168
            next_start = int(np.argmax(starts[coming]))
            next_end = int(np.argmax(ends[coming]))
            if not next_start < next_end:
                found[hour] = max(found[hour], int(values["desiredReplicas"]))
    return found.tolist()


def test_vpa_recommends_within_the_bounds_and_changes_nothing() -> None:
    found = vpa_of(CPU, MEMORY)
    check_object(found, VPA, "vpa/web.yaml")
    assert found["spec"] == {
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "updatePolicy": {"updateMode": "Off"},
        "resourcePolicy": {
            "containerPolicies": [
                {
                    "containerName": "web",
                    # 900.5 millicores, up; the memory target of 2 GiB is above its P95 of 1.5.
                    "minAllowed": {"cpu": "901m", "memory": "1024Mi"},
                    "maxAllowed": {"cpu": "1400m", "memory": "2048Mi"},
                    "controlledResources": ["cpu", "memory"],
                    "controlledValues": "RequestsOnly",
                }
            ]
        },
    }


def test_vpa_leaves_out_what_has_no_bounds() -> None:
    blind = Change("memory", 4.0, 2.0, NAN, 1.5, "Half of it is idle.")
    (policy,) = vpa_of(CPU, blind)["spec"]["resourcePolicy"]["containerPolicies"]
    assert policy["controlledResources"] == ["cpu"]
    assert list(policy["maxAllowed"]) == ["cpu"]
    assert Vpa().autoscaler(service(blind), SETTINGS) is None


def test_vpa_keeps_its_range_where_quantiles_cross() -> None:
    crossed = Change("cpu", 1.0, 1.2, 1.5, 1.4, "")
    (policy,) = vpa_of(crossed)["spec"]["resourcePolicy"]["containerPolicies"]
    assert (policy["minAllowed"], policy["maxAllowed"]) == ({"cpu": "1200m"}, {"cpu": "1500m"})


def test_hours_of_the_same_replicas_are_one_window() -> None:
    found = schedule_hints(hours({range(8, 18): 4}, {}))
    assert found == (CronWindow("0 8 * * 1-5", "0 18 * * 1-5", 4),)


def test_window_over_midnight_every_day() -> None:
    both = {range(22, 24): 3, range(6): 3}
    assert schedule_hints(hours(both, both)) == (CronWindow("0 22 * * *", "0 6 * * *", 3),)


def test_window_over_midnight_into_the_weekend() -> None:
    found = schedule_hints(hours({range(20, 24): 5}, {range(2): 5}))
    # Monday to Thursday end at midnight, Friday's goes on to Saturday 2:00; Sunday 0:00 to 2:00.
    assert set(found) == {
        CronWindow("0 20 * * 1-4", "0 0 * * 2-5", 5),
        CronWindow("0 20 * * 5", "0 2 * * 6", 5),
        CronWindow("0 0 * * 0", "0 2 * * 0", 5),
    }


def test_whole_days_are_one_window() -> None:
    weekend = schedule_hints(hours({}, {range(24): 2}))
    assert weekend == (CronWindow("0 0 * * 6", "0 0 * * 1", 2),)
    weekdays = schedule_hints(hours({range(24): 2}, {}))
    assert weekdays == (CronWindow("0 0 * * 1", "0 0 * * 6", 2),)


def test_steps_within_a_day_are_neighbouring_windows() -> None:
    both = {range(8, 12): 2, range(12, 14): 5}
    assert schedule_hints(hours(both, both)) == (
        CronWindow("0 8 * * *", "0 12 * * *", 2),
        CronWindow("0 12 * * *", "0 14 * * *", 5),
    )


def test_same_replicas_at_all_hours_need_no_schedule() -> None:
    assert schedule_hints(hours({}, {}, base=3)) == ()
    assert Keda().scaled_object("web", "web", hours({}, {}, base=3), SETTINGS) is None


def test_keda_replays_the_profile() -> None:
    rng = np.random.default_rng(0)
    for levels in (2, 2, 2, 3, 4, 6):
        profile = np.repeat(rng.integers(0, levels, (8, 2)), 3, axis=0)
        week = [*profile[:, 0].tolist() * 5, *profile[:, 1].tolist() * 2]
        found = keda_of(profile)
        check_object(found, KEDA, "keda/web.yaml")
        assert replicas_by_keda(found["spec"]) == week


def test_scaled_object_names_its_target_and_range() -> None:
    found = keda_of(hours({range(8, 18): 4}, {}))
    assert found["apiVersion"] == "keda.sh/v1alpha1"
    assert found["spec"] == {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "minReplicaCount": 1,
        "maxReplicaCount": 4,
        "triggers": [
            {
                "type": "cron",
                "metadata": {
                    "timezone": "Etc/UTC",
                    "start": "0 8 * * 1-5",
                    "end": "0 18 * * 1-5",
                    "desiredReplicas": "4",
                },
            }
        ],
    }


@pytest.mark.parametrize(
    ("services", "replicas", "said"),
    [
        (("a",), np.ones((1, 24), dtype=np.int64), "shape"),
        (("a", "b"), np.ones((1, 24, 2), dtype=np.int64), "shape"),
        (("a",), np.ones((1, 24, 2)), "dtype"),
        (("a",), -np.ones((1, 24, 2), dtype=np.int64), "value"),
        (("a", "a"), np.ones((2, 24, 2), dtype=np.int64), "services"),
    ],
)
def test_profiles_that_are_none_are_refused(services: Any, replicas: Any, said: str) -> None:
    with pytest.raises(SchemaError, match=f"replica profile: {said}"):
        ReplicaProfile(services, replicas)


@pytest.mark.parametrize(
    "path",
    [
        (),
        ("metadata",),
        ("spec",),
        ("spec", "targetRef"),
        ("spec", "updatePolicy"),
        ("spec", "resourcePolicy"),
        ("spec", "resourcePolicy", "containerPolicies", 0),
        ("spec", "resourcePolicy", "containerPolicies", 0, "minAllowed"),
    ],
)
def test_vpa_schema_refuses_a_bogus_field_anywhere(path: tuple[Any, ...]) -> None:
    refuse_bogus(vpa_of(CPU), VPA, path)


@pytest.mark.parametrize(
    "path",
    [
        (),
        ("metadata",),
        ("spec",),
        ("spec", "scaleTargetRef"),
        ("spec", "triggers", 0),
        ("spec", "triggers", 0, "metadata"),
    ],
)
def test_keda_schema_refuses_a_bogus_field_anywhere(path: tuple[Any, ...]) -> None:
    refuse_bogus(keda_of(hours({range(8, 18): 4}, {})), KEDA, path)


def refuse_bogus(found: dict[str, Any], schema: dict[str, Any], path: tuple[Any, ...]) -> None:
    check_object(found, schema, "web.yaml")
    bogus = deepcopy(found)
    inner: Any = bogus
    for part in path:
        inner = inner[part]
    inner["bogus"] = "1"
    place = ".".join(map(str, path)) or "the object"
    with pytest.raises(SchemaError, match="'bogus' was unexpected") as caught:
        check_object(bogus, schema, "web.yaml")
    assert caught.value.offender == f"web.yaml: {place}"


@pytest.mark.parametrize(
    ("schema", "field", "value"),
    [
        (VPA, ("updatePolicy", "updateMode"), "Sometimes"),
        (VPA, ("targetRef", "name"), "Not Valid"),
        (VPA, ("resourcePolicy", "containerPolicies", 0, "minAllowed", "cpu"), "1 core"),
        (KEDA, ("minReplicaCount",), -1),
        (KEDA, ("triggers",), []),
        (KEDA, ("triggers", 0, "metadata", "desiredReplicas"), 4),
    ],
)
def test_schemas_refuse_values_out_of_range(
    schema: dict[str, Any], field: tuple[Any, ...], value: object
) -> None:
    found = vpa_of(CPU) if schema is VPA else keda_of(hours({range(8, 18): 4}, {}))
    inner: Any = found["spec"]
    for part in field[:-1]:
        inner = inner[part]
    inner[field[-1]] = value
    with pytest.raises(SchemaError) as caught:
        check_object(found, schema, "web.yaml")
    assert caught.value.offender == f"web.yaml: spec.{'.'.join(map(str, field))}"


def test_trigger_is_a_cron_trigger_and_needs_its_times() -> None:
    found = keda_of(hours({range(8, 18): 4}, {}))
    trigger = found["spec"]["triggers"][0]
    del trigger["metadata"]["end"]
    with pytest.raises(SchemaError, match="'end' is a required property"):
        check_object(found, KEDA, "web.yaml")
    trigger |= {"type": "cpu"}
    with pytest.raises(SchemaError, match="'cron' was expected"):
        check_object(found, KEDA, "web.yaml")
