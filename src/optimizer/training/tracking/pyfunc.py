"""What MLflow serves: canonical telemetry in, what is known of every service now out.

MLflow imports this module by its name, so an environment that serves a model has this package
installed; the artifact itself brings no code.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from optimizer.core.schema import METRICS, TIMESTAMP
from optimizer.training.tracking.bundle import Trained, read_bundle


class TelemetryModel:
    """Predicts from history of whole clusters, as long as ``predict_telemetry`` says.

    Parameters
    ----------
    trained : TrainedModel or TrainedSurface
        What predicts.
    """

    def __init__(self, trained: Trained) -> None:
        self.trained = trained

    def predict(self, model_input: pd.DataFrame) -> pd.DataFrame:
        """Return ``service_id``, ``event_timestamp`` and the prediction, one moment a service.

        For a surface that is ``resource`` and a row per candidate ``level`` with its
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


def _load_pyfunc(path: str) -> TelemetryModel:
    """Return the model of a bundle; MLflow asks for a function of this name."""
    return TelemetryModel(read_bundle(Path(path)))
