from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from factories import event_task, tiny_folds, tiny_panel

from optimizer.core.errors import ConfigError
from optimizer.evaluation.settings import Evaluation

CONF = Path(__file__).resolve().parents[3] / "conf/evaluation/default.yaml"


def test_evaluation_yaml_holds_every_setting_with_its_default() -> None:
    written = yaml.safe_load(CONF.read_text(encoding="utf-8"))
    assert written.pop("_target_") == "optimizer.evaluation.settings.Evaluation"
    assert written.pop("bootstrap_seed") == "${oc.select:seed,7}"
    given, default = vars(Evaluation(**written)), vars(Evaluation())
    assert given == default
    assert set(written) == set(default) - {"bootstrap_seed"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cost_miss", 0.0),
        ("cost_false_alarm", -1.0),
        ("beta", 0.0),
        ("ece_bins", 1),
        ("shrink_rows", -1.0),
        ("min_positives_isotonic", 0),
        ("min_positives_service", 0),
        ("bootstrap_resamples", -1),
        ("confidence", 1.0),
        ("false_alarm_rates", []),
        ("false_alarm_rates", [7.0, 1.0]),
        ("false_alarm_rates", [0.0, 1.0]),
        ("lead", "soon"),
        ("alarm_renewal", "-1h"),
    ],
)
def test_evaluation_with_a_wrong_value_names_its_key(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"evaluation\.{key}: got "):
        Evaluation(**{key: value})  # type: ignore[arg-type]


def test_evaluation_durations_become_steps() -> None:
    settings = Evaluation(lead="30min", alarm_renewal="1h")
    assert settings.lead_steps(pd.Timedelta("5min")) == 6
    assert settings.lead_steps(pd.Timedelta("1h")) == 1
    assert settings.renewal_steps(pd.Timedelta("5min"), 3) == 12
    assert Evaluation().renewal_steps(pd.Timedelta("5min"), 3) == 3


def test_reference_rates_pool_the_past_folds_only() -> None:
    panel = tiny_panel()
    folds = tiny_folds(event_task(panel), panel)
    rates = Evaluation(shrink_rows=0.0).reference_rates([folds.train, folds.valid], 8)
    y = np.concatenate([f.y[f.service == 3] for f in (folds.train, folds.valid)])
    assert rates[3] == pytest.approx(y.mean())


def test_choose_threshold_follows_the_costs() -> None:
    y, score = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.9, 0.8, 0.6, 0.1])
    assert Evaluation(cost_miss=10.0).choose_threshold(y, score) == 0.6
    assert Evaluation(cost_miss=0.5).choose_threshold(y, score) == 0.9
