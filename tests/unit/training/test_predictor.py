"""The served model: what it predicts from raw telemetry is what it was judged on."""

from __future__ import annotations

from dataclasses import replace

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from factories import forecast_task, panel_of, tiny_table

from optimizer.core.config import load_config
from optimizer.core.errors import SchemaError
from optimizer.core.panel import build_panel
from optimizer.core.schema import CPU, MEMORY, SERVICE, TIMESTAMP
from optimizer.features.engine import compute_features, longest_lookback
from optimizer.targets.dataset import Dataset
from optimizer.training.experiment import Experiment, build_components, build_experiment
from optimizer.training.fit import fit_model
from optimizer.training.predictor import TrainedModel, concat_frames, frame_predictions, frame_truth

TINY = [
    "data.n_services=8", "data.n_clusters=2", "data.days=30", "data.event_rate=0.08", "threads=1",
    "model.rounds=40", "model.learning_rate=0.1", "model.min_child_samples=10",
]  # fmt: skip


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return build_components(load_config(TINY)).source.fetch()


@pytest.fixture(scope="module")
def experiment(frame: pd.DataFrame) -> Experiment:
    parts = build_components(load_config(TINY))
    panel = build_panel(frame)
    return build_experiment(parts, panel, compute_features(panel, parts.groups))


@pytest.fixture(scope="module")
def trained(experiment: Experiment) -> TrainedModel:
    model = build_components(load_config(TINY)).model
    return fit_model("lightgbm", model, experiment.folds[0], experiment.fit_config)[0]


def scores_on_panel(trained: TrainedModel, experiment: Experiment) -> pd.Series:
    """Return the score of every row of the full history by service and moment."""
    fold = experiment.folds[0].train
    rows = np.arange(fold.table.n_rows)
    samples = Dataset(fold.panel, fold.table, rows, np.zeros(len(rows), np.float32))
    found = frame_predictions(samples, trained.predict(samples), trained.task)
    return found.set_index([SERVICE, TIMESTAMP])["y_score"]


@pytest.mark.parametrize("end", ["2025-01-20 13:00", "2025-01-27 00:00", "2025-01-31 00:00"])
def test_predict_telemetry_of_the_last_days_is_the_score_of_the_full_history(
    end: str, frame: pd.DataFrame, experiment: Experiment, trained: TrainedModel
) -> None:
    until = pd.Timestamp(end, tz="UTC")
    specs = experiment.folds[0].train.table.specs
    since = until - longest_lookback(specs) - pd.Timedelta("1d")
    recent = frame[(frame[TIMESTAMP] > since) & (frame[TIMESTAMP] <= until)]
    served = trained.predict_telemetry(recent).set_index([SERVICE, TIMESTAMP])["y_score"]
    judged = scores_on_panel(trained, experiment)[served.index]
    assert len(served) == 8
    assert judged.max() > judged.min()
    np.testing.assert_allclose(served, judged, atol=1e-5)


def test_predict_telemetry_a_day_ahead_with_two_more_days_is_the_forecast_of_the_full_history(
    frame: pd.DataFrame,
) -> None:
    # the experts of 24 h are weighed by the forecasts of the last 48 h, each with its own lookback
    # and one of them with 14 days
    parts = build_components(load_config([*TINY, "target=utilization", "features=minimal"]))
    panel = build_panel(frame)
    found = build_experiment(parts, panel, compute_features(panel, parts.groups))
    model = fit_model("lightgbm", parts.model, found.folds[0], found.fit_config)[0]
    judged = model.predict_telemetry(frame)
    until, specs = frame[TIMESTAMP].max(), found.folds[0].train.table.specs
    history = max(longest_lookback(specs), pd.Timedelta("14d")) + pd.Timedelta("48h")
    served = model.predict_telemetry(frame[frame[TIMESTAMP] > until - history])
    pd.testing.assert_frame_equal(served, judged, atol=1e-4)
    bare = model.predict_telemetry(frame[frame[TIMESTAMP] > until - pd.Timedelta("30h")])
    assert bare.notna().all(axis=None)


def test_predict_telemetry_takes_the_last_row_that_has_the_metric(
    frame: pd.DataFrame, trained: TrainedModel
) -> None:
    newest = frame[TIMESTAMP].max()
    service = frame[SERVICE].iloc[-1]
    cpu = frame[CPU].mask((frame[SERVICE] == service) & (frame[TIMESTAMP] == newest))
    found = trained.predict_telemetry(frame.assign(**{CPU: cpu})).set_index(SERVICE)[TIMESTAMP]
    assert found[service] < newest
    assert found.index.is_unique
    assert (found == newest).sum() >= 5


def test_predict_telemetry_order_of_rows_and_columns_is_irrelevant(
    frame: pd.DataFrame, trained: TrainedModel
) -> None:
    shuffled = frame.sample(frac=1.0, random_state=2)[frame.columns[::-1]]
    pd.testing.assert_frame_equal(
        trained.predict_telemetry(shuffled), trained.predict_telemetry(frame)
    )


def test_predict_telemetry_does_not_change_its_argument(
    frame: pd.DataFrame, trained: TrainedModel
) -> None:
    nanoseconds = frame.assign(**{TIMESTAMP: frame[TIMESTAMP].astype("datetime64[ns, UTC]")})
    before = nanoseconds.copy(deep=True)
    trained.predict_telemetry(nanoseconds)
    pd.testing.assert_frame_equal(nanoseconds, before)


@pytest.mark.parametrize("column", [CPU, MEMORY, TIMESTAMP, SERVICE])
def test_predict_telemetry_without_a_column_names_it(
    column: str, frame: pd.DataFrame, trained: TrainedModel
) -> None:
    with pytest.raises(SchemaError, match=column):
        trained.predict_telemetry(frame.drop(columns=column))


def test_predict_telemetry_on_another_clock_is_refused(
    frame: pd.DataFrame, trained: TrainedModel
) -> None:
    start = frame[TIMESTAMP].min()
    faster = frame.assign(**{TIMESTAMP: start + (frame[TIMESTAMP] - start) / 12})
    with pytest.raises(SchemaError, match="0 days 00:05:00") as caught:
        trained.predict_telemetry(faster)
    assert "steps of 0 days 01:00:00" in caught.value.allowed


def test_predict_telemetry_ignores_metrics_it_was_not_trained_on(
    frame: pd.DataFrame, experiment: Experiment
) -> None:
    config = load_config([*TINY, "features=minimal"])
    parts = build_components(config)
    lean = frame.drop(columns=["latency_ms", "error_rate"])
    panel = build_panel(lean)
    found = build_experiment(parts, panel, compute_features(panel, parts.groups))
    model = fit_model("lightgbm", parts.model, found.folds[0], found.fit_config)[0]
    pd.testing.assert_frame_equal(model.predict_telemetry(frame), model.predict_telemetry(lean))


def test_trained_model_pickled_predicts_the_same(
    frame: pd.DataFrame, trained: TrainedModel
) -> None:
    copy = cloudpickle.loads(cloudpickle.dumps(trained))
    assert isinstance(copy, TrainedModel)
    assert (copy.threshold, copy.features) == (trained.threshold, trained.features)
    pd.testing.assert_frame_equal(copy.predict_telemetry(frame), trained.predict_telemetry(frame))


def test_trained_model_knows_the_newest_moment_it_may_have_seen(
    experiment: Experiment, trained: TrainedModel
) -> None:
    fold = experiment.folds[0]
    assert trained.fitted_until >= fold.valid.timestamps.max()
    assert trained.fitted_until < fold.test.timestamps.min()


def test_frame_truth_of_forecasts_is_one_row_per_known_horizon() -> None:
    panel = panel_of([[1, 2, 3]])
    task = replace(forecast_task(panel, ("1h", "2h"), (0.1, 0.5, 0.9)))
    y = np.float32([[2, 3], [3, np.nan]])
    samples = Dataset(panel, tiny_table(panel), np.array([0, 1]), y)
    predicted = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    found = frame_truth(samples, predicted, task)
    assert list(found.columns) == [SERVICE, TIMESTAMP, "horizon", "y_true", "q0.1", "q0.5", "q0.9"]
    assert list(found["horizon"]) == ["1h", "1h", "2h"]
    assert list(found["y_true"]) == [2, 3, 3]
    assert list(found["q0.5"]) == [1, 7, 4]
    assert list(found[TIMESTAMP].dt.hour) == [0, 1, 0]
    assert len(concat_frames([found, found])) == 6
