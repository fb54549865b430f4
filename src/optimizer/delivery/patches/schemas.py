"""JSON Schemas of the objects that we write, and the check that they pass before they are."""

from __future__ import annotations

from typing import Any, Final

from optimizer.core.errors import SchemaError

Schema = dict[str, Any]
TEXT: Final[Schema] = {"type": "string", "minLength": 1}
TEXTS: Final[Schema] = {"type": "object", "additionalProperties": {"type": "string"}}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
QUANTITY: Final[Schema] = {
    "type": ["integer", "string"],
    "pattern": r"^[0-9]+(\.[0-9]+)?([numkMGTPE]|[KMGTPE]i)?$",
}
NAME: Final[Schema] = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"}


def strict(required: str, **properties: Schema) -> Schema:
    """Return the schema of an object with these properties and no other.

    Parameters
    ----------
    required : str
        Names of those that must be there, parted by spaces.
    **properties : dict
        Schemas by name.
    """
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def _listed(items: Schema, least: int = 0) -> Schema:
    return {"type": "array", "items": items, "minItems": least}


def _one_of(*values: str) -> Schema:
    return {"enum": list(values)}


def _object(group: str, kind: Schema, spec: Schema) -> Schema:
    return strict(
        "apiVersion kind metadata spec",
        apiVersion={"type": "string", "pattern": rf"^{group}/v[0-9][a-z0-9]*$"},
        kind=kind,
        metadata=strict("name", name=NAME, namespace=NAME, labels=TEXTS, annotations=TEXTS),
        spec=spec,
    )


_RESOURCES = strict("", cpu=QUANTITY, memory=QUANTITY)
_WITH_NULL = {**QUANTITY, "type": [*QUANTITY["type"], "null"]}
PATCH: Final = _object(
    r"[a-z0-9.-]+",
    _one_of("Deployment", "StatefulSet"),
    strict(
        "template",
        template=strict(
            "spec",
            spec=strict(
                "containers",
                containers=_listed(
                    strict(
                        "name resources",
                        name=NAME,
                        resources=strict(
                            "requests",
                            requests=_RESOURCES,
                            limits=strict("", cpu=_WITH_NULL, memory=QUANTITY),
                        ),
                    ),
                    least=1,
                ),
            ),
        ),
    ),
)
"""The part of a workload that we patch; the API reference's "Container" and "ResourceRequirements".
"""

_TARGET = strict("kind name", apiVersion=TEXT, kind=TEXT, name=NAME)
_BOOST = strict(
    "",
    cpu=strict(
        "type", type=_one_of("Factor", "Quantity"), factor=COUNT, quantity=QUANTITY, duration=TEXT
    ),
)
VPA: Final = _object(
    r"autoscaling\.k8s\.io",
    _one_of("VerticalPodAutoscaler"),
    strict(
        "targetRef",
        targetRef=_TARGET,
        updatePolicy=strict(
            "",
            updateMode=_one_of("Off", "Initial", "Recreate", "InPlaceOrRecreate", "Auto"),
            minReplicas={"type": "integer", "minimum": 1},
            evictionRequirements=_listed(
                strict(
                    "resources changeRequirement",
                    resources=_listed(TEXT, least=1),
                    changeRequirement=_one_of(
                        "TargetHigherThanRequests", "TargetLowerThanRequests"
                    ),
                )
            ),
        ),
        resourcePolicy=strict(
            "",
            containerPolicies=_listed(
                strict(
                    "",
                    containerName=TEXT,
                    mode=_one_of("Auto", "Off"),
                    minAllowed=_RESOURCES,
                    maxAllowed=_RESOURCES,
                    controlledResources=_listed(_one_of("cpu", "memory")),
                    controlledValues=_one_of("RequestsAndLimits", "RequestsOnly"),
                    oomBumpUpRatio=QUANTITY,
                    oomMinBumpUp=QUANTITY,
                    startupBoost=_BOOST,
                )
            ),
        ),
        recommenders={**_listed(strict("name", name=TEXT)), "maxItems": 1},
        startupBoost=_BOOST,
    ),
)
"""``VerticalPodAutoscalerSpec`` of kubernetes/autoscaler,
``vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1/types.go``."""

_RULES = strict(
    "",
    stabilizationWindowSeconds={"type": "integer", "minimum": 0, "maximum": 3600},
    selectPolicy=_one_of("Max", "Min", "Disabled"),
    policies=_listed(
        strict(
            "type value periodSeconds",
            type=_one_of("Pods", "Percent"),
            value={"type": "integer", "minimum": 1},
            periodSeconds={"type": "integer", "minimum": 1, "maximum": 1800},
        )
    ),
    tolerance=QUANTITY,
)
_CRON = strict(
    "timezone start end desiredReplicas",
    timezone=TEXT,
    start=TEXT,
    end=TEXT,
    desiredReplicas={"type": "string", "pattern": "^[0-9]+$"},
)
_TRIGGER: Schema = {
    **strict(
        "type metadata",
        type=TEXT,
        name=TEXT,
        useCachedMetrics={"type": "boolean"},
        metadata=TEXTS,
        authenticationRef=strict("name", name=TEXT, kind=TEXT),
        metricType=_one_of("AverageValue", "Value", "Utilization"),
    ),
    "if": {"properties": {"type": {"const": "cron"}}},
    "then": {"properties": {"metadata": _CRON}},
}
KEDA: Final = _object(
    r"keda\.sh",
    _one_of("ScaledObject"),
    strict(
        "scaleTargetRef triggers",
        scaleTargetRef=strict(
            "name", name=NAME, apiVersion=TEXT, kind=TEXT, envSourceContainerName=NAME
        ),
        pollingInterval=COUNT,
        initialCooldownPeriod=COUNT,
        cooldownPeriod=COUNT,
        idleReplicaCount=COUNT,
        minReplicaCount=COUNT,
        maxReplicaCount={"type": "integer", "minimum": 1},
        advanced=strict(
            "",
            horizontalPodAutoscalerConfig=strict(
                "", name=NAME, behavior=strict("", scaleUp=_RULES, scaleDown=_RULES)
            ),
            restoreToOriginalReplicaCount={"type": "boolean"},
            scalingModifiers=strict(
                "",
                formula=TEXT,
                target=TEXT,
                activationTarget=TEXT,
                metricType=_one_of("AverageValue", "Value"),
            ),
        ),
        triggers=_listed(_TRIGGER, least=1),
        fallback=strict(
            "failureThreshold replicas",
            failureThreshold=COUNT,
            replicas=COUNT,
            behavior=_one_of(
                "static",
                "currentReplicas",
                "currentReplicasIfHigher",
                "currentReplicasIfLower",
            ),
        ),
    ),
)
"""``ScaledObjectSpec`` of kedacore/keda, ``apis/keda/v1alpha1/scaledobject_types.go`` and
``scaletriggers_types.go``; a cron trigger's metadata as in the documentation's "Cron"; the rules
of ``behavior`` are autoscaling/v2's ``HPAScalingRules``."""


def check_object(document: dict[str, Any], schema: Schema, place: str) -> None:
    """Raise unless an object is what its schema says.

    Parameters
    ----------
    document : dict
        The object, as plain values.
    schema : dict
        :data:`PATCH`, :data:`VPA` or :data:`KEDA`.
    place : str
        The file it is meant for, for the message.

    Raises
    ------
    SchemaError
        Names the field at fault: the most telling one, if there are several.
    """
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
