from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from factories import event_task, forecast_task, tiny_folds, tiny_panel

from optimizer.core.plotting import DASHES, SERIES, save_figure
from optimizer.core.schema import CPU
from optimizer.evaluation import alarms
from optimizer.evaluation.plots import events as plots_events
from optimizer.evaluation.plots import forecasts as plots_forecast
from optimizer.evaluation.plots import training as plots_training
from optimizer.models.base import TrainingLog

Y = (np.random.default_rng(0).random(2000) < 0.05).astype(np.float32)
SCORE = np.clip(0.3 * Y + np.random.default_rng(1).random(2000) * 0.5, 0, 1)


def test_plot_precision_recall_names_models_and_prevalence() -> None:
    figure = plots_events.plot_precision_recall(Y, {"model": SCORE, "blind": SCORE[::-1]})
    axis = figure.axes[0]
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert labels[0].startswith("model  AP ")
    assert labels[-1] == f"prevalence {Y.mean():.3f}"
    assert axis.get_xlabel().startswith("Recall")
    assert axis.lines[-1].get_ydata()[0] == pytest.approx(Y.mean())


def test_plot_reliability_shows_the_error_before_and_after() -> None:
    figure = plots_events.plot_reliability(Y, SCORE, np.full(2000, Y.mean()), n_bins=10)
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels[0].startswith("before calibration\nECE 0.2")
    assert labels[1] == "after calibration\nECE 0.0000"
    assert "10 bins of about 200 rows" in figure.axes[0].get_title()


def test_plot_alarm_curves_never_turns_back() -> None:
    panel = tiny_panel()
    task = event_task(panel)
    test = tiny_folds(task, panel).test
    fold = alarms.alarm_fold(test, task, panel.metric(CPU) > 0.8, 1)
    score = np.random.default_rng(0).random(len(test))
    curves = {"model": alarms.alarm_curve(fold, score)}
    axis = plots_events.plot_alarm_curves(curves, (1.0, 7.0)).axes[0]
    assert (np.diff(axis.lines[0].get_xdata()) >= 0).all()
    assert [text.get_text() for text in axis.texts] == ["1", "7"]


def test_plot_forecast_fan_draws_three_services_and_both_bands(tmp_path: Path) -> None:
    panel = tiny_panel()
    task = forecast_task(panel, ("3h",), (0.1, 0.2, 0.5, 0.8, 0.9))
    test = tiny_folds(task, panel).test
    offsets = np.array([-0.2, -0.1, 0.0, 0.1, 0.2], np.float32)
    quantiles = np.nan_to_num(test.current(CPU))[:, None, None] + offsets
    figure = plots_forecast.plot_forecast_fan(test, quantiles, task, shown=pd.Timedelta("2D"))
    assert len(figure.axes) == 3
    assert [len(axis.collections) for axis in figure.axes] == [2, 2, 2]
    # the first forecast is drawn at the time it is for
    median = figure.axes[0].lines[0].get_xdata()[0]
    assert median >= panel.timestamps[test.step.min()] + np.timedelta64(3, "h")
    assert save_figure(figure, tmp_path / "fan.png").stat().st_size > 10_000


def test_pick_services_reads_labels_only_and_prefers_lively_ones() -> None:
    panel = tiny_panel()
    task = forecast_task(panel, ("1h",))
    test = tiny_folds(task, panel).test
    chosen = plots_forecast.pick_services(test)
    spread = [np.nanstd(test.y[test.service == index, 0]) for index in range(8)]
    assert len(chosen) == 3
    assert min(spread[index] for index in chosen) >= sorted(spread)[3]


def test_plot_importance_shows_the_largest_last() -> None:
    figure = plots_training.plot_importance({f"f{i}": i / 300 for i in range(25)})
    axis = figure.axes[0]
    assert len(axis.patches) == 20
    assert axis.get_yticklabels()[-1].get_text() == "f24"
    assert axis.patches[-1].get_width() == pytest.approx(8.0)


def test_plot_training_marks_the_iteration_kept() -> None:
    log = TrainingLog({"train": [3.0, 2.0, 1.0], "valid": [3.0, 2.5, 2.7]}, "log loss", 2)
    axis = plots_training.plot_training(log).axes[0]
    assert axis.get_ylabel() == "log loss"
    assert [line.get_label() for line in axis.lines] == ["train", "valid", "kept: iteration 2"]


def test_plots_of_nothing_say_so(tmp_path: Path) -> None:
    panel = tiny_panel()
    task = forecast_task(panel, ("1h",))
    test = tiny_folds(task, panel).test
    none = test.select(np.zeros(len(test), dtype=bool))
    empty = np.empty(0)
    figures = [
        plots_events.plot_precision_recall(np.zeros(5), {"model": np.ones(5)}),
        plots_events.plot_reliability(empty, empty, empty),
        plots_events.plot_alarm_curves({}, (1.0,)),
        plots_forecast.plot_forecast_fan(none, np.empty((0, 1, 3), np.float32), task),
        plots_training.plot_importance({}),
        plots_training.plot_training(TrainingLog()),
    ]
    for index, figure in enumerate(figures):
        said = [text.get_text() for text in figure.axes[0].texts]
        assert any("The " in text for text in said)
        save_figure(figure, tmp_path / f"{index}.png")


def test_every_series_has_its_own_colour_and_dash() -> None:
    assert len(set(SERIES)) == len(SERIES)
    assert len(set(DASHES)) >= len(SERIES)


def test_plots_leave_pyplot_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    plots_training.plot_training(TrainingLog())
    assert "matplotlib.pyplot" not in sys.modules
