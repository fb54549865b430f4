"""The Vertical Pod Autoscaler's arithmetic: buckets, decay, daily peaks."""

from __future__ import annotations

from math import floor, log

import numpy as np
import pytest
from usages import at, usage_from

from optimizer.decisions.policies.heuristic.vpa import Vpa
from optimizer.decisions.policies.heuristic.vpa_buckets import BUCKETS, bucket_ends
from optimizer.demand.usage import CPU, MEMORY

NAN = np.nan
TEN_MB = 1e7 / 2**30


def end_of(value: float, first: float) -> float:
    """Return the end of the bucket of a value, by upstream's formulas."""
    bucket = floor(log(value * 0.05 / first + 1.0) / log(1.05)) if value >= first else 0
    return first * (1.05 ** (bucket + 1) - 1.0) / 0.05


def test_buckets_are_upstream_s() -> None:
    # First bucket 0.01 core; the second is 5 % wider: it starts at 0.01 and ends at 0.0205.
    np.testing.assert_allclose(BUCKETS[CPU].starts[:3], [0.0, 0.01, 0.0205])
    # The last bucket starts at 1000 cores or above, the one before below.
    assert BUCKETS[CPU].starts[-2] < 1000.0 <= BUCKETS[CPU].starts[-1]
    assert BUCKETS[MEMORY].starts[-2] < 1e12 / 2**30 <= BUCKETS[MEMORY].starts[-1]


@pytest.mark.parametrize("value", [0.0, 0.005, 0.0101, 0.02, 0.5, 3.0, 250.0])
def test_value_counts_as_the_end_of_its_bucket(value: float) -> None:
    found = bucket_ends(np.array([value, NAN], dtype=np.float32), CPU)
    np.testing.assert_allclose(found, [end_of(value, 0.01), NAN], rtol=1e-6)


def test_beyond_the_last_bucket_counts_as_its_start() -> None:
    found = bucket_ends(np.array([5000.0], dtype=np.float32), CPU)
    np.testing.assert_allclose(found, BUCKETS[CPU].starts[-1:], rtol=1e-6)


def test_cpu_request_is_a_percentile_of_the_decayed_histogram_and_a_margin() -> None:
    # One step a day and a half-life of a day: the newest sample weighs 1, then 1/2, 1/4; 1.75 in
    # all. In ascending order 0.005 (weight 1, bucket end 0.01), 0.02 (1/2, 0.0205), 0.5 (1/4).
    usage = usage_from([0.5, 0.02, 0.005], step="24h")
    found = Vpa().request(usage, at(3), (0.5, 0.8, 0.9))
    # 50 %: 0.875 <= 1. 80 %: 1.4 <= 1.5. 90 %: 1.575 <= 1.75. 0.5 lies in bucket 25, which ends
    # at 0.2 * (1.05^26 - 1) = 0.5111.
    expected = [0.01 * 1.15, 0.0205 * 1.15, 0.2 * (1.05**26 - 1.0) * 1.15]
    np.testing.assert_allclose(found[:, 0, 0], expected, rtol=1e-6)


def test_memory_request_is_a_percentile_of_daily_peaks() -> None:
    # Two steps a day. Peaks 3, 2 and, of the day that has begun, 1; weights 1/4, 1/2, 1. The
    # second service starts a step later, and so do its days.
    usage = usage_from(
        [[1.0, 3.0, 2.0, NAN, 1.0, NAN], [NAN, 1.0, 3.0, 2.0, NAN, 1.0]],
        50.0, step="12h", resource=MEMORY,
    )  # fmt: skip
    found = Vpa().request(usage, at(5, 6), (0.5, 0.8, 0.9))
    # 50 %: 0.875 <= 1. 80 %: 1.4 <= 1.5. 90 %: 1.575 <= 1.75.
    expected = [end_of(peak, TEN_MB) * 1.15 for peak in (1.0, 2.0, 3.0)]
    np.testing.assert_allclose(found[:, 1, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(found[:, 1, 1], expected, rtol=1e-6)
    # At cutoff 5 the second service's last day has no sample yet: 3 weighs 1/2 and 2 weighs 1.
    np.testing.assert_allclose(found[:, 0, 0], expected, rtol=1e-6)
    two = [end_of(peak, TEN_MB) * 1.15 for peak in (2.0, 3.0, 3.0)]
    np.testing.assert_allclose(found[:, 0, 1], two, rtol=1e-6)


def test_memory_that_ran_out_raises_the_peak() -> None:
    # 3 of 2.5 GiB: max(3 + 100/1024, 3 * 1.2) = 3.6. 0.3 of 0.2 GiB: 0.3 + 100/1024 = 0.3977 is
    # more than 0.36. 0.3 of 0.4 GiB: no kill.
    usage = usage_from(
        [[3.0, 1.0], [0.3, 0.1], [0.3, 0.1]], [2.5, 0.2, 0.4], step="12h", resource=MEMORY
    )
    found = Vpa(margin=0.0).request(usage, at(2), (0.9,))
    expected = [end_of(peak, TEN_MB) for peak in (3.6, 0.3 + 100.0 / 1024.0, 0.3)]
    np.testing.assert_allclose(found[0, 0], expected, rtol=1e-6)


def test_service_that_is_not_there_yet_gets_no_request() -> None:
    for resource in (CPU, MEMORY):
        usage = usage_from([[NAN, NAN, 1.0], [NAN] * 3], step="24h", resource=resource)
        found = Vpa().request(usage, at(0, 1, 3), (0.9,))[0]
        np.testing.assert_array_equal(np.isnan(found), [[True, True], [True, True], [False, True]])
