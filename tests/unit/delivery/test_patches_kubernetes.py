"""Patches of workloads: which rows become one, quantities, names, and what kubectl makes of it."""

from __future__ import annotations

import shutil
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate
import numpy as np
import pandas as pd
import pytest
import yaml

from optimizer.core.errors import ConfigError, SchemaError
from optimizer.delivery.patches.base import check_object, load_schema
from optimizer.delivery.patches.kubernetes import Kubernetes
from optimizer.delivery.patches.names import container_name, workload_names
from optimizer.delivery.patches.plan import plan_patches
from optimizer.delivery.patches.settings import PatchSettings
from optimizer.delivery.patches.vpa import Vpa
from optimizer.delivery.patches.writer import Patches, skipped_patches

KUBECTL = shutil.which("kubectl")
needs_kubectl = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")
SETTINGS = PatchSettings()
TOOL = "cloud-workload-optimizer"
DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "default", "annotations": {"team": "shop"}},
    "spec": {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "containers": [
                    {
                        "name": "proxy",
                        "image": "proxy:1",
                        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
                    },
                    {
                        "name": "web",
                        "image": "web:1",
                        "env": [{"name": "MODE", "value": "live"}],
                        "resources": {
                            "requests": {"cpu": "1", "memory": "4Gi"},
                            "limits": {"cpu": "2", "memory": "4Gi", "ephemeral-storage": "1Gi"},
                        },
                    },
                ]
            },
        },
    },
}


def row(service: str, resource: str = "cpu", target: float = 1.5, **other: Any) -> dict[str, Any]:
    unit = {"cpu": "cores", "memory": "GiB"}[resource]
    return {
        "service_id": service, "cluster_id": "c1", "resource": resource, "unit": unit,
        "current": 1.0, "target": target, "lower_bound": 0.9, "upper_bound": 1.4,
        "action": "scale_up", "risk": 2.5, "reason": "Peaks reach the request.", **other,
    }  # fmt: skip


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(rows)


def patch_of(
    *rows: dict[str, Any], settings: PatchSettings = SETTINGS, **own: Any
) -> dict[str, Any]:
    (service,) = plan_patches(frame(*rows)).services
    return Kubernetes(**own).patch(service, settings)


def write_patches(given: pd.DataFrame, directory: Path, **own: Any) -> list[Path]:
    return Patches(formats={"kubernetes": Kubernetes(**own)}).write(given, directory)


def resources_of(document: dict[str, Any], container: str = "web") -> dict[str, Any]:
    found = document["spec"]["template"]["spec"]["containers"]
    return next(one["resources"] for one in found if one["name"] == container)


def kubectl_patch(target: Path, patch: str) -> subprocess.CompletedProcess[str]:
    # Only what Kubernetes 1.20 has: --patch-file came with 1.21.
    command = [str(KUBECTL), "patch", "--local", "-f", str(target), "--type", "strategic"]
    return subprocess.run(
        [*command, "-p", patch, "-o", "yaml"], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("resource", "value", "ratio", "expected"),
    [
        ("cpu", 1.5, 1.0, "1500m"),
        ("cpu", 0.1001, 1.0, "101m"),  # 100.1 millicores, up
        ("cpu", 1e-9, 1.0, "1m"),
        ("cpu", 0.0, 1.0, "0m"),
        ("cpu", float(np.float32(1.2)), 1.0, "1200m"),  # 1.2000000477, not 1201m
        ("memory", 2.0, 1.0, "2048Mi"),
        ("memory", 0.3, 1.0, "308Mi"),  # 0.3 * 1024 = 307.2, up
        ("memory", 0.3, 1.25, "385Mi"),  # 308 * 1.25 = 385: of the request as written
        ("memory", 0.3, 1.3, "401Mi"),  # 308 * 1.3 = 400.4, up
    ],
)
def test_quantities_are_rounded_up(
    resource: str, value: float, ratio: float, expected: str
) -> None:
    assert SETTINGS.quantity(resource, value, ratio) == expected


def test_quantities_in_other_units() -> None:
    settings = PatchSettings(cpu_unit="", memory_unit="Gi")
    assert settings.quantity("cpu", 1.2) == "2"
    assert settings.quantity("memory", 2.1) == "3Gi"


def test_patch_requests_and_limits_memory_and_requests_cpu() -> None:
    found = patch_of(row("web", "memory", 2.0), row("web"))
    assert resources_of(found) == {
        "requests": {"cpu": "1500m", "memory": "2048Mi"},
        "limits": {"memory": "2048Mi"},
    }
    assert (found["apiVersion"], found["kind"]) == ("apps/v1", "Deployment")
    assert found["metadata"] == {
        "name": "web",
        "namespace": "default",
        "annotations": {
            f"{TOOL}/generated-by": TOOL,
            f"{TOOL}/cluster-id": "c1",
            f"{TOOL}/risk": "2.50 of 4",
            f"{TOOL}/cpu-target": "1.5 cores",
            f"{TOOL}/cpu-bounds": "0.9 to 1.4 cores",
            f"{TOOL}/cpu-reason": "Peaks reach the request.",
            f"{TOOL}/memory-target": "2 GiB",
            f"{TOOL}/memory-bounds": "0.9 to 1.4 GiB",
            f"{TOOL}/memory-reason": "Peaks reach the request.",
        },
    }


def test_only_what_changes_is_patched() -> None:
    kept = row("web", "memory", 1.0, action="keep")
    assert resources_of(patch_of(row("web"), kept)) == {"requests": {"cpu": "1500m"}}


def test_unknown_bounds_and_risk_leave_no_note() -> None:
    found = patch_of(row("web", lower_bound=np.nan, risk=np.nan))
    names = {key.removeprefix(f"{TOOL}/") for key in found["metadata"]["annotations"]}
    assert names == {"generated-by", "cluster-id", "cpu-target", "cpu-reason"}


def test_settings_reach_the_patch() -> None:
    settings = PatchSettings(namespace="shop", kind="StatefulSet", container="app")
    ratios = {"memory_limit_ratio": 1.5, "cpu_limit_ratio": 2.0}
    found = patch_of(row("web", "memory", 2.0), row("web"), settings=settings, **ratios)
    assert found["kind"] == "StatefulSet"
    assert found["metadata"]["namespace"] == "shop"
    # 1500 * 2 and 2048 * 1.5.
    assert resources_of(found, "app")["limits"] == {"cpu": "3000m", "memory": "3072Mi"}


@pytest.mark.parametrize(
    ("build", "key", "values"),
    [
        (PatchSettings, "namespace", {"namespace": "My_Space"}),
        (PatchSettings, "kind", {"kind": "DaemonSet"}),
        (PatchSettings, "container", {"container": "a.b"}),
        (PatchSettings, "cpu_unit", {"cpu_unit": "u"}),
        (PatchSettings, "memory_unit", {"memory_unit": "MB"}),
        (Kubernetes, "formats.kubernetes.memory_limit_ratio", {"memory_limit_ratio": 0.9}),
        (Kubernetes, "formats.kubernetes.cpu_limit_ratio", {"cpu_limit_ratio": 0.5}),
        (
            Kubernetes,
            "formats.kubernetes.remove_cpu_limit",
            {"cpu_limit_ratio": 2.0, "remove_cpu_limit": True},
        ),
        (Vpa, "formats.vpa.api_version", {"api_version": "v1"}),
    ],
)
def test_settings_out_of_range_are_refused(build: Any, key: str, values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"patches.{key}"):
        build(**values)


def test_names_are_valid_and_valid_ids_stay() -> None:
    found = workload_names(["web", "api.v2", "Shop/Cart_1", "-x-", "web", "a..b", "long" * 100])
    assert found == {
        "web": "web",
        "api.v2": "api.v2",
        "Shop/Cart_1": "shop-cart-1",
        "-x-": "x",
        "a..b": "a.b",
        "long" * 100: "long" * 60,
    }
    assert container_name("api.v2") == "api-v2"
    assert container_name("a" * 62 + ".b") == "a" * 62


def test_names_that_collide_or_vanish_are_refused() -> None:
    with pytest.raises(SchemaError, match=r"'Web_1' and 'web-1', both 'web-1'"):
        workload_names(["web-1", "Web_1"])
    with pytest.raises(SchemaError, match="service_id: got '__'"):
        workload_names(["__"])


def test_changed_name_is_noted() -> None:
    found = patch_of(row("Shop/Cart.V2"))
    assert found["metadata"]["name"] == "shop-cart.v2"
    assert found["metadata"]["annotations"][f"{TOOL}/service-id"] == "Shop/Cart.V2"
    assert resources_of(found, "shop-cart-v2") == {"requests": {"cpu": "1500m"}}


def test_shares_are_skipped_with_a_reason() -> None:
    given = frame(
        row("b", unit="share of capacity"),
        row("a"),
        row("c", action="keep"),
        row("d", action="none", unit="share of capacity"),
        row("a", "memory", unit="share of capacity"),
    )
    plan = plan_patches(given)
    assert [service.service_id for service in plan.services] == ["a"]
    assert [change.resource for change in plan.services[0].changes] == ["cpu"]
    assert [(one.service_id, one.resource) for one in plan.skipped] == [
        ("a", "memory"),
        ("b", "cpu"),
    ]
    assert "share of capacity" in plan.skipped[0].reason
    assert skipped_patches(given) == plan.skipped


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ([row("web", unit="GiB")], "resource and unit of web: got cpu, GiB"),
        ([row("web") | {"resource": "disk"}], "resource and unit of web: got disk, cores"),
        ([row("web"), row("web")], "resource of web: got cpu"),
        ([row("web", target=np.nan)], "resource and target of web: got cpu, nan"),
        ([row("web", target=0.0)], "resource and target of web: got cpu, 0.0"),
        ([row("web", target=np.inf)], "resource and target of web: got cpu, inf"),
        ([row("web", lower_bound=-0.1)], "lower_bound and upper_bound of web"),
        ([row("web", current=np.inf)], "current and target"),
    ],
)
def test_frames_that_break_the_contract_are_refused(bad: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(SchemaError, match=said):
        plan_patches(frame(*bad))


def test_missing_column_is_named() -> None:
    with pytest.raises(SchemaError, match="column unit, risk"):
        plan_patches(frame(row("web")).drop(columns=["unit", "risk"]))


@needs_kubectl
def test_kubectl_applies_the_patch_and_keeps_the_rest(tmp_path: Path) -> None:
    target = tmp_path / "deployment.yaml"
    target.write_text(yaml.safe_dump(DEPLOYMENT))
    given = frame(row("web", "memory", 2.0), row("web"))
    patch = write_patches(given, tmp_path / "out")[0]
    done = kubectl_patch(target, patch.read_text())
    assert done.returncode == 0, done.stderr
    found = yaml.safe_load(done.stdout)
    kubernetes_validate.validate(found, kubernetes_validate.latest_version(), strict=True)
    expected = deepcopy(DEPLOYMENT)
    expected["spec"]["template"]["spec"]["containers"][1]["resources"] = {
        "requests": {"cpu": "1500m", "memory": "2048Mi"},
        "limits": {"cpu": "2", "memory": "2048Mi", "ephemeral-storage": "1Gi"},
    }
    assert found["spec"] == expected["spec"]
    notes = found["metadata"]["annotations"]
    assert notes["team"] == "shop"
    assert notes[f"{TOOL}/cpu-target"] == "1.5 cores"


@needs_kubectl
def test_kubectl_removes_the_cpu_limit_if_told_to(tmp_path: Path) -> None:
    target = tmp_path / "deployment.yaml"
    target.write_text(yaml.safe_dump(DEPLOYMENT))
    patch = write_patches(frame(row("web")), tmp_path, remove_cpu_limit=True)[0]
    done = kubectl_patch(target, patch.read_text())
    assert done.returncode == 0, done.stderr
    limits = resources_of(yaml.safe_load(done.stdout))["limits"]
    assert limits == {"memory": "4Gi", "ephemeral-storage": "1Gi"}


@needs_kubectl
def test_kubectl_refuses_a_bogus_field(tmp_path: Path) -> None:
    # kubectl looks up how to merge a map that both have; what else it does not know, it drops.
    deployment, bogus = deepcopy(DEPLOYMENT), patch_of(row("web"))
    deployment["spec"]["template"]["spec"]["containers"][1]["resource"] = {"requests": {}}
    bogus["spec"]["template"]["spec"]["containers"][0]["resource"] = {"requests": {"cpu": "1"}}
    target = tmp_path / "deployment.yaml"
    target.write_text(yaml.safe_dump(deployment))
    done = kubectl_patch(target, yaml.safe_dump(bogus))
    assert done.returncode != 0
    assert "unable to find api field" in done.stderr


def test_both_validators_refuse_a_bogus_field() -> None:
    bogus = patch_of(row("web"))
    bogus["spec"]["template"]["spec"]["containers"][0]["resources"]["request"] = {"cpu": "1"}
    with pytest.raises(SchemaError, match=r"web.yaml: spec.template.*'request' was unexpected"):
        check_object(bogus, load_schema("kubernetes"), "web.yaml")
    whole = deepcopy(DEPLOYMENT)
    kubernetes_validate.validate(whole, kubernetes_validate.latest_version(), strict=True)
    whole["spec"]["template"]["spec"]["containers"][1]["resources"]["request"] = {"cpu": "1"}
    with pytest.raises(kubernetes_validate.ValidationError, match="'request' was unexpected"):
        kubernetes_validate.validate(whole, kubernetes_validate.latest_version(), strict=True)
