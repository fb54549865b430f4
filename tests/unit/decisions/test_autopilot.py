"""Autopilot's statistics: by load, by time, peaks, and the hour that is held."""

from __future__ import annotations

import numpy as np
import pytest
from usages import at, usage_from

from optimizer.core.errors import ConfigError
from optimizer.decisions.policies.heuristic.autopilot import Autopilot
from optimizer.demand.usage import MEMORY

NEVER = "100000d"


def test_percentile_is_of_the_load_not_of_the_time() -> None:
    # The paper's figure 2: a load of 1 for nine tenths of the time, then 10. It is 1 for 90 % of
    # the time, but 9 of 19 units of load (47.4 %) are served at 1, all 19 only at 10.
    usage = usage_from([1.0] * 9 + [10.0], step="6h")
    policy = Autopilot(margin=0.0, cpu_half_life=NEVER)
    found = policy.request(usage, at(10), (0.47, 0.48, 0.9))
    np.testing.assert_allclose(found[:, 0, 0], [1.0, 10.0, 10.0])


def test_percentile_forgets_by_the_half_life_of_the_resource() -> None:
    # One step a day: of 6 then 2, CPU weighs 6 by 6 / 4 (two half-lives of 12 h) = 1.5 and 2 by
    # 2, so 57 % of the load is at 2; memory by 6 / sqrt(2) = 4.24 and 2, so 32 % is.
    for resource, share in (("cpu", 2.0 / 3.5), (MEMORY, 2.0 / (2.0 + 6.0 / np.sqrt(2.0)))):
        usage = usage_from([6.0, 2.0], step="24h", resource=resource)
        policy = Autopilot(margin=0.0, least_history="2d")
        found = policy.request(usage, at(2), (share - 0.01, share + 0.01))
        # The hour held is a step here; one step ago only 6 was known, and that is larger.
        np.testing.assert_allclose(found[:, 0, 0], [6.0, 6.0])
        statistics = policy._statistics(usage, at(2), (share - 0.01, share + 0.01))
        np.testing.assert_allclose(statistics[:, 0, 0], [2.0, 6.0])


def test_average_is_decayed_and_its_knob_is_the_margin() -> None:
    # Steps of 12 h, a half-life: (4 * 1 + 2 * 1/2) / 1.5 = 10/3; a step earlier it was 2.
    usage = usage_from([2.0, 4.0], step="12h")
    policy = Autopilot("average")
    assert (policy.knob, 0.15 in policy.knobs) == ("margin", True)
    found = policy.request(usage, at(2), (0.0, 0.15))
    np.testing.assert_allclose(found[:, 0, 0], [10.0 / 3.0, 11.5 / 3.0], rtol=1e-6)


def test_peak_looks_back_a_window_and_an_hour() -> None:
    # Of the last 24 hours before cutoff 6 (steps 2 to 5) the peak is 3; an hour, here a step,
    # earlier it was 8 (step 1).
    usage = usage_from([9.0, 8.0, 1.0, 2.0, 3.0, 1.0], step="6h")
    found = Autopilot("peak", window="24h").request(usage, at(6), (0.0, 0.1))
    np.testing.assert_allclose(found[:, 0, 0], [8.0, 8.8])


def test_spikes_are_covered_by_half() -> None:
    # 60 % of the load is at 1, half of the peak of 3 is 1.5; at 100 % the percentile is the peak.
    usage = usage_from([3.0, *[1.0] * 20], step="6h")
    policy = Autopilot("spikes", 0.6, margin=0.0, cpu_half_life=NEVER)
    found = policy.request(usage, at(21), (0.6, 1.0))
    np.testing.assert_allclose(found[:, 0, 0], [1.5, 3.0])


def test_request_is_the_larger_of_now_and_an_hour_ago() -> None:
    # Half-hour steps: an hour ago the 5 at step 48 was all but new, now it weighs a quarter.
    values = [1.0] * 48 + [5.0, 1.0, 1.0]
    usage = usage_from(values, step="30min")
    policy = Autopilot(margin=0.0, cpu_half_life="30min")
    now, ago = (policy._statistics(usage, at(c), (0.5,)).item() for c in (51, 49))
    assert (now, ago) == (1.0, 5.0)
    assert policy.request(usage, at(51), (0.5,)).item() == 5.0


def test_unknown_statistic_lists_the_known() -> None:
    with pytest.raises(ConfigError, match=r"policy\.statistic.*percentile, average, peak, spikes"):
        Autopilot("mean")
