"""Recommendations of one resource: every verdict and its edges, risk, bounds and sentences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from usages import usage_from

from optimizer.core.errors import ConfigError
from optimizer.decisions.recommendations.reasons import SENTENCES, format_reasons
from optimizer.decisions.recommendations.recommend import (
    BANDS,
    VERDICTS,
    RecommendationInputs,
    RecommendationSettings,
    recommend_resource,
)
from optimizer.models.conformal.predictive import PredictiveDistribution

NAN = np.nan
DAY, STEPS = 24, 14 * 24
QUARTER = RecommendationSettings(deadband=0.25, idle_below=0.25)
"""Shares that binary fractions hold exactly, so that an edge is an edge."""


def outlook_of(n_services: int) -> PredictiveDistribution:
    """Return the same outlook for all: steps above 4, 8, 16 cores are 10 %, 2 % and none."""
    levels, steps, peaks = [0, 4, 8, 16], [1, 0.1, 0.02, 0], [1, 0.95, 0.5, 0.05]
    wide = [np.tile(np.float32(row), (1, n_services, 1)) for row in (levels, steps, peaks)]
    return PredictiveDistribution(*wide)


def case_of(
    target: object,
    values: object = 4.0,
    capacity: object = 8.0,
    *,
    asked: object = None,
    known: object = True,
    resource: str = "cpu",
) -> RecommendationInputs:
    """Return hourly usage of two weeks, constant unless given, and what was asked for."""
    wanted = np.atleast_1d(np.asarray(target, dtype=np.float32))
    number = len(wanted)
    used = np.asarray(values, dtype=np.float32)
    used = used if used.ndim == 2 else np.broadcast_to(used[..., None], (number, STEPS))
    return RecommendationInputs(
        usage=usage_from(used, capacity, resource=resource),
        clusters=("east",) * number,
        capacity_known=np.broadcast_to(np.asarray(known), number),
        asked=wanted if asked is None else np.asarray(asked, dtype=np.float32),
        target=wanted,
        outlook=outlook_of(number),
        drivers=(("max 24h = 1", "age = 2", "last = 3"),) * number,
        least="2d",
        standing=wanted,
    )


def with_steps(value: float, *steps: int, base: float = 4.0) -> np.ndarray:
    """Return one service's usage with some steps replaced; -1 is the newest."""
    values = np.full((1, STEPS), base, dtype=np.float32)
    values[0, list(steps)] = value
    return values


def row_of(case: RecommendationInputs, settings: RecommendationSettings = QUARTER) -> pd.Series:
    frame = recommend_resource(case, settings)
    assert len(frame) == 1
    return frame.iloc[0]


@pytest.mark.parametrize(
    ("target", "code", "kept"),
    [
        (10.01, "too_small", False),
        (10.0, "fits", True),  # 10 / 8 - 1 is the deadband itself: not above it
        (8.0, "fits", True),
        (6.0, "fits", True),  # 6 / 8 - 1 = -0.25
        (5.99, "too_large", False),
    ],
)
def test_only_changes_beyond_the_deadband_are_worth_it(
    target: float, code: str, kept: bool
) -> None:
    row = row_of(case_of(target))
    assert row["reason_code"] == code
    assert row["target"] == pytest.approx(8.0 if kept else target)
    assert (row["action"], row["finding"]) == tuple(VERDICTS.loc[code])


@pytest.mark.parametrize(
    ("used", "target", "code"),
    [
        (1.99, 4.0, "idle"),
        (2.0, 4.0, "too_large"),  # the mean is a quarter of 8, not below it
        (1.99, 6.0, "fits"),  # idle, and nothing to gain
        (1.99, 12.0, "too_small"),  # idle on the mean, and yet a peak is to come
    ],
)
def test_idle_is_a_low_mean_that_can_shrink(used: float, target: float, code: str) -> None:
    row = row_of(case_of(target, used))
    assert row["reason_code"] == code
    assert row["target"] == (8.0 if code == "fits" else target)


def test_idleness_looks_at_the_last_week() -> None:
    values = np.full((1, STEPS), 7.0)
    values[0, -7 * DAY :] = 1.0
    assert row_of(case_of(4.0, values))["reason_code"] == "idle"
    assert row_of(case_of(4.0, values[:, ::-1]))["reason_code"] == "too_large"
    values[0, -7 * DAY : -1] = NAN  # one step tells the mean: 1
    assert row_of(case_of(4.0, values))["reason_code"] == "idle"


def test_service_without_a_step_in_the_last_week_is_not_called_idle() -> None:
    values = np.full((1, STEPS), 0.1)
    values[0, -7 * DAY :] = NAN
    patient = RecommendationSettings(stale_after="10d", deadband=0.25)
    row = row_of(case_of(4.0, values), patient)
    assert row["reason_code"] == "too_large"
    assert row["confidence"] == 0.5


@pytest.mark.parametrize(("missing", "silent"), [(23, False), (24, True), (STEPS, True)])
def test_silent_is_unobserved_for_a_day(missing: int, silent: bool) -> None:
    values = np.full((1, STEPS), 4.0)
    values[0, STEPS - missing :] = NAN
    row = row_of(case_of(2.0, values))
    assert row["reason_code"] == ("silent" if silent else "too_large")
    assert row["target"] == (8.0 if silent else 2.0)
    assert row["confidence"] == pytest.approx((STEPS - missing) / STEPS)


def test_policy_that_does_not_know_is_a_short_history() -> None:
    row = row_of(case_of(2.0, asked=[NAN]))
    assert (row["reason_code"], row["action"], row["finding"]) == (
        "history_too_short",
        "none",
        "unknown",
    )
    assert row["target"] == row["current"] == 8.0


def test_unknown_capacity_keeps_its_target_as_a_share() -> None:
    row = row_of(case_of(0.5, 0.4, 1.0, known=False))
    assert row["reason_code"] == "capacity_unknown"
    assert (row["unit"], row["action"], row["finding"]) == ("share of capacity", "none", "unknown")
    assert np.isnan(row["current"])
    assert row["target"] == 0.5


def test_clipped_service_of_unknown_capacity_is_not_lowered_either() -> None:
    row = row_of(case_of(0.5, 1.0, 1.0, known=False))
    assert (row["reason_code"], row["target"]) == ("capacity_unknown", 1.0)


# At 98 % of 8 cores, 7.84, a step is at the limit. 1 of 168 steps is 0.6 %, 2 are 1.2 %.
@pytest.mark.parametrize(
    ("values", "target", "code", "told"),
    [
        (with_steps(7.85, -5), 4.0, "too_large", 4.0),
        (with_steps(7.85, -5, -90), 4.0, "clipped_at_limit", 8.0),
        (with_steps(7.83, -5, -90), 4.0, "too_large", 4.0),
        (with_steps(7.85, -5, -169), 4.0, "too_large", 4.0),  # the second is a week and an hour old
        (with_steps(7.85, -5, -90), 10.0, "clipped_at_limit", 8.0),  # the deadband itself
        (with_steps(7.85, -5, -90), 10.01, "too_small", 10.01),
        (with_steps(7.85, -5, -90, base=0.1), 4.0, "clipped_at_limit", 8.0),  # and not idle
    ],
)
def test_clipped_service_is_never_lowered(
    values: np.ndarray, target: float, code: str, told: float
) -> None:
    row = row_of(case_of(target, values))
    assert row["reason_code"] == code
    assert row["target"] == pytest.approx(told)
    if code == "clipped_at_limit":
        assert (row["action"], row["finding"]) == ("keep", "under_provisioned")


def test_first_reason_that_holds_is_told() -> None:
    clipped = np.full((1, STEPS), 1.0)
    silent = np.where(np.arange(STEPS) < STEPS - DAY, clipped, NAN)
    unknown = {"capacity": 1.0, "known": False}
    assert row_of(case_of(0.5, silent, asked=[NAN], **unknown))["reason_code"] == "silent"
    short = row_of(case_of(0.5, clipped, asked=[NAN], **unknown))
    assert short["reason_code"] == "history_too_short"
    assert row_of(case_of(0.5, clipped, **unknown))["reason_code"] == "capacity_unknown"


def test_risk_and_bounds_are_those_of_the_target_that_is_told() -> None:
    frame = recommend_resource(case_of([4.0, 12.0, 8.5]), QUARTER)
    # 10 % above 4; 12 is halfway from 8 (2 %) to 16 (none): 1 %; 8.5 is kept at 8: 2 %
    assert frame["exceedance"].tolist() == pytest.approx([0.1, 0.01, 0.02])
    # 4 at the last band; 1 % is a third of the way from 0.5 % (2) to 2 % (3)
    assert frame["risk"].tolist() == pytest.approx([4.0, 2 + 1 / 3, 3.0])
    # P5 and P95 of the peak: it is above 4 at 95 %, above 16 at 5 %
    assert frame["lower_bound"].tolist() == [4.0] * 3
    assert frame["upper_bound"].tolist() == [16.0] * 3


def test_usage_above_the_request_is_not_clipped_by_it() -> None:
    at_limit = with_steps(8.0, *range(-40, 0))
    assert row_of(case_of(4.0, at_limit))["reason_code"] == "clipped_at_limit"
    above = with_steps(8.0, *range(-40, 0))
    above[0, -50] = 8.5  # more than 1.02 * 8: the limit lies elsewhere
    assert row_of(case_of(4.0, above))["reason_code"] == "too_large"


def test_a_peak_is_not_idle() -> None:
    # mean below a quarter of 8, but a peak of 10.5 > 5 * 0.25 * 8
    values = with_steps(10.5, -30, base=1.0)
    assert row_of(case_of(4.0, values))["reason_code"] == "too_large"


def test_who_is_not_judged_is_not_graded() -> None:
    values = with_steps(NAN, *range(-30, 0))
    row = row_of(case_of(4.0, values))
    assert row["reason_code"] == "silent"
    assert np.isnan([row[n] for n in ("exceedance", "risk", "lower_bound", "upper_bound")]).all()


def test_a_standing_target_is_the_highest_of_the_week() -> None:
    case = replace(case_of([4.0, 4.0, 8.0]), standing=np.array([6.0, 3.0, 9.0], np.float32))
    found = recommend_resource(case, QUARTER)["standing_target"]
    assert found.tolist() == [6.0, 4.0, 8.0]  # the third is kept


def test_frame_is_as_promised() -> None:
    frame = recommend_resource(case_of([4.0, 8.0], resource="memory"), QUARTER)
    assert list(frame) == [
        *("service_id", "cluster_id", "resource", "unit", "current", "target"),
        *("standing_target", "lower_bound", "upper_bound", "action", "finding", "exceedance"),
        *("risk", "confidence", "drivers", "reason_code", "reason"),
    ]
    assert frame["service_id"].tolist() == ["svc-000", "svc-001"]
    assert set(frame["cluster_id"]) == {"east"}
    assert set(frame["resource"]) == {"memory"}
    assert set(frame["unit"]) == {"GiB"}
    assert frame["drivers"].tolist() == [("max 24h = 1", "age = 2", "last = 3")] * 2
    assert set(VERDICTS.index) == set(SENTENCES)


def test_confidence_of_a_young_fleet_is_low() -> None:
    frame = recommend_resource(case_of(8.0, np.full((1, 7 * DAY), 4.0)), QUARTER)
    assert frame["confidence"].tolist() == [0.5]  # 7 of 14 days


@pytest.mark.parametrize(
    ("exceedance", "risk"),
    [
        (0.0, 0.0),
        (0.0005, 0.5),
        (0.001, 1.0),
        (0.003, 1.5),  # halfway from 0.1 % to 0.5 %
        (0.005, 2.0),
        (0.02, 3.0),
        (0.06, 3.5),
        (0.1, 4.0),
        (0.9, 4.0),
        (NAN, NAN),
    ],
)
def test_grades_at_and_between_the_bands(exceedance: float, risk: float) -> None:
    found = RecommendationSettings().grade(np.array([exceedance], dtype=np.float64))
    np.testing.assert_allclose(found, [risk], rtol=1e-6)


def test_cutoffs_reach_back_from_now_in_whole_intervals() -> None:
    usage = usage_from(np.ones(100))
    # 2 d are 48 steps: 8 intervals of 6
    two = RecommendationSettings(history="2d").cutoffs(usage, 6)
    assert two.tolist() == [52, 58, 64, 70, 76, 82, 88, 94, 100]
    # 28 d are more than there is: 99 // 30 = 3, and the first cutoff has 10 steps before it
    assert RecommendationSettings().cutoffs(usage, 30).tolist() == [10, 40, 70, 100]
    assert RecommendationSettings().cutoffs(usage_from(np.ones(12)), 6).tolist() == [
        6,
        12,
    ]  # 0 has no past
    assert RecommendationSettings().cutoffs(usage_from(np.ones(3)), 6).tolist() == [3]


@pytest.mark.parametrize(
    ("case", "told"),
    [
        (
            case_of(4.0, with_steps(NAN, *range(-24, 0))),
            "CPU has not been observed for 1d or longer: nothing can be recommended.",
        ),
        (
            case_of(4.0, with_steps(NAN, *range(STEPS - 23)), asked=[NAN]),
            # 23 hours are 0.96 days: not "1.0 days, at least 1 is needed"
            "CPU was observed for 0.9 days only, too short to tell what it needs: 2d are enough.",
        ),
        (
            case_of(0.5, 0.4, 1.0, known=False, resource="memory"),
            (
                "The Memory capacity is unknown: the target is a share of it, and nothing can be "
                "changed or priced."
            ),
        ),
        (
            case_of(4.0, 8.0),
            "CPU usage is clipped at its limit: demand may be higher, so 8 cores are not lowered.",
        ),
        (
            case_of(12.0),
            "CPU needs 12 cores rather than 8: even so 1 % of the steps are expected above.",
        ),
        (
            case_of(4.0, 1.0, resource="memory"),
            (
                "Memory is hardly used: 4 GiB instead of 8 would do; ask whether the service is "
                "needed at all."
            ),
        ),
        (
            case_of(4.0, resource="memory"),
            "Memory can shrink from 8 to 4 GiB: the peak is above with a probability of 95 %.",
        ),
        (case_of(8.5), "CPU fits in 8 cores: 2 % of the steps are expected above."),
    ],
)
def test_sentences(case: RecommendationInputs, told: str) -> None:
    assert row_of(case)["reason"] == told


@pytest.mark.parametrize(
    ("share", "told"),
    [(NAN, "an unknown share"), (9e-5, "less than 0.01 %"), (0.0123, "1.2 %"), (0.996, "100 %")],
)
def test_shares_are_told_in_words(share: float, told: str) -> None:
    one = np.array([8.0])
    codes = np.array(["fits"])
    found = format_reasons(codes, usage_from(np.ones(2)), one, one, np.array([share]), "1d")
    assert found == [f"CPU fits in 8 cores: {told} of the steps are expected above."]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"history": "soon"}, "recommend.history"),
        ({"stale_after": "-1d"}, "recommend.stale_after"),
        ({"deadband": 1.0}, "recommend.deadband"),
        ({"idle_below": -0.1}, "recommend.idle_below"),
        ({"reserve": 1.0}, "recommend.reserve"),
        ({"clipped_above": 1.1}, "recommend.clipped_above"),
        ({"replica_step": 0.0}, "recommend.replica_step"),
        ({"max_replicas": 0}, "recommend.max_replicas"),
        ({"risk_bands": [0.1, 0.2, 0.3]}, "recommend.risk_bands"),
        ({"risk_bands": [0.0, 0.1, 0.2, 0.3]}, "recommend.risk_bands"),
        ({"risk_bands": [0.1, 0.1, 0.2, 0.3]}, "recommend.risk_bands"),
        ({"risk_bands": [0.1, 0.2, 0.3, 1.0]}, "recommend.risk_bands"),
        ({"risk_bands": [0.1, NAN, 0.3, 0.4]}, "recommend.risk_bands"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RecommendationSettings(**settings)
    assert caught.value.offender == key


def test_yaml_gives_the_defaults() -> None:
    from optimizer.core.config import load_config

    node = {key: value for key, value in load_config([]).recommend.items() if key != "_target_"}
    assert RecommendationSettings(**node) == RecommendationSettings(risk_bands=node["risk_bands"])
    assert tuple(node["risk_bands"]) == BANDS
