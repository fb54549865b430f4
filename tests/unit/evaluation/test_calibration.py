from __future__ import annotations

import pickle

import numpy as np
import pytest
from numpy.typing import NDArray

from optimizer.core.errors import ConfigError
from optimizer.evaluation.calibration import Calibrator
from optimizer.evaluation.metrics.events import (
    average_precision,
    brier_skill,
    expected_calibration_error,
    log_loss,
)

Fold = tuple[NDArray[np.float32], NDArray[np.float32]]


def overconfident(seed: int, n: int = 30_000) -> Fold:
    """Scores as class weights leave them: the right order, twenty times the odds."""
    rng = np.random.default_rng(seed)
    p = 1.0 / (1.0 + np.exp(-rng.normal(-4.0, 1.8, n)))
    y = (rng.random(n) < p).astype(np.float32)
    odds = 20.0 * p / (1.0 - p)
    return (odds / (1.0 + odds)).astype(np.float32), y


@pytest.mark.parametrize(("least", "name"), [(200, "isotonic"), (10**9, "platt")])
def test_calibrator_of_overconfident_scores_repairs_probabilities(least: int, name: str) -> None:
    score, y = overconfident(1)
    test_score, test_y = overconfident(2)
    calibrator = Calibrator(least).fit(score, y)
    after = calibrator.predict(test_score)
    assert calibrator.name == name
    assert expected_calibration_error(test_y, test_score) > 0.1
    assert expected_calibration_error(test_y, after) < 0.006
    assert brier_skill(test_y, test_score) < 0.0 < brier_skill(test_y, after)
    assert log_loss(test_y, after) < log_loss(test_y, test_score)


@pytest.mark.parametrize("least", [200, 10**9])
def test_calibrator_keeps_average_precision(least: int) -> None:
    calibrator = Calibrator(least).fit(*overconfident(1))
    score, y = overconfident(2)
    after = calibrator.predict(score)
    assert average_precision(y, after) == pytest.approx(average_precision(y, score), abs=1e-12)
    assert len(np.unique(after)) == len(np.unique(score))


def test_calibrator_isotonic_is_as_calibrated_as_the_staircase() -> None:
    from sklearn.isotonic import IsotonicRegression

    (score, y), (test_score, test_y) = overconfident(1), overconfident(2)
    staircase = IsotonicRegression(out_of_bounds="clip").fit(score, y).predict(test_score)
    tilted = Calibrator().fit(score, y).predict(test_score)
    theirs = expected_calibration_error(test_y, staircase)
    assert expected_calibration_error(test_y, tilted) <= theirs + 5e-4
    assert brier_skill(test_y, tilted) >= brier_skill(test_y, staircase) - 2e-3
    # the staircase has lost the order inside its steps
    assert len(np.unique(staircase)) < 200 < len(np.unique(tilted))


def test_calibrator_isotonic_stays_near_the_block_rates() -> None:
    # scores 0.2 and 0.4 break the order (1/2 then 1/4) and are pooled: 2 of 6
    score = np.repeat([0.1, 0.2, 0.4, 0.8], [4, 2, 4, 4])
    y = np.array([0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 1, 1, 1], dtype=float)
    p = Calibrator(1).fit(score, y).predict(np.array([0.1, 0.2, 0.3, 0.4, 0.8]))
    # four zeros are valued 0.5 / 5, four ones 4.5 / 5, both blocks of one score: no tilt
    assert p[0] == pytest.approx(0.1)
    assert p[4] == pytest.approx(0.9)
    assert p[1] < 1 / 3 < p[3]
    assert p[1] < p[2] < p[3]
    # logits: -2.197, -0.693, 2.197; tilted by a tenth of the distance to each neighbour
    assert np.log(p[1] / (1 - p[1])) == pytest.approx(-0.6931 - 0.15041, abs=1e-3)
    assert np.log(p[3] / (1 - p[3])) == pytest.approx(-0.6931 + 0.28904, abs=1e-3)


def test_calibrator_keeps_probabilities_inside_and_ordered_beyond_the_fold() -> None:
    calibrator = Calibrator(1).fit(np.array([0.3, 0.4, 0.6, 0.7]), np.array([0.0, 0, 1, 1]))
    p = calibrator.predict(np.array([0.0, 0.01, 0.2, 0.3, 0.5, 0.7, 0.9, 0.999, 1.0]))
    assert (np.diff(p) > 0).all()
    assert p[0] > 0.0
    assert p[-1] < 1.0


def test_calibrator_with_tied_scores_gives_them_one_probability() -> None:
    score = np.array([0.5] * 10 + [0.9] * 10)
    y = np.array([1.0] * 2 + [0.0] * 8 + [1.0] * 6 + [0.0] * 4)
    calibrator = Calibrator(1).fit(score, y)
    order = np.random.default_rng(0).permutation(20)
    shuffled = Calibrator(1).fit(score[order], y[order])
    np.testing.assert_allclose(calibrator.predict(np.array([0.5, 0.9])), [0.2, 0.6])
    np.testing.assert_array_equal(shuffled.predict(score), calibrator.predict(score))


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_calibrator_of_one_class_is_the_identity(label: float) -> None:
    score = np.array([0.1, 0.5, 0.9])
    calibrator = Calibrator(1).fit(score, np.full(3, label))
    assert calibrator.name == "identity"
    np.testing.assert_allclose(calibrator.predict(score), score)


@pytest.mark.parametrize("least", [1, 1000])
def test_calibrator_of_reversed_scores_never_reverses(least: int) -> None:
    score = np.linspace(0.05, 0.95, 200)
    calibrator = Calibrator(least).fit(score, (score < 0.3).astype(float))
    p = calibrator.predict(score)
    assert (np.diff(p) > 0).all()
    assert p.mean() == pytest.approx(np.mean(score < 0.3), abs=0.02)


def test_calibrator_of_a_constant_score_gives_the_rate() -> None:
    calibrator = Calibrator(1).fit(np.full(400, 0.7), np.repeat([1.0, 0.0], [100, 300]))
    assert calibrator.predict(np.array([0.7]))[0] == pytest.approx(0.25, abs=0.01)


def test_calibrator_survives_pickling() -> None:
    score, y = overconfident(3, 5000)
    calibrator = Calibrator(50).fit(score, y)
    again = pickle.loads(pickle.dumps(calibrator))
    assert again.name == "isotonic"
    np.testing.assert_array_equal(again.predict(score), calibrator.predict(score))


def test_calibrator_with_no_positives_allowed_names_the_key() -> None:
    with pytest.raises(ConfigError, match=r"evaluation\.min_positives_isotonic: got 0"):
        Calibrator(0)


def test_platt_on_separated_classes_keeps_the_ranking() -> None:
    rng = np.random.default_rng(0)
    y = (np.arange(1345) < 34).astype(np.float32)
    score = np.where(y > 0.5, 0.4, 0.07) + rng.normal(0, 0.01, len(y))  # almost separable
    calibrator = Calibrator().fit(score, y)
    assert calibrator.name == "platt"
    order = np.argsort(score)
    assert (np.diff(calibrator.predict(score)[order]) >= 0).all()
    assert calibrator.predict(np.array([0.42]))[0] > 0.9
    assert calibrator.predict(np.array([0.06]))[0] < 0.01
