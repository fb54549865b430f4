"""The record and the printed table."""

from __future__ import annotations

import numpy as np
import pytest
from factories import event_task, forecast_task, tiny_panel, tiny_samples

from optimizer.targets.splits import Fold
from optimizer.training.fit import FoldDataset
from optimizer.training.summary import (
    describe_fold,
    format_difference,
    format_warnings,
    mean_figures,
    table_rows,
)

PANEL = tiny_panel(4, 200)
NAN = float("nan")


def test_mean_figures_of_several_folds_are_their_mean_where_all_know_it() -> None:
    folds = [{"mae": 1.0, "old": 3.0}, {"mae": 2.0, "new": 5.0}]
    assert mean_figures(folds) == {"mae": 1.5}


def test_mean_figures_of_one_fold_are_its_own_as_a_copy() -> None:
    figures = {"mae": NAN}
    found = mean_figures([figures])
    assert found is not figures
    assert np.isnan(found["mae"])


def test_describe_fold_counts_rows_and_positives() -> None:
    task = event_task(PANEL)
    train, valid, test = (
        tiny_samples(task, PANEL, start=a, stop=b) for a, b in ((0, 100), (110, 140), (150, 190))
    )
    found = describe_fold(
        FoldDataset(train, valid, test, Fold((0, 100), (110, 140), (150, 190), 6))
    )
    assert list(found) == ["train", "valid", "test"]
    assert found["test"]["n_rows"] == len(test)
    assert found["test"]["n_positives"] == int(test.y.sum())
    assert found["test"]["prevalence"] == pytest.approx(test.y.mean())
    assert found["train"]["first"] == str(PANEL.timestamps[train.step.min()])
    assert found["train"]["last"] == str(PANEL.timestamps[train.step.max()])


def test_describe_fold_of_forecasts_has_no_positives() -> None:
    samples = tiny_samples(forecast_task(PANEL), PANEL)
    fold = FoldDataset(samples, samples, samples, Fold((0, 1), (1, 2), (2, 3), 0))
    assert set(describe_fold(fold)["train"]) == {"n_rows", "first", "last"}


def test_table_rows_of_events_show_the_model_first_and_dashes_for_unknown() -> None:
    figures = {
        "lightgbm": {"average_precision": 0.51234, "brier_skill": 0.4},
        "persistence": {"average_precision": 0.25, "brier_skill": NAN},
    }
    [(title, head, rows)] = table_rows(event_task(PANEL, "3h"), figures)
    assert title == "scaling needed within 3h"
    assert head == ("model", "avg. precision", "Brier skill")
    assert rows == [("lightgbm", "0.512", "+0.400"), ("persistence", "0.250", "-")]


def test_table_rows_of_forecasts_are_one_table_per_horizon() -> None:
    figures = {"linear": {"mae_1h": 0.1, "mae_24h": 0.2, "picp_80_24h": 0.801}}
    hour, day = table_rows(forecast_task(PANEL), figures)
    assert hour == ("cpu_utilization 1h ahead", ("model", "MAE"), [("linear", "0.1000")])
    assert day[1:] == (("model", "MAE", "80 % covers"), [("linear", "0.2000", "80.1%")])


def test_tell_difference_gives_every_horizon_with_its_interval() -> None:
    difference = {
        "pinball_change_1h": -0.1, "pinball_change_1h_lower": -0.2, "pinball_change_1h_upper": 0.0,
        "pinball_change_24h": 0.3,
    }  # fmt: skip
    told = format_difference(difference, "persistence, the best baseline")
    assert told == (
        "against persistence, the best baseline: pinball change 1h -0.1000 [-0.2000, +0.0000], "
        "pinball change 24h +0.3000 [+nan, +nan]"
    )


def test_tell_warnings_is_a_curve_in_the_order_of_false_alarms() -> None:
    figures = {
        "event_recall_lead_at_14": 0.75,
        "event_recall_lead_at_3.5": 0.5,
        "event_recall_lead_at_3.5_lower": 0.1,
        "event_recall_lead": 0.9,
    }
    told = format_warnings(figures)
    assert told.endswith("false alarms per service-week: 50% at 3.5, 75% at 14")
