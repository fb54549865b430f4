"""The simple rules on examples small enough to compute by hand."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from usages import at, usage_from

from optimizer.core.errors import ConfigError
from optimizer.decisions.policies.heuristic.krr import Krr
from optimizer.decisions.policies.heuristic.max_margin import MaxMargin
from optimizer.decisions.policies.heuristic.n_sigma import NSigma
from optimizer.decisions.policies.heuristic.peak_oracle import PeakOracle
from optimizer.decisions.policies.heuristic.seasonal_max import SeasonalMax
from optimizer.decisions.policies.heuristic.static import Static
from optimizer.demand.usage import MEMORY

NAN = np.nan


def test_max_margin_is_the_maximum_of_the_window_and_some_more() -> None:
    # Four steps a day. Of the last 12 hours before cutoff 5 (steps 3 and 4) the maximum is 3;
    # before cutoff 6 (steps 4 and 5) only 2 is observed.
    usage = usage_from([9.0, 1.0, 1.0, 3.0, 2.0, NAN, 8.0], step="6h")
    found = MaxMargin(window="12h").request(usage, at(5, 6), (-0.5, 0.0, 0.15))
    np.testing.assert_allclose(found[:, :, 0], [[1.5, 1.0], [3.0, 2.0], [3.45, 2.3]])
    assert found.dtype == np.float32


def test_n_sigma_is_the_mean_and_n_sample_deviations() -> None:
    # 1 and 3: mean 2, variance ((1-2)² + (3-2)²) / (2-1) = 2.
    usage = usage_from([7.0, 7.0, 1.0, NAN, 3.0], step="6h")
    found = NSigma(window="18h").request(usage, at(5), (0.0, 3.0))
    np.testing.assert_allclose(found[:, 0, 0], [2.0, 2.0 + 3.0 * sqrt(2.0)], rtol=1e-6)


def test_seasonal_max_looks_at_the_hours_of_the_coming_interval_only() -> None:
    # Four steps a day, requests for one step: cutoff 8 is at the hour of steps 0 and 4, cutoff 9
    # at that of steps 1 and 5. The 9 at step 7 is at another hour.
    usage = usage_from([5.0, 1.0, 0.0, 0.0, 4.0, 2.0, 0.0, 9.0, 0.0], step="6h")
    cutoffs = at(8, 9)
    two = SeasonalMax(days=2).request(usage, cutoffs, (0.0, 1.0))
    np.testing.assert_allclose(two[:, :, 0], [[5.0, 2.0], [10.0, 4.0]])
    one = SeasonalMax(days=1).request(usage, cutoffs, (0.0,))
    np.testing.assert_allclose(one[0, :, 0], [4.0, 2.0])


def test_seasonal_max_of_a_long_interval_ends_at_the_cutoff() -> None:
    # An interval of two days: of the day before, only steps 4 to 7 lie before cutoff 8.
    usage = usage_from([7.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0, *[50.0] * 8], step="6h")
    found = SeasonalMax(days=1).request(usage, at(8, 16), (0.0,))
    np.testing.assert_allclose(found[0, :, 0], [3.0, 50.0])


def test_seasonal_max_of_a_lone_cutoff_takes_the_configured_interval() -> None:
    usage = usage_from([5.0, 6.0, 0.0, 0.0], step="6h")
    found = [SeasonalMax(interval=i).request(usage, at(4), (0.0,)).item() for i in ("6h", "12h")]
    assert found == [5.0, 6.0]


def test_static_is_a_share_of_the_capacity_without_any_history() -> None:
    usage = usage_from([[NAN], [NAN]], [4.0, 8.0])
    found = Static().request(usage, at(0), (0.5, 1.0))
    np.testing.assert_array_equal(found[:, 0], [[2.0, 4.0], [4.0, 8.0]])


def test_peak_oracle_is_the_maximum_of_the_coming_interval() -> None:
    # Intervals [1, 3), [3, 5) and, as long as the one before, [5, 7) of which the clock has one.
    usage = usage_from([9.0, 1.0, 2.0, NAN, 3.0, 4.0])
    found = PeakOracle().request(usage, at(1, 3, 5), (0.0, 0.5))
    np.testing.assert_allclose(found[:, :, 0], [[2.0, 3.0, 4.0], [3.0, 4.5, 6.0]])
    assert PeakOracle().request(usage, at(2), (0.0,)).item() == 4.0


def test_krr_takes_a_linear_percentile_of_cpu() -> None:
    # Of 1, 2, 3, 4, 5 the 95th percentile is at place 0.95 * 4 = 3.8: 4 + 0.8 * (5 - 4) = 4.8.
    usage = usage_from([99.0, 5.0, NAN, 1.0, 4.0, 3.0, 2.0], step="12h")
    found = Krr(window="3d").request(usage, at(7), (0.5, 0.95, 1.0))
    np.testing.assert_allclose(found[:, 0, 0], [3.0, 4.8, 5.0], rtol=1e-6)


def test_krr_pads_the_maximum_of_memory() -> None:
    usage = usage_from([9.0, 1.0, 2.0, NAN], step="12h", resource=MEMORY)
    policy = Krr(window="36h", sweep="buffer")
    assert policy.knob == "buffer"
    found = policy.request(usage, at(4), (0.0, 0.15))
    np.testing.assert_allclose(found[:, 0, 0], [2.0, 2.3])
    other = Krr(window="36h").request(usage, at(4), (0.5, 0.9))
    np.testing.assert_allclose(other[:, 0, 0], [2.3, 2.3])


def test_service_without_enough_observed_steps_gets_no_request() -> None:
    # A day is four steps: the first service has them at cutoff 4, the second at cutoff 6 only.
    usage = usage_from([[1.0] * 6, [NAN, NAN, 1.0, 1.0, 1.0, 1.0]], step="6h")
    for policy in (MaxMargin(), NSigma(), SeasonalMax(), Krr()):
        found = policy.request(usage, at(0, 3, 4, 6), (policy.knobs[-1],))[0]
        expected = [[True, True], [True, True], [False, True], [False, False]]
        np.testing.assert_array_equal(np.isnan(found), expected)


def test_window_without_an_observation_gives_no_request() -> None:
    usage = usage_from([1.0, 1.0, 1.0, 1.0, NAN, NAN, 5.0], step="6h")
    for policy in (MaxMargin(window="12h"), NSigma(window="12h"), Krr(window="12h")):
        assert np.isnan(policy.request(usage, at(6), (policy.knobs[-1],))).all()


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: MaxMargin(margin=-1.0), "policy.margin"),
        (lambda: MaxMargin(window="soon"), "policy.window"),
        (lambda: MaxMargin(least_history="0h"), "policy.least_history"),
        (lambda: NSigma(n=-1.0), "policy.n"),
        (lambda: SeasonalMax(days=0), "policy.days"),
        (lambda: Static(factor=0.0), "policy.factor"),
        (lambda: Krr(percentile=95.0), "policy.percentile"),
        (lambda: Krr(sweep="margin"), "policy.sweep"),
    ],
)
def test_value_out_of_range_is_named(make, key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        make()
