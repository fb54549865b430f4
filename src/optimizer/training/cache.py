"""Experiments and usage from references: what a task opens on whatever worker it runs."""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from threading import Lock

from optimizer.core.artifacts import ArtifactRef, hash_values
from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.panel import Panel
from optimizer.features.storage import load_features, load_panel
from optimizer.features.table import FeatureTable
from optimizer.training.experiment import Experiment, build_components, build_experiment

DECIDING = ("target", "split", "features", "evaluation", "imbalance", "seed", "threads")
"""Keys of a configuration that an experiment depends on, beside its data."""
_LOCK = Lock()
_KEPT: dict[tuple[object, ...], Experiment] = {}
_KEPT_AT_MOST = 2


def open_experiment(
    config: ExperimentConfig,
    validated: ArtifactRef,
    features: ArtifactRef,
    validations: int | None = None,
) -> Experiment:
    """Return the experiment of a configuration on stored telemetry and features.

    The last ones are kept in the process, so that the fits of a run and the trials of a search
    share one panel and one table.

    Parameters
    ----------
    config : ExperimentConfig
        Resolved.
    validated, features : ArtifactRef
        Validated telemetry and the training set.
    validations : int, optional
        See :func:`optimizer.training.experiment.build_experiment`.
    """
    values = asdict(config)
    deciding = hash_values({key: values[key] for key in DECIDING})
    key = (deciding, validated, features, validations)
    with _LOCK:
        if key not in _KEPT:
            panel, table = _load(validated, features)
            made = build_experiment(build_components(config), panel, table, validations)
            while len(_KEPT) >= _KEPT_AT_MOST:
                _KEPT.pop(next(iter(_KEPT)))
            _KEPT[key] = made
        return _KEPT[key]


@lru_cache(maxsize=1)
def _load(validated: ArtifactRef, features: ArtifactRef) -> tuple[Panel, FeatureTable]:
    return load_panel(validated), load_features(features)
