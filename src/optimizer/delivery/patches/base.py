"""What a format of patches must be able to do, and what formats of Kubernetes objects share."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from math import isnan
from typing import Any, Final, Protocol, runtime_checkable

import yaml

from optimizer.core.errors import SchemaError
from optimizer.delivery.patches.plan import UNITS, Change, PatchPlan, ServiceChange
from optimizer.delivery.patches.settings import PatchSettings

TOOL: Final = "cloud-workload-optimizer"
MARK: Final = f"# Written by {TOOL}; nothing was applied."


@runtime_checkable
class PatchWriter(Protocol):
    """One format of patches. Its own settings are the arguments of its constructor.

    A new format is a class with this method and a yaml in ``conf/patches/format``.
    """

    def render(self, plan: PatchPlan, settings: PatchSettings) -> dict[str, str]:
        """Return the text of every file by its place below the directory, all of it checked.

        ``plan``: what changes, and the replicas by hour if they are known. ``settings``: what all
        formats share. Raises SchemaError: a text would not be what its reader takes; no file of any
        format is written then.

        Notes
        -----
        A YAML file of an earlier run that is not among the places is deleted if it begins with
        :data:`MARK`.
        """


def render_object(
    place: str, document: dict[str, Any], schema: str, command: str | None = None
) -> dict[str, str]:
    """Return a Kubernetes object as the text of its file, by its place.

    ``place``: the file, below the directory. ``document``: the object, as plain values. ``schema``:
    name of its schema in ``schemas/``. ``command``: how to apply it; None: ``kubectl apply``.
    Raises SchemaError: the object is not what its schema says.
    """
    check_object(document, load_schema(schema), place)
    body = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)
    return {place: f"{MARK} To apply it:\n# {command or f'kubectl apply -f {place}'}\n{body}"}


@cache
def load_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema of a kind of object, read once."""
    text = files(__package__).joinpath("schemas", f"{name}.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def check_object(document: dict[str, Any], schema: dict[str, Any], place: str) -> None:
    """Raise a SchemaError that names the most telling field at fault and the file it is for."""
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
    from jsonschema.exceptions import best_match  # type: ignore[import-untyped]

    error = best_match(Draft202012Validator(schema).iter_errors(document))
    if error is None:
        return
    field = ".".join(str(part) for part in error.absolute_path) or "the object"
    given = error.schema.get("properties", {})
    raise SchemaError(
        f"{place}: {field}",
        seen=error.message,
        allowed=", ".join(given) or f"{error.validator} {error.validator_value}",
        fix="correct the patches' settings; nothing was written",
    )


def target_of(name: str, settings: PatchSettings) -> dict[str, str]:
    """Return the reference by which an autoscaler finds its workload."""
    return {"apiVersion": settings.workload_api_version, "kind": settings.kind, "name": name}


def metadata(service: ServiceChange, settings: PatchSettings) -> dict[str, Any]:
    """Return name, namespace and annotations of the object of a service."""
    notes = origin(service.service_id, service.name)
    notes[f"{TOOL}/cluster-id"] = service.cluster_id
    if not isnan(service.risk):
        notes[f"{TOOL}/risk"] = f"{service.risk:.2f} of 4"
    for change in service.changes:
        notes |= _notes(change)
    return {"name": service.name, "namespace": settings.namespace, "annotations": notes}


def origin(service_id: str, name: str) -> dict[str, str]:
    """Return annotations that say which tool wrote the object, and the id if the name differs."""
    notes = {f"{TOOL}/generated-by": TOOL}
    if service_id != name:
        notes[f"{TOOL}/service-id"] = service_id
    return notes


def _notes(change: Change) -> dict[str, str]:
    prefix, unit = f"{TOOL}/{change.resource}", UNITS[change.resource]
    notes = {f"{prefix}-target": f"{change.target:.4g} {unit}"}
    if not (isnan(change.lower) or isnan(change.upper)):
        notes[f"{prefix}-bounds"] = f"{change.lower:.4g} to {change.upper:.4g} {unit}"
    return notes | {f"{prefix}-reason": change.reason}
