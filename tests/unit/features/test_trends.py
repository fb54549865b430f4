"""The group ``trends``: differences and exponential means."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from factories import feature_grid, metrics_panel, panel_of

from optimizer.core.errors import ConfigError
from optimizer.core.schema import CPU, MEMORY
from optimizer.features.base import Layout
from optimizer.features.groups.trends import Trends

NAN = np.nan


def test_trends_differences_need_both_ends() -> None:
    group = Trends(differences={CPU: ["2h"]})
    found = feature_grid(panel_of([[1, 4, NAN, 16, 20]]), group)
    np.testing.assert_array_equal(found[f"{CPU}_diff_1"], [[NAN, 3, NAN, NAN, 4]])
    np.testing.assert_array_equal(found[f"{CPU}_diff_2h"], [[NAN, NAN, NAN, 12, NAN]])


def test_trends_difference_of_one_step_comes_once() -> None:
    group = Trends(differences={CPU: ["1h", "3h"]})
    hourly = [f.spec.name for f in group.features(Layout((CPU,), pd.Timedelta("1h")))]
    fine = [f.spec.name for f in group.features(Layout((CPU,), pd.Timedelta("5min")))]
    assert hourly == [f"{CPU}_diff_1", f"{CPU}_diff_3h"]
    assert fine == [f"{CPU}_diff_1", f"{CPU}_diff_1h", f"{CPU}_diff_3h"]


def test_trends_exponential_mean_of_one_step_is_as_computed_by_hand() -> None:
    group = Trends(halflives={CPU: ["1h"]})
    found = feature_grid(panel_of([[8, 2, NAN, 4]]), group)
    mean = [8, (2 + 4) / 1.5, (1 + 2) / 0.75, (4 + 0.5 + 1) / 1.375]
    np.testing.assert_allclose(found[f"{CPU}_ewm_1h"][0], mean, rtol=1e-6)
    np.testing.assert_allclose(
        found[f"{CPU}_minus_ewm_1h"][0], [0, 2 - mean[1], NAN, 4 - mean[3]], rtol=1e-6
    )


def test_trends_exponential_mean_has_the_weights_of_pandas() -> None:
    rng = np.random.default_rng(3)
    values = rng.random((1, 300)).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = NAN
    values[0, 0] = 0.5
    found = feature_grid(panel_of(values), Trends(halflives={CPU: ["6h"]}))[f"{CPU}_ewm_6h"][0]
    want = pd.Series(values[0].astype(float)).ewm(halflife=6, adjust=True, ignore_na=False).mean()
    np.testing.assert_allclose(found, want, rtol=1e-5)


def test_trends_exponential_mean_lookback_is_ten_halflives() -> None:
    group = Trends(halflives={CPU: ["6h"]})
    specs = [f.spec for f in group.features(Layout((CPU,), pd.Timedelta("1h")))]
    assert {pd.Timedelta(spec.lookback) for spec in specs} == {pd.Timedelta("60h")}


def test_trends_absent_metrics_drop_out() -> None:
    group = Trends(differences={MEMORY: ["2h"]}, halflives={MEMORY: ["1h"], CPU: ["1h"]})
    found = feature_grid(metrics_panel({CPU: [[1, 2]]}), group)
    assert list(found) == [f"{CPU}_ewm_1h", f"{CPU}_minus_ewm_1h"]


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"differences": {"cpu": ["1h"]}}, "differences"),
        ({"differences": {CPU: ["-1h"]}}, f"differences.{CPU}"),
        ({"halflives": {CPU: ["half"]}}, f"halflives.{CPU}"),
    ],
)
def test_trends_wrong_setting_is_named(arguments: dict, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Trends(**arguments)
    assert caught.value.offender == f"features.groups.trends.{key}"


def test_trends_exponential_mean_before_any_value_is_unknown() -> None:
    found = feature_grid(panel_of([[NAN, NAN, 3.0]]), Trends(halflives={CPU: ["1h"]}))
    np.testing.assert_allclose(found[f"{CPU}_ewm_1h"], [[NAN, NAN, 3.0]])


def test_trends_exponential_mean_in_a_long_gap_never_invents_a_value() -> None:
    values = np.full((1, 200), NAN, dtype=np.float32)
    values[0, 0] = 0.25
    found = feature_grid(panel_of(values), Trends(halflives={CPU: ["1h"]}))[f"{CPU}_ewm_1h"][0]
    np.testing.assert_allclose(found[:10], 0.25)
    assert np.isnan(found[10:]).all()  # the lookback is ten half-lives
