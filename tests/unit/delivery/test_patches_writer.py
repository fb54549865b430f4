"""Files of patches: which, that they are whole, that old ones go, and Terraform's variables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from optimizer.core.config import CONF_DIR, build, load_config
from optimizer.core.errors import ConfigError, SchemaError
from optimizer.delivery.patches.base import MARK, PatchWriter
from optimizer.delivery.patches.keda import Keda
from optimizer.delivery.patches.kubernetes import Kubernetes
from optimizer.delivery.patches.plan import PatchPlan, ReplicaProfile
from optimizer.delivery.patches.settings import PatchSettings
from optimizer.delivery.patches.terraform import Terraform
from optimizer.delivery.patches.vpa import Vpa
from optimizer.delivery.patches.writer import Patches, skipped_patches

PATCHES = Patches(
    formats={"kubernetes": Kubernetes(), "vpa": Vpa(), "keda": Keda(), "terraform": Terraform()}
)


def chosen(choice: str) -> Patches:
    patches: Patches = build(load_config([f"patches={choice}"]).patches, "patches")
    return patches


def row(service: str, resource: str = "cpu", target: float = 1.5, **other: Any) -> dict[str, Any]:
    unit = {"cpu": "cores", "memory": "GiB"}[resource]
    return {
        "service_id": service, "cluster_id": "c1", "resource": resource, "unit": unit,
        "current": 1.0, "target": target, "lower_bound": 0.9, "upper_bound": 1.4,
        "action": "scale_up", "risk": 2.5, "reason": "Peaks reach the request.", **other,
    }  # fmt: skip


FRAME = pd.DataFrame(
    [
        row("web", "memory", 0.3, current=2.0, action="scale_down"),
        row("web", current=np.nan),
        row("Old_Job", lower_bound=np.nan),
        row("idle", unit="share of capacity"),
        row("fine", action="keep"),
    ]
)


def profile() -> ReplicaProfile:
    replicas = np.ones((2, 24, 2), dtype=np.int64)
    replicas[0, 8:18] = 4
    return ReplicaProfile(("web", "flat"), replicas)


def all_files(directory: Path) -> list[str]:
    found = (p for p in directory.rglob("*") if p.is_file())
    return sorted(p.relative_to(directory).as_posix() for p in found)


def test_one_file_per_service_and_kind(tmp_path: Path) -> None:
    found = PATCHES.write(FRAME, tmp_path, profile())
    places = [path.relative_to(tmp_path).as_posix() for path in found]
    assert places == [
        "kubernetes/old-job.yaml",
        "kubernetes/web.yaml",
        "vpa/web.yaml",  # old-job has no bounds
        "keda/web.yaml",  # flat needs no schedule
        "rightsizing.auto.tfvars.json",
    ]
    assert all_files(tmp_path) == sorted(places)


def test_files_hold_one_object_and_say_how_to_apply_it(tmp_path: Path) -> None:
    PATCHES.write(FRAME, tmp_path, profile())
    kinds = {"kubernetes": "Deployment", "vpa": "VerticalPodAutoscaler", "keda": "ScaledObject"}
    for folder, kind in kinds.items():
        text = (tmp_path / folder / "web.yaml").read_text()
        assert text.startswith(MARK)
        assert yaml.safe_load(text)["kind"] == kind
    # YAML 1.1 reads a bare Off as false.
    vpa = yaml.safe_load((tmp_path / "vpa/web.yaml").read_text())
    assert vpa["spec"]["updatePolicy"]["updateMode"] == "Off"
    command = (tmp_path / "kubernetes/web.yaml").read_text().splitlines()[1]
    assert command == (
        '# kubectl -n default patch deployment web --type strategic -p "$(cat kubernetes/web.yaml)"'
    )


def test_skipped_are_returned_with_reasons() -> None:
    found = skipped_patches(FRAME, profile())
    assert [(one.service_id, one.resource) for one in found] == [
        ("idle", "cpu"),
        ("flat", "replicas"),
    ]
    assert "share of capacity" in found[0].reason
    assert "same replicas at all hours" in found[1].reason


def test_terraform_variables(tmp_path: Path) -> None:
    PATCHES.write(FRAME, tmp_path)
    assert json.loads((tmp_path / "rightsizing.auto.tfvars.json").read_text()) == {
        "rightsizing": {
            "old-job": {
                "service_id": "Old_Job",
                "cpu_request": "1500m",
                "memory_request": None,
                "previous_cpu_request": "1000m",
                "previous_memory_request": None,
            },
            "web": {
                "service_id": "web",
                "cpu_request": "1500m",
                "memory_request": "308Mi",  # 0.3 * 1024 = 307.2, up
                "previous_cpu_request": None,
                "previous_memory_request": "2048Mi",
            },
        }
    }


def test_same_frame_gives_the_same_bytes_whatever_its_order(tmp_path: Path) -> None:
    first = PATCHES.write(FRAME, tmp_path / "a", profile())
    second = PATCHES.write(FRAME.iloc[::-1], tmp_path / "b", profile())
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_names_that_yaml_would_misread_stay_text(tmp_path: Path) -> None:
    patch, *_ = PATCHES.write(pd.DataFrame([row("123")]), tmp_path)
    assert yaml.safe_load(patch.read_text())["metadata"]["name"] == "123"
    patch, *_ = PATCHES.write(pd.DataFrame([row("on")]), tmp_path)
    assert yaml.safe_load(patch.read_text())["metadata"]["name"] == "on"


def test_patches_of_an_earlier_run_go_and_foreign_files_stay(tmp_path: Path) -> None:
    PATCHES.write(FRAME, tmp_path, profile())
    (tmp_path / "kubernetes" / "mine.yaml").write_text("kind: Deployment\n")
    PATCHES.write(pd.DataFrame([row("new")]), tmp_path)
    assert all_files(tmp_path) == [
        "kubernetes/mine.yaml",
        "kubernetes/new.yaml",
        "rightsizing.auto.tfvars.json",
        "vpa/new.yaml",
    ]


def test_nothing_to_change_writes_empty_variables(tmp_path: Path) -> None:
    for frame in (FRAME.iloc[:0], FRAME[FRAME["action"] == "keep"]):
        (path,) = PATCHES.write(frame, tmp_path)
        assert json.loads(path.read_text()) == {"rightsizing": {}}


def test_object_that_fails_its_check_stops_everything(tmp_path: Path) -> None:
    patches = Patches(formats={**PATCHES.formats, "vpa": Vpa(api_version="autoscaling/v1")})
    with pytest.raises(SchemaError, match=r"vpa/web.yaml: apiVersion"):
        patches.write(FRAME, tmp_path)
    assert all_files(tmp_path) == []


def test_failed_write_leaves_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, *_ = PATCHES.write(FRAME, tmp_path)
    before = path.read_bytes()
    real = Path.write_bytes

    def broken(self: Path, data: bytes) -> int:
        real(self, data[:10])
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", broken)
    with pytest.raises(OSError, match="disk full"):
        PATCHES.write(FRAME.assign(target=9.0), tmp_path)
    assert path.read_bytes() == before
    assert not any(name.endswith(".draft") for name in all_files(tmp_path))


def test_name_of_the_profile_must_not_collide_with_one_of_the_frame(tmp_path: Path) -> None:
    clash = ReplicaProfile(("old-job",), np.ones((1, 24, 2), dtype=np.int64))
    with pytest.raises(SchemaError, match="'Old_Job' and 'old-job'"):
        PATCHES.write(FRAME, tmp_path, clash)


@pytest.mark.parametrize(
    ("choice", "files"),
    [
        ("base", []),
        ("kubernetes", ["kubernetes/old-job.yaml", "kubernetes/web.yaml"]),
        ("terraform", ["rightsizing.auto.tfvars.json"]),
    ],
)
def test_formats_are_chosen_and_those_of_an_earlier_run_go(
    choice: str, files: list[str], tmp_path: Path
) -> None:
    chosen("kubernetes").write(FRAME, tmp_path)
    chosen(choice).write(FRAME, tmp_path, profile())
    assert all_files(tmp_path) == files


def test_default_chooses_every_format() -> None:
    assert chosen("default") == PATCHES
    assert all(isinstance(one, PatchWriter) for one in PATCHES.formats.values())
    every = sorted(path.stem for path in (CONF_DIR / "patches" / "format").glob("*.yaml"))
    assert sorted(PATCHES.formats) == every


class Csv:
    """A format of a user's own."""

    def render(self, plan: PatchPlan, settings: PatchSettings) -> dict[str, str]:
        told = [f"{one.name},{settings.quantity('cpu', 0.5)}" for one in plan.services]
        return {"own/all.csv": "\n".join(told)}


def test_format_of_a_user_s_own_is_written(tmp_path: Path) -> None:
    (path,) = Patches(formats={"csv": Csv()}).write(FRAME, tmp_path)
    assert path.read_text() == "old-job,500m\nweb,500m"


def test_format_that_lacks_a_method_is_refused() -> None:
    node = load_config(["patches=terraform"]).patches
    node["formats"]["own"] = {"_target_": "datetime.date", "year": 2024, "month": 1, "day": 1}
    with pytest.raises(ConfigError) as caught:
        build(node, "patches")
    assert str(caught.value) == (
        "patches.formats.own: got date, which has no method render. Allowed: a class with "
        "render(plan, settings), see PatchWriter. Fix: add render to the class that "
        "patches.formats.own._target_ names."
    )
