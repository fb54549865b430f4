"""Jobs of a grid by hand: ranked on validation, compared in pairs on the test rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from optimizer.core.schema import SERVICE, TIMESTAMP
from optimizer.evaluation.settings import Evaluation
from optimizer.training.leaderboard import (
    difference_interval,
    distinguishing_overrides,
    grid_rows,
    rank_jobs,
)

SETTINGS = Evaluation(bootstrap_resamples=60)
NAN = float("nan")


def record(metric: str, validation: float, test: float, **more: float) -> dict[str, Any]:
    model = {"validation": validation, metric: test, **more}
    better = metric == "average_precision"
    seconds = {"total": 2.04}
    return {"metric": metric, "higher_is_better": better, "model": model, "seconds": seconds}


def events(y: list[float], scores: list[float]) -> pd.DataFrame:
    """Return predictions of half as many services as rows."""
    keys = [f"svc-{index // 2}" for index in range(len(y))]
    times = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(np.arange(len(y)) % 2, "h")
    return pd.DataFrame({SERVICE: keys, TIMESTAMP: times, "y_true": y, "y_score": scores})


def forecasts(y: list[float], low: list[float], high: list[float]) -> pd.DataFrame:
    """Return quantiles 0.1 and 0.5: two rows an hour ahead, the others a day."""
    frame = events(y, low).drop(columns="y_score")
    horizons = ["1h"] * 2 + ["24h"] * (len(y) - 2)
    return frame.assign(**{"horizon": horizons, "q0.1": low, "q0.5": high})


@pytest.mark.parametrize(
    ("metric", "order"), [("average_precision", [2, 0, 1]), ("pinball", [1, 0, 2])]
)
def test_ranking_is_by_validation_in_the_metrics_direction_whatever_the_test_fold_says(
    metric: str, order: list[int]
) -> None:
    validations = [0.5, 0.2, 0.7]
    for tests in ([0.1, 0.9, 0.2], [0.9, 0.5, 0.1]):
        jobs = [record(metric, *pair) for pair in zip(validations, tests, strict=True)]
        assert rank_jobs(jobs) == order


@pytest.mark.parametrize("metric", ["average_precision", "pinball"])
def test_ranking_puts_jobs_without_a_figure_last_and_keeps_the_order_of_equals(metric: str) -> None:
    jobs = [record(metric, value, 0.5) for value in (NAN, 0.5, NAN, 0.5)]
    assert rank_jobs(jobs) == [1, 3, 0, 2]


def test_identical_predictions_differ_by_nothing() -> None:
    rng = np.random.default_rng(1)
    y = (rng.random(40) < 0.4).astype(float).tolist()
    frame = events(y, rng.random(40).tolist())
    assert difference_interval(frame, frame.copy(), SETTINGS) == (0.0, 0.0, 0.0)
    quantiles = forecasts(rng.random(40).tolist(), [0.2] * 40, [0.4] * 40)
    assert difference_interval(quantiles, quantiles.copy(), SETTINGS) == (0.0, 0.0, 0.0)


def test_difference_of_events_is_that_of_the_average_precision() -> None:
    y = [1.0, 0.0, 1.0, 0.0]
    best = events(y, [0.9, 0.1, 0.8, 0.2])  # both positives first: 1
    mine = events(y, [0.8, 0.9, 0.6, 0.7])  # found at places 2 and 4: 1/2 (1/2 + 2/4) = 1/2
    change, low, high = difference_interval(mine, best, SETTINGS) or (NAN, NAN, NAN)
    assert change == pytest.approx(-0.5)
    # whichever services are drawn, a positive stands behind a negative: never better than 1/2
    assert low == pytest.approx(-0.5)
    assert high == pytest.approx(-0.5)
    assert difference_interval(best, mine, SETTINGS) == pytest.approx((0.5, 0.5, 0.5))


def test_difference_of_forecasts_is_the_mean_over_horizons_of_that_of_the_pinball_loss() -> None:
    y = [1.0, 1.0, 2.0, 2.0, NAN, NAN]
    best = forecasts(y, y, y)  # no loss
    low, high = [0.0, 1.0, 2.0, 2.0, 9.0, 9.0], [1.0, 1.0, 2.0, 4.0, 9.0, 9.0]
    mine = forecasts(y, low, high)
    # 1h: row 0 is 1 short at 0.1, so (0.1 + 0) / 2 and a half of it over two rows: 0.025
    # 24h: row 3 is 2 over at 0.5, so (0 + 1) / 2 and a half of it over two known rows: 0.25
    change, lower, upper = difference_interval(mine, best, SETTINGS) or (NAN, NAN, NAN)
    assert change == pytest.approx((0.025 + 0.25) / 2)
    assert lower <= change <= upper


def test_interval_draws_whole_services() -> None:
    y = [1.0] * 4
    best = forecasts(y, y, y).assign(horizon="1h")
    wrong = [1.0, 1.0, 3.0, 3.0]  # both rows of one of two services
    mine = forecasts(y, wrong, wrong).assign(horizon="1h")
    # a wrong row loses (0.9 * 2 + 0.5 * 2) / 2 = 1.4; both draws are the same service in a quarter
    # of all cases each, while four rows drawn singly were all right in a sixteenth only
    settings = Evaluation(bootstrap_resamples=200, confidence=0.8)
    assert difference_interval(mine, best, settings) == pytest.approx((0.7, 0.0, 1.4))


@pytest.mark.parametrize(
    "other",
    [
        events([1.0, 0.0], [0.5, 0.1]),
        events([1.0, 1.0, 1.0, 0.0], [0.5] * 4),
        events([1.0, 0.0, 1.0, 0.0], [0.5] * 4).assign(**{SERVICE: "svc-9"}),
        events([1.0, 0.0, 1.0, 0.0], [0.5] * 4).assign(
            **{TIMESTAMP: pd.Timestamp("2025-01-01", tz="UTC")}
        ),
        forecasts([1.0, 0.0, 1.0, 0.0], [0.1] * 4, [0.2] * 4),
    ],
    ids=["fewer", "labels", "services", "moments", "horizons"],
)
def test_jobs_tested_on_other_rows_are_not_compared(other: pd.DataFrame) -> None:
    mine = events([1.0, 0.0, 1.0, 0.0], [0.9, 0.2, 0.8, 0.1])
    assert difference_interval(mine, mine, SETTINGS) is not None
    assert difference_interval(mine, other, SETTINGS) is None
    assert difference_interval(other, mine, SETTINGS) is None


@pytest.mark.parametrize(
    ("jobs", "told"),
    [
        ([["model=lstm", "seed=1"], ["model=gru", "seed=1"]], ["model=lstm", "model=gru"]),
        (
            [["a=1", "b=1", "c=9"], ["a=1", "b=2", "c=9"], ["a=2", "b=1", "c=9"]],
            ["a=1 b=1", "a=1 b=2", "a=2 b=1"],
        ),
        ([["seed=1"], []], ["seed=1", ""]),
        ([["seed=1"]], [""]),
        ([], []),
    ],
)
def test_particular_is_what_not_all_jobs_have(jobs: list[list[str]], told: list[str]) -> None:
    assert distinguishing_overrides(jobs) == told


def test_forecasts_of_other_quantiles_are_not_compared() -> None:
    mine = forecasts([1.0] * 4, [0.5] * 4, [0.9] * 4)
    other = mine.rename(columns={"q0.1": "q0.2"})
    assert difference_interval(mine, other, SETTINGS) is None


def test_rows_tell_figures_intervals_and_differences() -> None:
    first = record("pinball", 0.01234, 0.0234, pinball_lower=0.0201, pinball_upper=0.0299)
    head, rows = grid_rows(
        [("", first, None), ("model=gru", record("pinball", 0.02, 0.03), (0.0066, -0.001, 0.01))]
    )
    assert len(head) == len(rows[0])
    assert head[:4] == ("job", "validation", "test", "interval")
    assert rows == [
        ("as configured", "0.0123", "0.0234", "[0.0201, 0.0299]", "-", "2.0"),
        ("model=gru", "0.0200", "0.0300", "-", "+0.0066 [-0.0010, +0.0100]", "2.0"),
    ]
