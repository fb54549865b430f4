"""Folds by hand: where the clock is cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from factories import panel_of, tiny_panel, tiny_table

from optimizer.core.errors import ConfigError, InsufficientHistoryError, TargetError
from optimizer.targets.scale_event import ScaleEvent
from optimizer.targets.splits import Fold, RollingOrigin
from optimizer.targets.task import EventTask
from optimizer.targets.utilization import Utilization
from optimizer.training.fit import check_fold, cut_fold

GAP = pd.Timedelta("2h")


def test_split_hundred_steps_are_cut_60_15_25_with_the_gap_at_each_end() -> None:
    panel = panel_of(np.zeros((2, 100)))
    assert RollingOrigin().split(panel, GAP) == [Fold((0, 58), (60, 73), (75, 100), 2)]


def test_split_two_folds_share_the_test_time_and_train_on_all_before() -> None:
    panel = panel_of(np.zeros((2, 200)))
    assert RollingOrigin(folds=2).split(panel, GAP) == [
        Fold((0, 118), (120, 148), (150, 175), 2),
        Fold((0, 143), (145, 173), (175, 200), 2),
    ]


def test_split_counts_only_observed_time() -> None:
    panel = panel_of(np.zeros((2, 300)))
    present = np.zeros((2, 300), dtype=bool)
    present[0, 100:200] = True  # one service was seen for a hundred steps in the middle
    found = RollingOrigin().split(replace(panel, present=present), GAP)
    assert found == [Fold((100, 158), (160, 173), (175, 200), 2)]


def test_split_gap_of_its_own_is_kept_if_long_enough() -> None:
    panel = panel_of(np.zeros((2, 100)))
    assert RollingOrigin(gap="5h").split(panel, GAP)[0] == Fold((0, 55), (60, 70), (75, 100), 5)
    with pytest.raises(ConfigError, match=r"split\.gap: got 1h"):
        RollingOrigin(gap="1h").split(panel, GAP)


def test_split_history_shorter_than_the_gaps_is_told() -> None:
    told = "split, fold that ends at 100% of the time: got 20 observed steps.*lower split.folds"
    with pytest.raises(InsufficientHistoryError, match=told):
        RollingOrigin().split(panel_of(np.zeros((2, 20))), pd.Timedelta("4h"))


def test_validation_folds_end_where_the_test_begins_and_test_on_nothing() -> None:
    panel = panel_of(np.zeros((2, 200)))
    assert RollingOrigin().validation_folds(panel, GAP, 3) == [
        Fold((0, 58), (60, 88), (90, 90), 2),
        Fold((0, 88), (90, 118), (120, 120), 2),
        Fold((0, 118), (120, 148), (150, 150), 2),
    ]


def test_validation_folds_end_before_the_first_of_several_tests() -> None:
    panel = panel_of(np.zeros((2, 200)))
    (found,) = RollingOrigin(folds=5).validation_folds(panel, GAP, 1)
    assert found == Fold((0, 118), (120, 148), (150, 150), 2)


@pytest.mark.parametrize(("count", "share"), [(5, "15%"), (7, "-15%")])
def test_validation_folds_of_more_time_than_there_is_name_the_setting(
    count: int, share: str
) -> None:
    told = f"split, fold that ends at {share} of the time: got 40 observed.*lower search.folds"
    with pytest.raises(InsufficientHistoryError, match=told):
        RollingOrigin().validation_folds(panel_of(np.zeros((2, 40))), pd.Timedelta("4h"), count)


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"folds": 0}, "split.folds"),
        ({"train": 0.7}, "split.train"),
        ({"train": 0.85, "valid": 0.15, "test": 0.0}, "split.train"),
        ({"gap": "soon"}, "split.gap"),
    ],
)
def test_split_wrong_setting_is_named(arguments: dict, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RollingOrigin(**arguments).gap_of(GAP)
    assert caught.value.offender.startswith(key)


def test_cut_fold_parts_hold_every_eligible_row_of_their_time_and_no_other() -> None:
    panel = tiny_panel(6, 300)
    table, labels = tiny_table(panel), ScaleEvent("3h").label(panel)
    fold = RollingOrigin().split(panel, pd.Timedelta("6h"))[0]
    cut = cut_fold(panel, table, labels, fold)
    for part, (start, stop) in (
        (cut.train, fold.train),
        (cut.valid, fold.valid),
        (cut.test, fold.test),
    ):
        assert len(part) == labels.eligible[:, start:stop].sum() > 0
        assert labels.eligible[part.service, part.step].all()
        np.testing.assert_array_equal(part.y, labels.y[part.service, part.step])
        assert part.step.min() >= start
        assert part.step.max() < stop


def test_check_fold_without_positives_or_rows_is_told() -> None:
    panel = panel_of(np.full((2, 100), 0.1))
    target = ScaleEvent("1h")
    fold = cut_fold(
        panel, tiny_table(panel), target.label(panel), RollingOrigin().split(panel, GAP)[0]
    )
    task = target.task(panel.step)
    assert isinstance(task, EventTask)
    with pytest.raises(TargetError, match="train fold: got 0 positives") as caught:
        check_fold(fold, task)
    assert "target.ceiling" in caught.value.fix
    empty = replace(fold, valid=fold.valid.select(np.zeros(len(fold.valid), bool)))
    with pytest.raises(TargetError, match="valid fold: got 0 eligible rows"):
        check_fold(empty, task)
    check_fold(fold, Utilization("1h").task(panel.step))  # a forecast needs no classes


def test_check_fold_that_does_not_test_needs_both_classes_in_validation_and_no_test_rows() -> None:
    cpu = np.full((2, 100), 0.1)
    cpu[:, 30] = 0.9
    panel, target = panel_of(cpu), ScaleEvent("1h")
    cut = RollingOrigin().validation_folds(panel, GAP, 1)[0]
    fold = cut_fold(panel, tiny_table(panel), target.label(panel), cut)
    task = target.task(panel.step)
    assert len(fold.test) == 0
    with pytest.raises(TargetError, match="test fold: got 0 eligible rows"):
        check_fold(fold, task)
    with pytest.raises(TargetError, match="valid fold: got 0 positives"):
        check_fold(fold, task, tests=False)
    some = fold.valid.y.copy()
    some[0] = 1.0
    check_fold(replace(fold, valid=replace(fold.valid, y=some)), task, tests=False)
