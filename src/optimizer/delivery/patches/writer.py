"""Patches on disk: checked first, then written, each file whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pandas as pd
import yaml

from optimizer.delivery.patches.keda import ReplicaProfile, scaled_object
from optimizer.delivery.patches.kubernetes import TOOL, workload_patch
from optimizer.delivery.patches.plan import PatchPlan, ServiceChange, Skipped, plan_patches
from optimizer.delivery.patches.schemas import KEDA, PATCH, VPA, Schema, check_object
from optimizer.delivery.patches.settings import PatchSettings
from optimizer.delivery.patches.terraform import FILE, terraform_variables
from optimizer.delivery.patches.vpa import vertical_pod_autoscaler

MARK: Final = f"# Written by {TOOL}; nothing was applied."
FOLDERS: Final = ("kubernetes", "vpa", "keda")
Build = Callable[[ServiceChange, PatchSettings], dict[str, Any] | None]


def write_patches(
    frame: pd.DataFrame,
    directory: Path,
    settings: PatchSettings,
    profile: ReplicaProfile | None = None,
) -> list[Path]:
    """Write what a person can review and apply, and apply nothing.

    Parameters
    ----------
    frame : pandas.DataFrame
        Recommendations, one row per service and resource.
    directory : pathlib.Path
        Gets ``kubernetes/``, ``vpa/`` and ``keda/`` with one file per service, and
        ``rightsizing.auto.tfvars.json``. A file that an earlier run wrote there for a service
        that no longer needs it is deleted; files without our first line are left alone.
    settings : PatchSettings
        Kind, names, units and limits.
    profile : ReplicaProfile, optional
        Replicas by hour, for schedules.

    Returns
    -------
    list of pathlib.Path
        The files, in the order of folders and services. What was left out, and why:
        :func:`skipped_patches`.

    Raises
    ------
    SchemaError
        The frame or an object is not what it should be; then nothing was written.
    """
    plan = plan_patches(frame, () if profile is None else profile.services)
    texts = _rendered(plan, settings, profile)
    paths = [directory / place for place in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        _replace(path, text)
    for folder in FOLDERS:
        for path in sorted((directory / folder).glob("*.yaml")):
            if path not in paths and path.read_bytes().startswith(MARK.encode()):
                path.unlink()
    return paths


def skipped_patches(
    frame: pd.DataFrame, profile: ReplicaProfile | None = None
) -> tuple[Skipped, ...]:
    """Return the recommendations that ask for a change and that no file is written for.

    Parameters
    ----------
    frame : pandas.DataFrame
        Recommendations, one row per service and resource.
    profile : ReplicaProfile, optional
        Replicas by hour: a service that wants the same at all hours needs no schedule.
    """
    if profile is None:
        return plan_patches(frame).skipped
    plan = plan_patches(frame, profile.services)
    flat = (profile.replicas == profile.replicas[:, :1, :1]).all(axis=(1, 2))
    reason = "it wants the same replicas at all hours; a schedule would say nothing"
    return plan.skipped + tuple(
        Skipped(service, "replicas", reason)
        for service, same in zip(profile.services, flat, strict=True)
        if same
    )


def _rendered(
    plan: PatchPlan, settings: PatchSettings, profile: ReplicaProfile | None
) -> dict[str, str]:
    """Return the text of every file by its place below the directory; all objects checked."""
    kinds: tuple[tuple[str, Build, Schema], ...] = (
        ("kubernetes", workload_patch, PATCH),
        ("vpa", vertical_pod_autoscaler, VPA),
    )
    texts: dict[str, str] = {}
    for folder, build, schema in kinds:
        for service in plan.services:
            _render(texts, folder, service.name, build(service, settings), schema)
    if profile is not None:
        for service_id, replicas in zip(profile.services, profile.replicas, strict=True):
            name = plan.names[service_id]
            built = scaled_object(service_id, name, replicas, settings)
            _render(texts, "keda", name, built, KEDA)
    values = terraform_variables(plan.services, settings)
    texts[FILE] = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    return texts


def _render(
    texts: dict[str, str], folder: str, name: str, built: dict[str, Any] | None, schema: Schema
) -> None:
    if built is None:
        return
    place = f"{folder}/{name}.yaml"
    check_object(built, schema, place)
    body = yaml.safe_dump(built, sort_keys=False, allow_unicode=True, width=100)
    texts[place] = f"{MARK} To apply it:\n# {_command(folder, place, built)}\n{body}"


def _command(folder: str, place: str, built: dict[str, Any]) -> str:
    space, name = built["metadata"]["namespace"], built["metadata"]["name"]
    if folder != "kubernetes":
        return f"kubectl apply -f {place}"
    kind = str(built["kind"]).lower()
    # Kubernetes 1.20 has no --patch-file.
    return f'kubectl -n {space} patch {kind} {name} --type strategic -p "$(cat {place})"'


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
