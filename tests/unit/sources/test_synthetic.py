"""The generated fleet keeps what its docstring claims."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from optimizer.core.errors import ConfigError
from optimizer.core.panel import Panel, build_panel
from optimizer.core.schema import CANONICAL, METRICS, TIMESTAMP_DTYPE
from optimizer.sources.synthetic.autoscaler import Autoscaler
from optimizer.sources.synthetic.fleet import queueing_latency
from optimizer.sources.synthetic.profiles import autoregressive
from optimizer.sources.synthetic.source import SyntheticTelemetry

SEEDS = (7, 11)
HOUR = pd.Timedelta("1h")


@pytest.fixture(scope="module", params=SEEDS)
def fleet(request: pytest.FixtureRequest) -> pd.DataFrame:
    return SyntheticTelemetry(seed=request.param).fetch()


@pytest.fixture(scope="module")
def panel(fleet: pd.DataFrame) -> Panel:
    return build_panel(fleet, HOUR)


def of(panel: Panel, archetype: str) -> np.ndarray:
    return np.array([name.startswith(archetype) for name in panel.services])


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    known = ~np.isnan(a) & ~np.isnan(b)
    return float(np.corrcoef(a[known], b[known])[0, 1])


def test_load_default_has_the_size_and_types_claimed(fleet: pd.DataFrame) -> None:
    assert fleet["service_id"].nunique() == 48
    assert fleet["cluster_id"].nunique() == 5
    assert set(fleet.columns) == set(CANONICAL)
    assert isinstance(fleet["service_id"].dtype, pd.CategoricalDtype)
    assert str(fleet["event_timestamp"].dtype) == TIMESTAMP_DTYPE
    assert all(fleet[name].dtype == np.float32 for name in METRICS)
    assert fleet["event_timestamp"].min() == pd.Timestamp("2025-01-01T01:00Z")
    assert fleet["event_timestamp"].max() == pd.Timestamp("2025-04-01T00:00Z")


def test_load_default_is_sorted_with_unique_keys(fleet: pd.DataFrame) -> None:
    keys = fleet[["service_id", "event_timestamp"]].astype({"service_id": str})
    assert not keys.duplicated().any()
    pd.testing.assert_frame_equal(keys, keys.sort_values(["service_id", "event_timestamp"]))


def test_load_rates_match_the_claims(fleet: pd.DataFrame) -> None:
    assert 0.02 <= fleet["scale_event"].mean() <= 0.04
    assert 0.01 <= fleet["is_anomaly"].mean() <= 0.02
    assert 0.005 <= 1 - len(fleet) / (48 * 90 * 24) <= 0.015
    measured = [name for name in METRICS if fleet[name].isna().any()]
    assert len(measured) == 9
    assert 0.005 <= fleet[measured].isna().to_numpy().mean() <= 0.015


def test_load_same_seed_gives_same_rows_and_another_seed_others() -> None:
    small = {"n_services": 6, "n_clusters": 2, "days": 5}
    first = SyntheticTelemetry(seed=0, **small).fetch()
    pd.testing.assert_frame_equal(first, SyntheticTelemetry(seed=0, **small).fetch())
    assert not first.equals(SyntheticTelemetry(seed=1, **small).fetch())


def test_web_demand_repeats_daily_and_rests_at_weekends(panel: Panel) -> None:
    demand = (panel.metric("cpu_utilization") * panel.metric("cpu_capacity_cores"))[
        of(panel, "web")
    ]
    assert len(demand) == 14
    daily = [correlation(row[:-24], row[24:]) for row in demand]
    half_daily = [correlation(row[:-12], row[12:]) for row in demand]
    assert np.median(daily) > 0.5
    assert np.median(half_daily) < 0
    weekend = pd.DatetimeIndex(panel.timestamps - np.timedelta64(1, "h")).dayofweek >= 5
    assert np.nanmean(demand[:, weekend]) < 0.9 * np.nanmean(demand[:, ~weekend])


def test_archetypes_behave_as_named(panel: Panel) -> None:
    demand = panel.metric("cpu_utilization") * panel.metric("cpu_capacity_cores")
    spread = np.nanstd(demand, axis=1) / np.nanmean(demand, axis=1)
    assert np.median(spread[of(panel, "batch")]) > 2 * np.median(spread[of(panel, "steady")])
    growing = demand[of(panel, "growing")]
    first, last = np.nanmean(growing[:, :336]), np.nanmean(growing[:, -336:])
    assert last > 1.3 * first
    idle = np.nanmean(panel.metric("cpu_utilization")[of(panel, "idle")])
    assert idle < 0.75 * np.nanmean(panel.metric("cpu_utilization")[of(panel, "web")])


def test_noise_is_autocorrelated(panel: Panel) -> None:
    demand = panel.metric("cpu_utilization") * panel.metric("cpu_capacity_cores")
    calm = np.where(panel.metric("is_anomaly") == 0, demand, np.nan)[of(panel, "steady")]
    assert np.median([correlation(row[:-1], row[1:]) for row in calm]) > 0.6


def test_autoregressive_has_unit_variance_and_the_correlation_asked_for() -> None:
    noise = autoregressive((200, 400), 0.5, 0.81, np.random.default_rng(0))
    assert noise.std() == pytest.approx(1.0, abs=0.03)
    assert correlation(noise[:, :-1], noise[:, 1:]) == pytest.approx(0.9, abs=0.01)


def test_network_and_requests_follow_demand(panel: Panel) -> None:
    demand = panel.metric("cpu_utilization") * panel.metric("cpu_capacity_cores")
    for metric in ("request_rate", "network_in_mbps"):
        tied = [correlation(a, b) for a, b in zip(demand, panel.metric(metric), strict=True)]
        assert np.median(tied) > 0.75


def test_cost_is_capacity_times_price(fleet: pd.DataFrame) -> None:
    np.testing.assert_allclose(fleet["cost_usd"], 0.045 * fleet["cpu_capacity_cores"], rtol=1e-5)


def test_memory_leaks_upwards_and_resets(panel: Panel) -> None:
    memory = panel.metric("memory_utilization")
    change = np.diff(memory, axis=1)
    assert (np.nanmin(change, axis=1) < -0.3).mean() > 0.3  # a reset drops it at once
    assert (np.nanmax(change, axis=1) > 0.3).mean() < 0.1  # it fills slowly
    assert np.nanmax(memory) <= 1.0


def test_latency_in_the_fleet_rises_convexly_with_utilisation(fleet: pd.DataFrame) -> None:
    calm = fleet[(fleet["is_anomaly"] == 0)].dropna(subset=["latency_ms", "cpu_utilization"])
    least = calm.groupby("service_id", observed=True)["latency_ms"].transform("min")
    bins = pd.cut(calm["cpu_utilization"], [0.2, 0.35, 0.5, 0.65, 0.8, 0.95])
    level = (calm["latency_ms"] / least).groupby(bins, observed=True).median()
    assert len(level) == 5
    assert (np.diff(level) > 0).all()
    assert (np.diff(level, n=2) > 0).all()


def test_queueing_latency_hand_computed() -> None:
    got = queueing_latency(np.array([0.0, 0.5, 0.8]), np.array(10.0))
    np.testing.assert_allclose(got, [10.0, 12.5, 26.0])  # 10 (1 + u^2 / (2 (1 - u)))
    past = queueing_latency(np.linspace(0, 3, 301), np.array(1.0))
    assert (np.diff(past, n=2) > -1e-9).all()


def test_scale_event_raises_capacity_in_the_next_step_only(panel: Panel) -> None:
    capacity, event = panel.metric("cpu_capacity_cores"), panel.metric("scale_event")
    up = event[:, :-1] == 1
    change = np.diff(capacity, axis=1)
    known = up & ~np.isnan(change)
    assert (change[known] > 0).all()
    rose = (change > 0) & ~np.isnan(event[:, :-1])
    np.testing.assert_array_equal(rose, known)
    assert (change < 0).sum() > 100  # it scales down too, which is no event


def test_scale_event_mostly_comes_from_below_the_ceiling(panel: Panel) -> None:
    cpu, event = panel.metric("cpu_utilization"), panel.metric("scale_event")
    before = cpu[:, :-1][event[:, 1:] == 1]
    at = cpu[event == 1]
    assert (before[~np.isnan(before)] < 0.8).mean() > 0.7
    assert (at[~np.isnan(at)] > 0.75).all()


def test_no_single_metric_reveals_the_next_event(panel: Panel) -> None:
    from sklearn.metrics import average_precision_score

    event = panel.metric("scale_event")[:, 1:]
    now = panel.metric("cpu_utilization")[:, :-1]
    eligible = (now < 0.8) & ~np.isnan(event)
    for metric in panel.metrics:
        values = np.nan_to_num(panel.metric(metric)[:, :-1][eligible])
        for sign in (1, -1):
            score = average_precision_score(event[eligible], sign * values)
            assert score < 0.35, metric


def test_gradient_boosting_learns_events_better_than_the_last_value(panel: Panel) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    from sklearn.metrics import average_precision_score

    cpu = panel.metric("cpu_utilization")
    lags = [np.roll(cpu, k, axis=1) for k in (0, 1, 2, 3, 5, 11, 22, 23, 24, 47, 71, 167)]
    hour = np.broadcast_to(pd.DatetimeIndex(panel.timestamps).hour, cpu.shape)
    X = np.stack([*lags, hour], axis=-1)[:, 168:-1]
    y, now = panel.metric("scale_event")[:, 169:], cpu[:, 168:-1]
    eligible = (now < 0.8) & ~np.isnan(y)
    late = np.broadcast_to(np.arange(y.shape[1]) >= 0.75 * y.shape[1], y.shape)
    model = lightgbm.LGBMClassifier(
        n_estimators=120, learning_rate=0.06, n_jobs=1, verbose=-1, random_state=0
    )
    model.fit(X[eligible & ~late], y[eligible & ~late])
    test = eligible & late
    learned = average_precision_score(y[test], model.predict_proba(X[test])[:, 1])
    assert 0.4 < learned < 0.75
    assert learned > 2 * average_precision_score(y[test], now[test])
    assert 0.015 < y[test].mean() < 0.04


def test_load_five_minutes_keeps_rates_per_hour() -> None:
    frame = SyntheticTelemetry(n_services=24, days=10, freq="5min", seed=3).fetch()
    assert len(frame) > 0.98 * 24 * 10 * 288
    assert 0.01 <= frame["scale_event"].mean() * 12 <= 0.05
    assert 0.005 <= frame["is_anomaly"].mean() <= 0.025
    step = frame["event_timestamp"].diff().mode()[0]
    assert step == pd.Timedelta("5min")


@pytest.mark.parametrize("rate", [0.003, 0.01, 0.05])
def test_load_event_rate_is_met(rate: float) -> None:
    events = SyntheticTelemetry(seed=5, event_rate=rate).fetch()["scale_event"].mean()
    assert events == pytest.approx(rate, rel=0.25)


def test_load_event_rate_out_of_reach_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    SyntheticTelemetry(days=20, event_rate=0.2).fetch()
    assert "0.2000 wanted" in caplog.text


def test_load_start_shifts_the_clock() -> None:
    frame = SyntheticTelemetry(
        n_services=4, n_clusters=1, days=2, start="2024-06-01T06:00", freq="15min"
    ).fetch()
    assert frame["event_timestamp"].min() >= pd.Timestamp("2024-06-01T06:15Z")
    assert frame["event_timestamp"].max() <= pd.Timestamp("2024-06-03T06:00Z")


def test_autoscaler_hand_computed_steps() -> None:
    load = np.array([[1.2, 1.7, 1.7, 1.7, 0.3, 0.3, 0.3]])
    scaler = Autoscaler(target=0.6, cooldown=1, patience=2, least=1)
    replicas, up = scaler.run(load, np.array([1.0]), 1.0)
    # 1.2/2 is fine; 1.7/2 = 0.85 > 0.8: ceil(1.7/0.6) = 3 from the next step on; after one
    # step of cool-down 1.7/3 is fine; 0.3/3 stays low for two steps: back to 1
    assert replicas.tolist() == [[2, 2, 3, 3, 3, 3, 1]]
    assert up.tolist() == [[False, True, False, False, False, False, False]]


def test_autoscaler_decision_never_reads_later_load() -> None:
    load = np.random.default_rng(0).uniform(1, 6, (5, 40))
    changed = load.copy()
    changed[:, 25:] *= 3
    before, up = Autoscaler().run(load, np.ones(5), 1.0)
    after, up_after = Autoscaler().run(changed, np.ones(5), 1.0)
    np.testing.assert_array_equal(before[:, :26], after[:, :26])
    np.testing.assert_array_equal(up[:, :25], up_after[:, :25])


def test_fingerprint_changes_with_any_argument() -> None:
    prints = {
        SyntheticTelemetry().snapshot_id(),
        SyntheticTelemetry(seed=8).snapshot_id(),
        SyntheticTelemetry(event_rate=0.02).snapshot_id(),
        SyntheticTelemetry(freq="5min").snapshot_id(),
    }
    assert len(prints) == 4
    assert SyntheticTelemetry().snapshot_id() == SyntheticTelemetry().snapshot_id()


def test_name_null_is_synthetic() -> None:
    assert SyntheticTelemetry(name=None).name == "synthetic"  # type: ignore[arg-type]
    assert SyntheticTelemetry(name="demo").name == "demo"


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("n_services", 1),
        ("n_clusters", 99),
        ("n_clusters", 0),
        ("days", 0.01),
        ("freq", "soon"),
        ("freq", "2d"),
        ("start", "someday"),
        ("event_rate", 0.0),
        ("anomaly_rate", 0.9),
        ("absent_rate", -0.1),
        ("nan_rate", 1.0),
    ],
)
def test_constructor_wrong_value_names_its_key(argument: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"data.{argument}"):
        SyntheticTelemetry(**{argument: value})  # type: ignore[arg-type]
