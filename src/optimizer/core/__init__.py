"""What every room stands on: errors, the telemetry frame, the panel, settings, artifacts."""

from optimizer.core.config import build, load_config
from optimizer.core.config_schema import ExperimentConfig
from optimizer.core.errors import OptimizerError
from optimizer.core.panel import Panel, build_panel

__all__ = ["ExperimentConfig", "OptimizerError", "Panel", "build", "build_panel", "load_config"]
