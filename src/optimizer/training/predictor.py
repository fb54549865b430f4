"""A fitted model with all it needs to predict from telemetry: features, calibration, threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.durations import format_duration
from optimizer.core.errors import SchemaError
from optimizer.core.panel import FloatArray, Panel, build_panel
from optimizer.core.schema import SERVICE, TIMESTAMP, TIMESTAMP_DTYPE, check_frame
from optimizer.evaluation.calibration import Calibrator
from optimizer.evaluation.conformal import QuantileCalibrator
from optimizer.features.base import FeatureGroup
from optimizer.features.engine import compute_features
from optimizer.features.table import FeatureTable
from optimizer.models.base import EventClassifier, Forecaster
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import EventTask, Task


@dataclass(frozen=True)
class TrainedModel:
    """What is registered and served.

    - ``name``: which model it is, for example ``lightgbm``.
    - ``features``: names of these features, in order.
    - ``step``: the clock it was trained on.
    - ``calibrator``: fitted on the validation fold; None leaves predictions as they are.
    - ``threshold``: decision threshold on the calibrated probability; None for forecasts.
    - ``fitted_until``: the newest moment whose data fit or calibration may have seen.
    """

    name: str
    model: EventClassifier | Forecaster
    task: Task
    groups: tuple[FeatureGroup, ...]
    features: tuple[str, ...]
    metrics: tuple[str, ...]
    step: pd.Timedelta
    calibrator: Calibrator | QuantileCalibrator | None
    threshold: float | None
    fitted_until: np.datetime64

    def raw(self, samples: Dataset) -> FloatArray:
        """Return predictions before calibration, shapes as in :meth:`predict`."""
        if isinstance(self.task, EventTask):
            assert isinstance(self.model, EventClassifier)  # noqa: S101 - the task decides
            return self.model.score_events(samples)
        assert isinstance(self.model, Forecaster)  # noqa: S101 - the task decides
        return np.sort(self.model.predict_quantiles(samples), axis=-1)

    def predict(self, samples: Dataset) -> FloatArray:
        """Return calibrated probabilities, shape ``(n,)``, or quantiles.

        Quantiles have shape ``(n, n_horizons, n_quantiles)``, ascending along the last axis.
        Information at time t: the steps up to t.
        """
        return self.calibrate(self.raw(samples))

    def calibrate(self, raw: FloatArray) -> FloatArray:
        """Return raw predictions after calibration."""
        if self.calibrator is None:
            return raw
        return np.asarray(self.calibrator.predict(raw), dtype=np.float32)

    def align(self, panel: Panel, table: FeatureTable) -> tuple[Panel, FeatureTable]:
        """Return panel and features as this model expects them.

        Raises SchemaError: the telemetry lacks a metric, or runs on another clock.
        """
        missing = [name for name in self.metrics if not panel.has(name)]
        if missing or panel.step != self.step:
            raise SchemaError(
                f"model {self.name}",
                seen=f"telemetry at {panel.step} without {', '.join(missing) or 'no metric'}",
                allowed=f"steps of {self.step} with {', '.join(self.metrics)}",
                fix="give the telemetry it was trained on, or train again",
            )
        if panel.metrics != self.metrics:
            chosen = [panel.metrics.index(name) for name in self.metrics]
            panel = replace(panel, values=panel.values[chosen], metrics=self.metrics)
        if table.names != self.features:
            table = compute_features(panel, self.groups)
        return panel, table

    def predict_telemetry(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the newest prediction of every service.

        As :func:`frame_predictions`, one moment per service: its last row that has the metric.
        ``frame``: canonical long frame: history of whole clusters, as long as the longest lookback.
        To be what it was in the evaluation, a booster's forecast a day ahead or more needs the
        longer of that and 14 days, and its horizon and 24 h on top: its experts read 14 days and
        are weighed by their latest known losses. Raises SchemaError: the frame is not canonical,
        lacks a metric, or runs on another clock.
        """
        if TIMESTAMP in frame:
            frame = frame.assign(**{TIMESTAMP: frame[TIMESTAMP].astype(TIMESTAMP_DTYPE)})
        frame = check_frame(frame, "telemetry")
        several = bool(frame[SERVICE].duplicated().any())  # else there is no distance to measure
        panel = build_panel(frame, None if several else self.step)
        empty = FeatureTable(np.empty((0, 0), np.float32), (), *np.empty((2, 0), np.int32))
        return predict_newest(self, panel, empty)


def predict_newest(trained: TrainedModel, panel: Panel, table: FeatureTable) -> pd.DataFrame:
    """Return the prediction at each service's newest row that has the metric.

    ``table``: features of the rows to choose from; computed from the panel if they are not the
    model's.
    """
    panel, table = trained.align(panel, table)
    seen = ~np.isnan(panel.metric(trained.task.metric)[table.service, table.step])
    rows = np.flatnonzero(seen)
    last = np.flatnonzero(np.diff(table.service[rows], append=-1))
    samples = Dataset(panel, table, rows[last], np.zeros(len(last), np.float32))
    return frame_predictions(samples, trained.predict(samples), trained.task)


def frame_predictions(samples: Dataset, predicted: FloatArray, task: Task) -> pd.DataFrame:
    """Return predictions as a long frame.

    ``service_id``, ``event_timestamp`` (the moment the prediction is made) and, for events,
    ``y_score``; for forecasts ``horizon`` as text such as ``24h`` and one column per quantile such
    as ``q0.1``, one row per horizon. ``task``: what was predicted.
    """
    keys = pd.DataFrame(
        {
            SERVICE: np.asarray(samples.panel.services, dtype=object)[samples.service],
            TIMESTAMP: pd.DatetimeIndex(samples.timestamps, tz="UTC"),
        }
    )
    if isinstance(task, EventTask):
        return keys.assign(y_score=predicted.astype(np.float32))
    names = [f"q{level:g}" for level in task.quantiles]
    parts = [
        keys.assign(horizon=format_duration(horizon)).join(
            pd.DataFrame(predicted[:, index], columns=names)
        )
        for index, horizon in enumerate(task.horizons)
    ]
    return pd.concat(parts, ignore_index=True)


def frame_truth(samples: Dataset, predicted: FloatArray, task: Task) -> pd.DataFrame:
    """Return predictions beside what happened, ``y_true``; rows of unknown truth are left out."""
    frame = frame_predictions(samples, predicted, task)
    truth: NDArray[np.float32] = samples.y.T.ravel()  # horizon by horizon, as the frame
    place = 3 if "horizon" in frame else 2
    frame.insert(place, "y_true", truth)
    return frame[~np.isnan(truth)].reset_index(drop=True)


def concat_frames(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the frames of several folds as one."""
    return pd.concat(list(frames), ignore_index=True)
