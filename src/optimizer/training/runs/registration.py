"""How a trained model enters the registry, whatever it predicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimizer.core.config_schema import ExperimentConfig
from optimizer.training.promotion import Verdict
from optimizer.training.tracking.mlflow_run import TrackedRun
from optimizer.training.tracking.registry import log_model, register, set_champion


def register_model(
    run: TrackedRun,
    config: ExperimentConfig,
    name: str,
    trained: Any,
    verdict: Verdict,
    tags: Mapping[str, str],
) -> dict[str, Any]:
    """Log a model, register it as challenger, and make it champion if it has earned it.

    In a grid (``registry.register=false``) it is only logged and judged, and the grid registers its
    best. Returns ``name``, ``version`` (None if it was not registered), ``champion``, ``reason``,
    ``tags`` and ``model``, the fields of the logged model.
    """
    logged = log_model(run, trained)
    entry = {
        "name": name,
        "version": None,
        "champion": verdict.promoted,
        "reason": verdict.reason,
        "tags": dict(tags),
        "model": vars(logged),
    }
    if not config.registry.register:
        return entry
    version = register(run, logged, name, tags)
    if verdict.promoted:
        set_champion(run, version)
    return entry | {"version": version.version}
