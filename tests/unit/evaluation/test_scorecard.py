from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest
from factories import event_task, forecast_task, panel_of, tiny_folds, tiny_panel, tiny_table

from optimizer.core.panel import BoolArray, FloatArray, Panel
from optimizer.core.schema import CPU
from optimizer.evaluation import scorecard as reports
from optimizer.evaluation.paired import compare_events, compare_forecasts
from optimizer.evaluation.per_service import events_by_service, median_lift
from optimizer.evaluation.settings import Evaluation
from optimizer.targets.dataset import Dataset
from optimizer.targets.task import ForecastTask

SETTINGS = Evaluation(bootstrap_resamples=50, min_positives_service=5)
RATES = np.full(8, 0.1)


def onsets(panel: Panel) -> BoolArray:
    hot = panel.metric(CPU) >= 0.8
    before = np.roll(hot, 1, axis=1)
    before[:, 0] = True
    return hot & ~before


def oracle_score(samples: Dataset, seed: int = 0) -> FloatArray:
    noise = np.random.default_rng(seed).uniform(-0.3, 0.3, len(samples))
    return np.clip(0.2 + 0.5 * samples.y + noise, 0.001, 0.999).astype(np.float32)


def test_evaluate_events_has_every_figure_and_it_is_known() -> None:
    panel = tiny_panel()
    task, test = event_task(panel), tiny_folds(event_task(panel), panel).test
    figures = reports.evaluate_events(
        test, oracle_score(test), task, onsets(panel), 0.4, RATES, SETTINGS
    )
    expected = (
        "n_rows n_positives prevalence average_precision average_precision_lift roc_auc brier_score"
        " brier_skill brier_skill_service_rate log_loss ece per_service_lift_median"
        " per_service_lift_services decision_threshold precision recall f_beta decision_cost"
        " n_events n_events_counted service_weeks event_recall_lead false_alarms_per_service_week"
        " recall_1_false_alarm event_recall_lead_at_1 event_recall_lead_at_3.5"
        " event_recall_lead_at_7 event_recall_lead_at_14 alarm_share_at_1 alarm_share_at_3.5"
        " alarm_share_at_7 alarm_share_at_14 average_precision_lower average_precision_upper"
        " brier_skill_lower brier_skill_upper brier_skill_service_rate_lower"
        " brier_skill_service_rate_upper"
    )
    assert set(figures) == set(expected.split())
    assert all(type(value) is float and np.isfinite(value) for value in figures.values())
    assert figures["n_rows"] == len(test)
    assert figures["service_weeks"] == pytest.approx(len(test) / 168)
    ap = figures["average_precision"]
    assert figures["average_precision_lower"] < ap < figures["average_precision_upper"]
    assert ap == pytest.approx(figures["average_precision_lift"] * figures["prevalence"])


def test_evaluate_events_without_positives_is_nan_with_a_note(
    caplog: pytest.LogCaptureFixture,
) -> None:
    panel = tiny_panel()
    task, test = event_task(panel), tiny_folds(event_task(panel), panel).test
    quiet = dataclasses.replace(test, y=np.zeros(len(test), np.float32))
    none = np.zeros((panel.n_services, panel.n_steps), dtype=bool)
    with caplog.at_level(logging.WARNING):
        figures = reports.evaluate_events(
            quiet, oracle_score(quiet), task, none, 0.4, RATES, SETTINGS
        )
    unknown = ("average_precision", "brier_skill", "recall", "f_beta", "event_recall_lead_at_7")
    assert all(np.isnan(figures[key]) for key in (*unknown, "average_precision_lower"))
    assert figures["n_events_counted"] == 0.0
    assert figures["ece"] > 0
    assert "rows are positive" in caplog.text
    assert "no event can be warned of" in caplog.text


def test_evaluate_events_of_an_empty_fold_does_not_fail() -> None:
    panel = tiny_panel()
    task, test = event_task(panel), tiny_folds(event_task(panel), panel).test
    empty = test.select(np.zeros(len(test), dtype=bool))
    figures = reports.evaluate_events(empty, np.empty(0), task, onsets(panel), 0.4, RATES, SETTINGS)
    assert figures["n_rows"] == 0.0
    assert np.isnan(figures["average_precision"])


def test_evaluate_events_without_draws_has_no_intervals() -> None:
    panel = tiny_panel()
    task, test = event_task(panel), tiny_folds(event_task(panel), panel).test
    settings = Evaluation(bootstrap_resamples=0)
    figures = reports.evaluate_events(
        test, oracle_score(test), task, onsets(panel), 0.4, RATES, settings
    )
    assert not [key for key in figures if key.endswith(("_lower", "_upper"))]


def test_evaluate_calibration_reports_the_raw_scores() -> None:
    panel = tiny_panel()
    test = tiny_folds(event_task(panel), panel).test
    figures = reports.evaluate_calibration(test, oracle_score(test), SETTINGS)
    assert set(figures) == {
        f"{key}_uncalibrated" for key in ("average_precision", "brier_skill", "log_loss", "ece")
    }


def test_events_by_service_equals_metrics_on_its_own_rows() -> None:
    from sklearn.metrics import average_precision_score

    panel = tiny_panel()
    test = tiny_folds(event_task(panel), panel).test
    score = oracle_score(test)
    frame = events_by_service(test, score, RATES).set_index("service_id")
    own = test.service == 2
    line, y = frame.loc["svc-002"], test.y[own]
    assert line["n_rows"] == own.sum()
    assert line["n_positives"] == y.sum()
    assert line["average_precision"] == pytest.approx(average_precision_score(y, score[own]))
    assert line["lift"] == pytest.approx(line["average_precision"] / y.mean())
    base = np.mean((0.1 - y) ** 2)
    assert line["brier_skill"] == pytest.approx(1 - np.mean((score[own] - y) ** 2) / base)


def test_events_by_service_of_one_service_ignores_the_future_of_another() -> None:
    panel = tiny_panel()
    test = tiny_folds(event_task(panel), panel).test
    score, y = oracle_score(test).copy(), test.y.copy()
    before = events_by_service(test, score, RATES)
    late = (test.service == 5) & (test.step > 350)
    score[late], y[late] = 0.5, 1.0 - y[late]
    after = events_by_service(dataclasses.replace(test, y=y), score, RATES)
    others = before["service_id"] != "svc-005"
    assert before[others].equals(after[others])
    assert not before.equals(after)


def test_median_lift_counts_services_with_enough_positives() -> None:
    panel = tiny_panel()
    test = tiny_folds(event_task(panel), panel).test
    frame = events_by_service(test, oracle_score(test), RATES)
    enough = frame[frame["n_positives"] >= 10]
    assert 0 < len(enough) < 8
    assert median_lift(frame, 10) == (pytest.approx(enough["lift"].median()), len(enough))
    assert median_lift(frame, 10**6)[1] == 0


def test_compare_events_of_a_better_model_is_a_sure_gain() -> None:
    panel = tiny_panel(n_services=20)
    test = tiny_folds(event_task(panel), panel).test
    blind = np.full(len(test), float(test.y.mean()))
    gain = compare_events(test, oracle_score(test), blind, SETTINGS)
    assert 0 < gain["average_precision_gain_lower"] < gain["average_precision_gain"]
    same = compare_events(test, blind, blind, SETTINGS)
    assert set(same.values()) == {0.0}


def forecasts(samples: Dataset, task: ForecastTask, spread: float) -> FloatArray:
    """Persistence with a symmetric spread."""
    offsets = spread * (np.asarray(task.quantiles) - 0.5)
    now = np.nan_to_num(samples.current(CPU))[:, None, None]
    shape = (len(samples), len(task.horizons), len(offsets))
    return np.broadcast_to(now + offsets, shape).astype(np.float32)


def test_evaluate_forecasts_of_a_known_service() -> None:
    panel = panel_of([0.1, 0.3, 0.2, 0.6, 0.4, 0.5])
    task = forecast_task(panel, ("1h",))
    table = tiny_table(panel)
    y = np.array([[0.6], [np.nan], [0.5]], np.float32)
    test = Dataset(panel, table, np.array([2, 3, 4]), y)
    q = np.array([[[0.2, 0.5, 0.7]], [[0, 0, 0]], [[0.6, 0.7, 0.9]]], np.float32)
    figures = reports.evaluate_forecasts(
        test, q, task, {"self": q, "double": 2 * q}, np.array([0.3]), SETTINGS
    )
    # errors -0.1 and +0.2
    assert figures["n_rows_1h"] == 2.0
    assert figures["mae_1h"] == pytest.approx(0.15)
    assert figures["bias_1h"] == pytest.approx(0.05)
    assert figures["mase_1h"] == pytest.approx(0.5)
    # row 1: 0.04 + 0.05 + 0.01; row 3: 0.09 + 0.10 + 0.04
    assert figures["pinball_1h"] == pytest.approx((0.10 + 0.23) / 6)
    assert figures["wql_1h"] == pytest.approx(2 * (0.33 / 3) / 1.1)
    assert figures["picp_80_1h"] == 0.5
    assert figures["width_80_1h"] == pytest.approx(0.4)
    assert figures["mae_vs_self_1h"] == figures["pinball_vs_self_1h"] == 1.0
    # doubled medians 1.0 and 1.4: errors 0.4 and 0.9
    assert figures["mae_vs_double_1h"] == pytest.approx(0.15 / 0.65)


def test_evaluate_forecasts_pools_horizons_and_has_intervals() -> None:
    panel = tiny_panel()
    task = forecast_task(panel)
    folds = tiny_folds(task, panel)
    scale = reports.training_scale(folds.train, CPU)
    q = forecasts(folds.test, task, 0.3)
    figures = reports.evaluate_forecasts(folds.test, q, task, {}, scale, SETTINGS)
    assert figures["mae"] == pytest.approx((figures["mae_1h"] + figures["mae_24h"]) / 2)
    assert figures["pinball_24h_lower"] < figures["pinball_24h"] < figures["pinball_24h_upper"]
    assert all(type(value) is float and np.isfinite(value) for value in figures.values())


def test_evaluate_forecasts_without_actuals_is_nan_with_a_note(
    caplog: pytest.LogCaptureFixture,
) -> None:
    panel = tiny_panel()
    task = forecast_task(panel)
    test = tiny_folds(task, panel).test
    y = test.y.copy()
    y[:, 1] = np.nan
    unknown = dataclasses.replace(test, y=y)
    q = forecasts(test, task, 0.3)
    with caplog.at_level(logging.WARNING):
        figures = reports.evaluate_forecasts(unknown, q, task, {"x": q}, np.ones(8), SETTINGS)
    assert np.isnan(figures["mae_24h"])
    assert np.isnan(figures["mae_vs_x_24h"])
    assert np.isfinite(figures["mae_1h"])
    assert "24h ahead" in caplog.text


def test_training_scale_ignores_everything_after_the_training_fold() -> None:
    panel = tiny_panel()
    task = forecast_task(panel)
    train = tiny_folds(task, panel).train
    values = panel.values.copy()
    values[..., int(train.step.max()) + 1 :] += 5.0
    later = dataclasses.replace(train, panel=dataclasses.replace(panel, values=values))
    scale = reports.training_scale(train, CPU)
    np.testing.assert_array_equal(scale, reports.training_scale(later, CPU))


def test_compare_forecasts_of_a_better_model_is_a_sure_fall() -> None:
    panel = tiny_panel(n_services=20)
    task = forecast_task(panel)
    test = tiny_folds(task, panel).test
    near, far = forecasts(test, task, 0.3), forecasts(test, task, 0.3) + np.float32(0.5)
    change = compare_forecasts(test, near, far, task, SETTINGS)
    assert change["pinball_change_1h"] < change["pinball_change_1h_upper"] < 0
    assert set(compare_forecasts(test, near, near, task, SETTINGS).values()) == {0.0}
