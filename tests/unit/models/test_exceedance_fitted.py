"""The trained surface: it forecasts as a replay does, from what was known, and is scored fairly."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from factories import tiny_panel
from usages import at, fleet, usage_from

from optimizer.core.config import load_config
from optimizer.core.errors import ConfigError, InsufficientHistoryError, SchemaError, TargetError
from optimizer.decisions.policies.learned.cost_optimal import CostOptimal
from optimizer.demand.bounds import RequestBounds
from optimizer.demand.usage import Usage
from optimizer.evaluation.exceedance import (
    Scored,
    frame_scored,
    measure,
    realise,
    score_surface,
)
from optimizer.evaluation.settings import Evaluation
from optimizer.models.exceedance.baselines import (
    LEAST,
    DecayedShare,
    FleetShare,
    PastPeaks,
    SamePartOfDay,
    log_losses,
)
from optimizer.models.exceedance.features import describe
from optimizer.models.exceedance.fitted import (
    IntervalDataset,
    TrainedSurface,
    build_intervals,
    fit_surface,
    frame_surface,
    moments,
    reference_cases,
)
from optimizer.models.exceedance.forecast import Forecast
from optimizer.models.exceedance.lightgbm import ExceedanceLightGBM
from optimizer.models.exceedance.recalibration import Recalibration
from optimizer.models.exceedance.rolling import RollingSurface
from optimizer.models.exceedance.rows import level_rows
from optimizer.models.exceedance.surface import ExceedanceSurface
from optimizer.models.exceedance.target import Exceedance, check_length
from optimizer.targets.splits import RollingOrigin
from optimizer.training.experiment import build_components
from optimizer.training.promotion import surface_beats_baseline, surface_beats_champion

DAY, HELD, STOP = 24, 6, 12 * 24
SMALL = {"min_child_samples": 20, "num_leaves": 7}
SETTINGS = RollingSurface(ExceedanceLightGBM(rounds=20, **SMALL), seed=3, threads=1)
NO_DRAWS = Evaluation(bootstrap_resamples=0)


def train(usage: Usage, stop: int = STOP, settings: RollingSurface = SETTINGS) -> TrainedSurface:
    return fit_surface(build_intervals(usage, settings, stop), settings)


@pytest.fixture(scope="module")
def usage() -> Usage:
    return fleet(8, 20)  # service 1 starts on day 12, service 2 is silent


@pytest.fixture(scope="module")
def trained(usage: Usage) -> TrainedSurface:
    return train(usage)


def text_of(trained: TrainedSurface) -> str:
    """Return what a surface has learned, as LightGBM's text."""
    assert isinstance(trained.model.model, ExceedanceLightGBM)
    return str(trained.model.model._booster.model_to_string())


def disturb(usage: Usage, since: int) -> Usage:
    values = usage.values.copy()
    values[:, since:] = np.random.default_rng(0).lognormal(2.0, 2.0, values[:, since:].shape)
    return replace(usage, values=values)


def cases_of(usage: Usage, cutoff: int, levels: list[list[float]]) -> IntervalDataset:
    """Return one interval of six steps at given levels of each service."""
    table = describe(usage, at(cutoff), HELD)
    asked = np.asarray(levels, dtype=np.float32)[None]
    return IntervalDataset(usage, HELD, table, level_rows(usage, table, HELD, asked))


def test_forecast_is_that_of_a_replay_that_fitted_at_the_same_cutoff(usage: Usage) -> None:
    cutoffs = STOP + HELD * np.arange(8)
    settings = replace(SETTINGS, refit="100d", calibration="1h")  # no calibration period
    rolled = settings.forecast(usage, cutoffs)
    found = train(usage, STOP, settings).forecast(usage, cutoffs)
    assert (found.start, found.interval) == (rolled.start, rolled.interval) == (0, HELD)
    np.testing.assert_array_equal(found.levels, rolled.levels)
    np.testing.assert_array_equal(found.exceedance, rolled.exceedance)
    assert not np.isnan(found.exceedance[:, 0]).any()
    assert np.isnan(found.exceedance[:, 2]).all()


def test_calibration_begins_where_the_fit_ended(usage: Usage, trained: TrainedSurface) -> None:
    assert trained.fitted_until == usage.timestamps[STOP - 1]
    found = trained.forecast(usage, at(STOP + DAY))
    # seven days would reach back to day 6; the four intervals of the one day since are new
    assert found.cutoffs.tolist() == [STOP, STOP + 6, STOP + 12, STOP + 18, STOP + 24]
    assert found.start == 4


def test_what_the_fit_has_seen_recalibrates_nothing(usage: Usage, trained: TrainedSurface) -> None:
    early = trained.answer(usage, np.arange(8 * DAY, STOP, HELD))
    assert early.raw.start == 0
    assert (early.factors == 1.0).all()
    later = trained.answer(usage, np.arange(STOP - HELD, STOP + DAY, HELD))
    assert (later.factors[:2] == 1.0).all()  # of STOP - 6, and of STOP, before which none ended
    assert (later.factors[2:, 0] != 1.0).any()
    none = replace(trained, settings=replace(SETTINGS, recalibration=None))
    answer = none.answer(usage, at(STOP + DAY))
    np.testing.assert_array_equal(answer.forecast.exceedance, answer.raw.exceedance)


def test_usage_after_the_cut_changes_neither_fit_nor_earlier_forecasts(
    usage: Usage, trained: TrainedSurface
) -> None:
    again = train(disturb(usage, STOP))
    assert text_of(again) == text_of(trained)
    assert again.fitted_until == trained.fitted_until
    cutoffs = STOP + HELD * np.arange(5)
    before = trained.forecast(usage, cutoffs)
    for index, cutoff in enumerate(cutoffs.tolist()):
        after = trained.forecast(disturb(usage, cutoff), cutoffs)
        known = slice(None, index + 1)
        np.testing.assert_array_equal(before.levels[known], after.levels[known])
        np.testing.assert_array_equal(before.exceedance[known], after.exceedance[known])
    assert not np.array_equal(
        before.exceedance[-1], trained.forecast(disturb(usage, STOP), cutoffs).exceedance[-1]
    )


def test_usage_before_the_cut_does_change_the_fit(usage: Usage, trained: TrainedSurface) -> None:
    again = train(disturb(usage, STOP - DAY))
    assert text_of(again) != text_of(trained)


def test_policies_take_it_in_place_of_a_rolling_surface(
    usage: Usage, trained: TrainedSurface
) -> None:
    cutoffs = STOP + HELD * np.arange(3)
    asked = CostOptimal(5.0, 0.2).with_surface(trained).request(usage, cutoffs, (1.0, 50.0))
    assert asked.shape == (2, 3, 8)
    assert (asked[1, :, 0] >= asked[0, :, 0]).all()
    assert np.isnan(asked[:, :, 2]).all()


def test_it_survives_pickling(usage: Usage, trained: TrainedSurface) -> None:
    other = pickle.loads(pickle.dumps(trained))
    one, two = (model.forecast(usage, at(STOP + DAY)) for model in (trained, other))
    np.testing.assert_array_equal(one.exceedance, two.exceedance)


@pytest.mark.parametrize(
    ("change", "cutoffs", "told"),
    [
        ({"resource": "memory"}, [STOP], "memory in steps of 1h.*target.resource=memory"),
        ({"step": pd.Timedelta("5min")}, [STOP], "cpu in steps of 5min.*cpu in steps of 1h"),
        ({}, [STOP, STOP + 12], "cutoffs 12h apart.*at most 6h.*train with interval=12h"),
    ],
)
def test_usage_that_it_was_not_trained_on_is_refused(
    usage: Usage, trained: TrainedSurface, change: dict[str, Any], cutoffs: list[int], told: str
) -> None:
    with pytest.raises(SchemaError, match=told):
        trained.forecast(replace(usage, **change), at(*cutoffs))


def test_frame_has_each_candidate_once_and_nobody_unknown() -> None:
    usage = usage_from(np.ones((2, 12)))
    levels = np.array([[[9.0, 9.0, 9.0]] * 2, [[1.0, 1.0, 2.0]] * 2], dtype=np.float32)
    exceedance = np.array([[[0.9] * 3] * 2, [[0.5, 0.5, 0.1], [np.nan] * 3]], dtype=np.float32)
    found = frame_surface(usage, Forecast(at(6, 12), 1, HELD, levels, exceedance))
    assert found["level"].tolist() == [1.0, 2.0]
    assert found["exceedance"].tolist() == pytest.approx([0.5, 0.1])
    assert set(found["service_id"]) == {"svc-000"}
    assert set(found["event_timestamp"]) == {pd.Timestamp("2024-01-01 12:00", tz="UTC")}


def canonical(usage: Usage) -> pd.DataFrame:
    """Return usage as shares of an unknown capacity in the canonical long frame."""
    service, step = np.nonzero(~np.isnan(usage.values))
    return pd.DataFrame(
        {
            "service_id": np.asarray(usage.services)[service],
            "cluster_id": "one",
            "event_timestamp": pd.DatetimeIndex(usage.timestamps[step], tz="UTC"),
            "cpu_utilization": usage.values[service, step],
        }
    )


def test_telemetry_without_capacity_is_a_share_of_it(usage: Usage, trained: TrainedSurface) -> None:
    found = trained.predict_telemetry(canonical(usage))
    assert list(found) == ["service_id", "event_timestamp", "resource", "level", "exceedance"]
    assert set(found["event_timestamp"]) == {pd.Timestamp(usage.timestamps[-1], tz="UTC")}
    assert "svc-002" not in set(found["service_id"])
    one = found[found["service_id"] == "svc-000"]
    assert one["level"].is_monotonic_increasing
    assert one["exceedance"].is_monotonic_decreasing
    assert one["level"].iloc[-1] == np.nanmax(usage.values[0])  # the highest seen, above 1.05 * 1


def test_too_short_a_past_is_refused(usage: Usage) -> None:
    # a day of past and six hours after it do not fit into 29 h
    with pytest.raises(InsufficientHistoryError, match="more than 1d and then 6h"):
        build_intervals(usage, SETTINGS, 29)
    with pytest.raises(InsufficientHistoryError, match="rows with an outcome"):
        train(usage, 31)


@pytest.mark.parametrize(("days", "enough"), [(6, False), (7, True)])
def test_days_that_are_needed_are_told(days: int, enough: bool) -> None:
    # 20 services teach 80 levels an interval: 400 take 5 intervals, the later four begin 3 h
    # apart: 24 + 6 + 12 = 42 h. With 6 h to align and a gap of 6 h: 54 h / 0.6 = 3.75 d to train,
    # (6 + 12) h / 0.15 = 5 d to validate, 12 h / (0.25 / 3) = 6 d to test in three folds.
    panel = tiny_panel(20, days * DAY - (0 if enough else 1))
    split, target = RollingOrigin(folds=3), Exceedance()
    if enough:
        check_length(panel, target, RollingSurface(), split)
    else:
        with pytest.raises(InsufficientHistoryError, match=r"at least 6\.0 days for 20 services"):
            check_length(panel, target, RollingSurface(), split)


def test_decayed_share_by_hand() -> None:
    usage = usage_from([1.0] * 30 + [3.0] * 6)
    cases = cases_of(usage, 30, [[0.5, 2.0]])
    found = DecayedShare("24h").exceedance(cases)  # all past steps are 1
    assert found[0, 0].tolist() == pytest.approx([1 - 1e-4, 1e-4])


def test_margin_is_the_one_that_costs_least() -> None:
    usage = usage_from([1.0] * 30 + [1.0] * 5 + [3.0])
    cases = cases_of(usage, 30, [[2.0]])  # never seen, then one step in six
    baseline = DecayedShare("12h").fit(cases)
    assert baseline.floor == 3e-2  # the widest: 0.167 is nearest to it
    assert baseline.exceedance(cases)[0, 0, 0] == pytest.approx(3e-2)


def test_margin_is_chosen_where_the_share_is_known() -> None:
    cases = cases_of(usage_from([[1.0] * 30 + [3.0] * 3 + [1.0] * 3] * 2), 30, [[2.0]] * 2)
    whole = DecayedShare("12h").fit(cases).floor
    cases.rows.past[0, 1] = np.nan  # scored, yet nothing was counted of the second
    assert DecayedShare("12h").fit(cases).floor == whole
    cases.rows.past[:] = np.nan
    assert DecayedShare("12h").fit(cases).floor == LEAST


def test_same_part_of_day_by_hand() -> None:
    values = np.ones(8 * DAY)
    values[DAY : DAY + 3] = 5.0  # three of the first six hours of one of the last seven days
    values[DAY + 8] = 9.0  # another part of the day
    found = SamePartOfDay().exceedance(cases_of(usage_from(values), 8 * DAY - 24 + 24, [[2.0]]))
    assert found[0, 0, 0] == pytest.approx(3 / 42)


def test_past_peaks_by_hand() -> None:
    # two days in intervals of HELD steps; one step above 2 in each of two of the intervals
    values = np.ones((1, 2 * DAY), dtype=np.float32)
    values[0, [1, HELD + 2]] = 3.0
    found = PastPeaks(2).exceedance(cases_of(usage_from(values), 2 * DAY, [[2.0, 5.0]]))
    number = 2 * DAY // HELD
    assert found[0, 0].tolist() == pytest.approx([2 / number, 1e-4])
    assert PastPeaks(1).exceedance(cases_of(usage_from(values), 2 * DAY, [[2.0, 5.0]]))[
        0, 0, 0
    ] == pytest.approx(1e-4)


def test_fleet_share_by_hand() -> None:
    usage = usage_from([[1.0] * 48 + [3.0] * 3 + [1.0] * 3, [10.0] * 54])
    # ratios to p99 7d, here the usual usage: 0.5, 2 of the first, 0.5, 2 of the second
    cases = cases_of(usage, 48, [[0.5, 2.0], [5.0, 20.0]])
    found = FleetShare(bins=2).fit(cases).exceedance(cases)
    # below: both always above; above: the first half of the time, the second never
    assert found[0, :, 0].tolist() == pytest.approx([1 - 1e-4] * 2)
    assert found[0, :, 1].tolist() == pytest.approx([0.25] * 2)


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: DecayedShare("5h"), "model.halflife"),
        (lambda: FleetShare("p42"), "model.reference"),
        (lambda: FleetShare(bins=1), "model.bins"),
        (lambda: PastPeaks(0), "model.days"),
    ],
)
def test_baselines_refuse(make: Callable[[], object], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        make()


def test_reference_levels_come_from_the_past_alone(usage: Usage) -> None:
    table = describe(usage, at(STOP), HELD)
    one = reference_cases(usage, table, HELD, RequestBounds(floor=0.01))
    other = reference_cases(disturb(usage, STOP), table, HELD, RequestBounds(floor=0.01))
    np.testing.assert_array_equal(one.rows.levels, other.rows.levels)
    assert not np.array_equal(one.rows.outcome, other.rows.outcome, equal_nan=True)
    assert (np.diff(one.rows.levels, axis=2) >= 0).all()


def test_log_losses_by_hand() -> None:
    found = log_losses(np.array([1.0, 0.25, 1.0]), np.array([0.5, 0.5, 0.0]))
    assert found.tolist() == pytest.approx([np.log(2), np.log(2), -np.log(1e-4)])


def test_promises_by_hand() -> None:
    usage = usage_from([[0.0] * 6 + [1, 1, 1, 3, 3, np.nan], [0.0] * 12])
    levels = np.array([[[0.5, 2.0, 4.0], [0.5, 2.0, 4.0]]], dtype=np.float32)
    exceedance = np.array([[[0.9, 0.2, 0.05], [0.9, 0.2, 0.05]]], dtype=np.float32)
    found = realise(usage, Forecast(at(6), 0, HELD, levels, exceedance), at(6), (0.3, 0.1))
    # level 2 keeps 0.3: two of 5 + 6 observed steps above; level 4 keeps 0.1: none
    assert found["promised"].tolist() == [0.3, 0.1]
    assert found["forecast"].tolist() == pytest.approx([0.2, 0.05])
    assert found["realised"].tolist() == pytest.approx([2 / 11, 0.0])


def scored_by_hand() -> Scored:
    usage = usage_from([[1.0] * 30 + [3.0] * 3 + [1.0] * 3] * 2)
    cases = cases_of(usage, 30, [[2.0]] * 2)  # half of the steps come above
    return Scored(
        cases, {"model": np.full((1, 2, 1), 0.5, np.float32), "raw": np.full((1, 2, 1), 0.9)}
    )


def test_figures_by_hand() -> None:
    scored = scored_by_hand()
    figures, difference, best = measure(scored, {"never": DecayedShare()}, NO_DRAWS)
    never = -0.5 * np.log(1e-4) - 0.5 * np.log1p(-1e-4)
    assert best == "never"
    assert figures["model"]["log_loss"] == pytest.approx(np.log(2))
    assert figures["never"]["log_loss"] == pytest.approx(never)
    assert figures["model"]["brier"] == pytest.approx(0.0)
    assert figures["raw"]["brier"] == pytest.approx(0.16)
    assert figures["model"]["log_loss_skill"] == pytest.approx(1 - np.log(2) / never)
    assert difference["log_loss_change"] == pytest.approx(np.log(2) - never)
    frame = frame_scored(scored)
    assert frame["y_true"].tolist() == [0.5, 0.5]
    assert set(frame["horizon"]) == {"6h"}


def test_same_differences_of_all_services_have_a_narrow_interval() -> None:
    settings = Evaluation(bootstrap_resamples=20)
    _, difference, _ = measure(scored_by_hand(), {"never": DecayedShare()}, settings)
    lower, upper = (difference[f"log_loss_change_{end}"] for end in ("lower", "upper"))
    assert lower == pytest.approx(upper) == pytest.approx(difference["log_loss_change"])


def test_nothing_to_score_is_told(usage: Usage, trained: TrainedSurface) -> None:
    values = usage.values.copy()
    values[:, STOP:] = np.nan
    gone = replace(usage, values=values)
    with pytest.raises(TargetError, match="1 intervals without an outcome"):
        score_surface(trained, trained.answer(gone, at(STOP)), gone, at(STOP))


def test_first_surface_has_to_beat_the_best_baseline() -> None:
    figures = {"model": {"log_loss": 0.2}, "raw": {"log_loss": 0.1}, "other": {"log_loss": 0.3}}
    assert surface_beats_baseline(figures, "other").promoted
    assert "0.2000 against 0.3000 of other" in surface_beats_baseline(figures, "other").reason
    figures["other"]["log_loss"] = 0.2  # as good is not better
    assert not surface_beats_baseline(figures, "other").promoted


def test_later_surface_has_to_beat_the_champion_on_newer_rows(
    usage: Usage, trained: TrainedSurface
) -> None:
    cutoffs = np.arange(STOP - DAY, STOP + 3 * DAY, HELD)
    blunt = train(usage, STOP, replace(SETTINGS, model=ExceedanceLightGBM(rounds=1, **SMALL)))
    assert surface_beats_champion(trained, blunt, usage, cutoffs).promoted
    lost = surface_beats_champion(blunt, trained, usage, cutoffs)
    assert not lost.promoted
    # 12 intervals since the fit; a service is scored at 20 levels where it was observed
    assert "of the champion on" in lost.reason
    late = replace(blunt, fitted_until=usage.timestamps[-1])
    assert "no test row is newer" in surface_beats_champion(trained, late, usage, cutoffs).reason


def test_champion_of_another_question_is_not_compared(
    usage: Usage, trained: TrainedSurface
) -> None:
    other = replace(trained, settings=replace(SETTINGS, interval="12h"))
    verdict = surface_beats_champion(trained, other, usage, at(STOP))
    assert not verdict.promoted
    assert "steps of cpu above a level within 12h" in verdict.reason
    assert "choose another registry.name" in verdict.reason


def test_moments_are_the_end_of_the_last_known_step(usage: Usage) -> None:
    assert moments(usage, at(1, 480)).tolist() == usage.timestamps[[0, 479]].tolist()


@pytest.mark.parametrize(
    ("kind", "settings", "told"),
    [
        (Exceedance, {"resource": "disk"}, r"^target\.resource"),
        (Exceedance, {"interval": "soon"}, r"^interval"),
        (RollingSurface, {"interval": "soon"}, r"^interval"),
        (RollingSurface, {"refit": "x"}, r"^surface\.refit"),
        (RollingSurface, {"least_history": "x"}, r"^surface\.least_history"),
        (RollingSurface, {"calibration": "x"}, r"^surface\.calibration"),
        (RollingSurface, {"per_interval": 0}, r"^surface\.per_interval"),
        (RollingSurface, {"levels": 3}, r"^surface\.levels"),
        (RollingSurface, {"levels_per_row": 0}, r"^surface\.levels_per_row"),
        (RollingSurface, {"max_rows": 399}, r"^surface\.max_rows"),
        (RollingSurface, {"outcome": "hours"}, r"^surface\.outcome"),
        (ExceedanceLightGBM, {"rounds": 0}, r"^model\.rounds.*set model\.rounds=300"),
        (ExceedanceLightGBM, {"learning_rate": 2.0}, r"^model\.learning_rate"),
        (Recalibration, {"prior": 0}, r"^surface\.recalibration\.prior"),
        (Recalibration, {"halflife": "no"}, r"^surface\.recalibration\.halflife"),
    ],
)
def test_settings_of_target_and_surface_are_checked(
    kind: type, settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        kind(**settings)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (
            ["surface.cpu.model.rounds=0"],
            r"^surface\.cpu\.model\.rounds.*set surface\.cpu\.model\.rounds=300",
        ),
        (["surface.memory.levels=3"], r"^surface\.memory\.levels.*set surface\.memory\.levels=44"),
        (["surface.cpu.recalibration.prior=0"], r"^surface\.cpu\.recalibration\.prior"),
        (["+surface.cpu.model.trees=3"], r"^surface\.cpu\.model\.trees: got an unknown key"),
        (["model=xgboost"], r"^model: .*target=exceedance does not.*surface\.cpu\.model\.\*"),
        (["model.rounds=9"], r"^model\.rounds: .*write surface\.cpu\.model\.rounds"),
        (["imbalance=focal"], "imbalance=focal.*imbalance=none"),
        (["search=lightgbm"], "search=lightgbm.*a grid tries values"),
        (["baselines.decayed_24h.halflife=1h"], r"baselines\.decayed_24h\.halflife"),
    ],
)
def test_wrong_settings_are_told_before_any_data_is_read(overrides: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        build_components(load_config(["features=minimal", "target=exceedance", *overrides]))


def test_yaml_gives_the_defaults_of_the_surface_and_memory_learns_peaks() -> None:
    cpu, memory = (
        build_components(load_config(["features=minimal", f"target={name}"]))
        for name in ("exceedance", "exceedance_memory")
    )
    assert cpu.target == Exceedance()
    assert memory.target == Exceedance(resource="memory")
    default = RollingSurface()
    for parts in (cpu, memory):
        assert parts.surfaces.keys() == {"cpu", "memory"}
        models = [surface.model for surface in parts.surfaces.values()]
        assert [type(model) for model in models] == [type(default.model)] * 2
        assert [vars(model) for model in models] == [vars(default.model)] * 2
        own = {name: replace(one, model=default.model) for name, one in parts.surfaces.items()}
        assert own["cpu"] == replace(default, recalibration=own["cpu"].recalibration)
        assert own["memory"] == replace(own["cpu"], outcome="peak", recalibration=None)
        known = own["cpu"].recalibration
        assert known is not None
        assert replace(known, shares=tuple(known.shares)) == Recalibration()
    surface, plain = default.unfitted(), ExceedanceSurface(ExceedanceLightGBM(), RequestBounds())
    assert {**vars(surface), "model": None} == {**vars(plain), "model": None}
    assert vars(surface.model) == vars(plain.model)
