"""The one pyfunc wrapper: canonical telemetry in, what is known of every service now out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cloudpickle
import mlflow
import numpy as np
import pandas as pd

from optimizer.core.schema import METRICS, TIMESTAMP
from optimizer.models.exceedance.fitted import TrainedSurface
from optimizer.training.predictor import TrainedModel


class TelemetryModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Predicts from history of whole clusters, as long as ``predict_telemetry`` says."""

    trained: TrainedModel | TrainedSurface

    def load_context(self, context: Any) -> None:
        """Load the bundle; MLflow asks for an argument of this name."""
        self.trained = cloudpickle.loads(Path(context.artifacts["bundle"]).read_bytes())

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return ``service_id``, ``event_timestamp`` and the prediction, one moment a service.

        Of a surface that is ``resource`` and a row per candidate ``level`` with its
        ``exceedance``.
        """
        times = pd.to_datetime(model_input[TIMESTAMP], utc=True).astype("datetime64[us, UTC]")
        metrics = {
            name: model_input[name].astype(np.float32)
            for name in METRICS
            if name in model_input and name in {*self.trained.metrics}
        }
        frame = model_input.assign(**{TIMESTAMP: times}, **metrics)
        kept = [c for c in frame.columns if c not in METRICS or c in metrics]
        found = self.trained.predict_telemetry(frame[kept])
        return found.assign(**{TIMESTAMP: found[TIMESTAMP].dt.tz_localize(None)})
