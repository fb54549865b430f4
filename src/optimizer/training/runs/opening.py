"""Which training a target takes."""

from __future__ import annotations

from optimizer.core.artifacts import ArtifactRef
from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.errors import ConfigError
from optimizer.training.experiment import Components
from optimizer.training.runs.rows import RowTraining
from optimizer.training.runs.surfaces import SurfaceTraining


def open_training(
    config: ExperimentConfig,
    parts: Components,
    inputs: tuple[ArtifactRef, ...],
    reference: ExperimentConfig | None = None,
) -> RowTraining | SurfaceTraining:
    """Return the training of the configured target.

    ``inputs``: validated telemetry and, of a target that labels rows, the training set.
    ``reference``: another configuration to compare with on the same test rows. Raises ConfigError:
    a surface was to be compared with a reference, which only a search has.
    """
    if parts.target.kind != "exceedance":
        validated, features = inputs
        return RowTraining(config, parts, (validated, features), reference)
    if reference is not None:
        raise ConfigError(
            "reference",
            seen=f"target={config.choices['target']}",
            allowed="a target that labels rows",
            fix="leave the reference out",
        )
    return SurfaceTraining(config, parts, inputs)
