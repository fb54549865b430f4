from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from usages import Swept

from optimizer.core.config import load_config
from optimizer.core.errors import ConfigError, InsufficientHistoryError
from optimizer.core.panel import FloatArray
from optimizer.decisions.backtesting.replay import Replay, request_bounded
from optimizer.decisions.policies.protocol import Policy
from optimizer.demand.bounds import RequestBounds
from optimizer.demand.history import past_peaks
from optimizer.demand.intervals import Window, interval_peaks, interval_stops
from optimizer.demand.usage import Usage
from optimizer.models.exceedance.rolling import RollingSurface
from optimizer.training.experiment import build_surfaces

NAN = np.nan


@dataclass(frozen=True)
class PastMaximum(Swept):
    """The maximum of all that was before, times the knob; NaN before anything was observed."""

    learns: bool = False
    knob: str = "margin"
    setting: float = 1.0
    knobs: tuple[float, ...] = (1.0, 1.5)

    def request(
        self, usage: Usage, cutoffs: NDArray[np.int64], knobs: Sequence[float]
    ) -> FloatArray:
        base = np.stack([np.fmax.reduce(usage.values[:, :c], axis=1) for c in cutoffs])
        return np.asarray(base * np.asarray(knobs)[:, None, None], dtype=np.float32)


@dataclass(frozen=True)
class Constant(Swept):
    """The knob itself, for every service."""

    learns: bool = False
    knob: str = "value"
    setting: float = 1.0
    knobs: tuple[float, ...] = (0.0, 1.0, np.inf)

    def request(
        self, usage: Usage, cutoffs: NDArray[np.int64], knobs: Sequence[float]
    ) -> FloatArray:
        shape = (len(knobs), len(cutoffs), usage.n_services)
        return np.broadcast_to(np.asarray(knobs, np.float32)[:, None, None], shape)


def usage_from(
    values: object, capacity: object, *, start: str = "2024-01-01T01:00", step: str = "1h"
) -> Usage:
    """Return usage whose first step ends at ``start``."""
    used = np.asarray(values, dtype=np.float32)
    size = pd.Timedelta(step)
    clock = np.datetime64(start, "us") + np.arange(used.shape[1]) * size.to_timedelta64()
    return Usage(
        resource="cpu",
        values=used,
        capacity=np.asarray(capacity, dtype=np.float32),
        timestamps=clock.astype("datetime64[us]"),
        step=size,
        services=tuple(f"s{i}" for i in range(len(used))),
    )


def ones(n_steps: int, **clock: str) -> Usage:
    return usage_from(np.ones((1, n_steps)), [1.0], **clock)


def test_cutoffs_lie_on_the_clock_and_every_interval_is_whole() -> None:
    # steps end at 01:00, 02:00, ..., 31:00; with 6 h known at 06:00 the first unknown step is 6
    usage = ones(31)
    replay = Replay(interval="6h", period="7d", least_history="6h")
    # 30 would need steps 30..35, of which only 30 is there
    np.testing.assert_array_equal(replay.cutoffs(usage), [6, 12, 18, 24])
    np.testing.assert_array_equal(
        Replay(interval="6h", period="7d", least_history="7h").cutoffs(usage), [12, 18, 24]
    )
    # the newest 13 hours begin at step 18
    np.testing.assert_array_equal(
        Replay(interval="6h", period="13h", least_history="1h").cutoffs(usage), [18, 24]
    )


def test_cutoffs_do_not_move_when_telemetry_starts_at_another_hour_or_goes_on() -> None:
    replay = Replay(interval="6h", period="30d", least_history="1h")
    usage = ones(40, start="2024-01-01T04:00")
    cutoffs = replay.cutoffs(usage)
    hours = [str(usage.timestamps[c - 1])[11:13] for c in cutoffs]
    assert hours == ["06", "12", "18", "00", "06", "12"]
    longer = replay.cutoffs(ones(46, start="2024-01-01T04:00"))
    np.testing.assert_array_equal(longer[: len(cutoffs)], cutoffs)


def test_cutoffs_of_five_minute_steps_are_72_apart() -> None:
    usage = ones(288 * 3, start="2024-01-01T00:05", step="5min")
    cutoffs = Replay(interval="6h", period="1d", least_history="1d").cutoffs(usage)
    np.testing.assert_array_equal(cutoffs, [576, 648, 720, 792])


def test_too_little_history_is_told() -> None:
    with pytest.raises(InsufficientHistoryError, match="7d before the first cutoff"):
        Replay().cutoffs(ones(7 * 24 + 5))
    assert len(Replay().cutoffs(ones(7 * 24 + 6))) == 1


@pytest.mark.parametrize(
    ("kind", "wrong", "told"),
    [
        (Replay, {"interval": "often"}, "^interval"),
        (RequestBounds, {"floor": 0.0}, r"^bounds\.floor"),
        (RequestBounds, {"headroom": 0.5}, r"^bounds\.headroom"),
        (Replay, {"period": "-1d"}, r"^replay\.period"),
        (Replay, {"least_history": "x"}, r"^replay\.least_history"),
        (RollingSurface, {"refit": "x"}, r"^surface\.refit"),
    ],
)
def test_wrong_settings_are_config_errors(kind: type, wrong: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        kind(**wrong)


@pytest.mark.parametrize("resource", ["cpu", "memory"])
def test_the_surface_is_the_resource_s_own_but_for_the_schedule(resource: str) -> None:
    own, other = (
        build_surfaces(load_config(overrides))
        for overrides in ([], [f"surface.{resource}.refit=1d"])
    )
    assert own[resource].refit == "7d"
    assert replace(other[resource], model=own[resource].model) == replace(own[resource], refit="1d")
    assert vars(other[resource].model) == vars(own[resource].model)
    recalibrates = {"cpu": True, "memory": False}[resource]
    assert (own[resource].recalibration is not None) == recalibrates
    assert own[resource].outcome == {"cpu": "steps", "memory": "peak"}[resource]


def test_interval_stops() -> None:
    np.testing.assert_array_equal(interval_stops(np.array([2, 5, 8]), 1), [5, 8, 11])
    np.testing.assert_array_equal(interval_stops(np.array([4]), 5), [9])


def test_a_window_ends_with_the_usage() -> None:
    usage = ones(9)
    assert Window.of(usage, np.array([1, 3, 5])).lengths.tolist() == [2, 2, 2]
    assert Window.of(usage, np.array([2, 5, 8])).lengths.tolist() == [3, 3, 1]
    assert Window.of(usage, np.array([4])).lengths.tolist() == [5]


def test_peaks_before_and_after_cutoffs() -> None:
    usage = usage_from([[1, 3, 2, NAN, 5, 4], [NAN, NAN, NAN, NAN, 7, NAN]], [9, 9])
    cutoffs = np.array([2, 4])
    # service 0: steps 2..3 hold 2, steps 4..5 hold 5; before: 3, then 3
    np.testing.assert_array_equal(interval_peaks(usage, cutoffs), [[2, NAN], [5, 7]])
    np.testing.assert_array_equal(past_peaks(usage, cutoffs), [[3, NAN], [3, NAN]])


def test_requests_keep_to_floor_and_cap_and_the_unknown_keeps_its_capacity() -> None:
    usage = usage_from([[1, 1, 6, 1], [NAN, NAN, NAN, 1]], [4.0, 8.0])
    asked = request_bounded(
        Constant(), usage, np.array([2, 3]), [0.0, 5.0, np.inf, NAN], RequestBounds()
    )
    assert asked.shape == (4, 2, 2)
    assert asked.dtype == np.float32
    np.testing.assert_allclose(asked[0], 0.01)
    # service 0: cap 1.05 * 4 = 4.2 until it was seen to use 6; service 1: 1.05 * 8 = 8.4
    np.testing.assert_allclose(asked[1], [[4.2, 5], [5, 5]], rtol=1e-6)
    np.testing.assert_allclose(asked[2], [[4.2, 8.4], [6, 8.4]], rtol=1e-6)
    np.testing.assert_allclose(asked[3], [[4, 8], [4, 8]])


def test_without_headroom_only_the_floor_holds() -> None:
    usage = usage_from([[1, 1, 6, 1]], [4.0])
    asked = request_bounded(
        Constant(), usage, np.array([2]), [0.0, 50.0], RequestBounds(), capped=False
    )
    np.testing.assert_allclose(asked[:, 0, 0], [0.01, 50])


def test_replay_asks_for_the_knobs_of_the_policy_by_default() -> None:
    usage = usage_from([np.arange(24)], [100.0])
    replay = Replay(interval="6h", period="2d", least_history="6h")
    policy = PastMaximum()
    assert isinstance(policy, Policy)
    asked = replay.requests(policy, usage)
    # maxima of 0..5, 0..11 and 0..17, then times 1.5
    np.testing.assert_allclose(asked[:, :, 0], [[5, 11, 17], [7.5, 16.5, 25.5]])
    np.testing.assert_allclose(replay.requests(policy, usage, [2.0])[:, :, 0], [[10, 22, 34]])


def test_an_answer_of_another_shape_is_refused() -> None:
    class Wrong(Constant):
        def request(
            self, usage: Usage, cutoffs: NDArray[np.int64], knobs: Sequence[float]
        ) -> FloatArray:
            return np.ones((1, 1, 1), dtype=np.float32)

    with pytest.raises(ValueError, match="Wrong answers in shape"):
        request_bounded(Wrong(), ones(9), np.array([3, 6]), [1.0], RequestBounds())


def test_a_request_depends_on_nothing_after_its_cutoff() -> None:
    rng = np.random.default_rng(3)
    usage = usage_from(rng.gamma(1.0, 1.0, (4, 60)), np.full(4, 2.0))
    cutoffs, bounds = np.array([20, 30, 40]), RequestBounds()
    for policy in (PastMaximum(), Constant()):
        was = request_bounded(policy, usage, cutoffs, [1.0, 3.0], bounds)
        for index, cutoff in enumerate(cutoffs):
            later = usage.values.copy()
            later[:, cutoff:] = 99.0
            now = request_bounded(policy, replace(usage, values=later), cutoffs, [1.0, 3.0], bounds)
            np.testing.assert_array_equal(now[:, : index + 1], was[:, : index + 1])
            earlier = request_bounded(policy, usage, cutoffs[: index + 1], [1.0, 3.0], bounds)
            np.testing.assert_array_equal(earlier, was[:, : index + 1])


def test_before_the_first_step_there_is_no_past_peak() -> None:
    usage = usage_from([[9, 1, 2, 3]], [4.0])
    np.testing.assert_array_equal(past_peaks(usage, np.array([0, 2])), [[NAN], [9]])
