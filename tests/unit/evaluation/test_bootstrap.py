from __future__ import annotations

import time

import numpy as np
import pytest

from optimizer.evaluation import bootstrap


def test_resample_services_draws_only_present_ones_and_as_many() -> None:
    counts = bootstrap.resample_services(np.array([0, 0, 2, 4]), 6, n_resamples=50, seed=1)
    assert counts.shape == (50, 6)
    assert (counts.sum(axis=1) == 3).all()
    assert counts[:, [1, 3, 5]].sum() == 0


def test_resample_services_is_seeded() -> None:
    service = np.arange(20)
    first = bootstrap.resample_services(service, 20, seed=1)
    np.testing.assert_array_equal(first, bootstrap.resample_services(service, 20, seed=1))
    assert not np.array_equal(first, bootstrap.resample_services(service, 20, seed=2))


def test_weighted_means_of_two_draws() -> None:
    service, values = np.array([0, 0, 1, 1]), np.array([1.0, 3.0, 10.0, np.nan])
    counts = np.array([[2, 0], [1, 1]], dtype=np.int32)
    # (1 + 3) twice over 4 rows = 2; (1 + 3 + 10) / 3
    means = bootstrap.weighted_means(service, values, counts)
    np.testing.assert_allclose(means, [2.0, 14 / 3])


def test_brier_skills_of_two_draws() -> None:
    service, y = np.array([0, 0, 1, 1]), np.array([1.0, 0.0, 1.0, 0.0])
    p, reference = np.array([0.5, 0.5, 1.0, 0.0]), np.full(4, 0.5)
    counts = np.array([[2, 0], [1, 1]], dtype=np.int32)
    # service 0 is as good as its prevalence, service 1 perfect: 0, then 1 - 0.125 / 0.25
    np.testing.assert_allclose(bootstrap.brier_skills(service, y, p, counts), [0.0, 0.5])
    skills = bootstrap.brier_skills(service, y, p, counts, reference)
    np.testing.assert_allclose(skills, [0.0, 0.5])


def test_resampled_metrics_of_a_draw_without_positives_are_nan() -> None:
    service, y = np.array([0, 0, 1, 1]), np.array([0.0, 0.0, 1.0, 0.0])
    counts = np.array([[2, 0], [0, 2]], dtype=np.int32)
    score = np.array([0.1, 0.2, 0.9, 0.3])
    precisions = bootstrap.average_precisions(service, y, score, counts)
    skills = bootstrap.brier_skills(service, y, score, counts)
    np.testing.assert_array_equal(np.isnan(precisions), [True, False])
    np.testing.assert_array_equal(np.isnan(skills), [True, False])
    assert np.isnan(bootstrap.average_precisions(service, np.zeros(4), score, counts)).all()


def test_interval_drops_unknown_values() -> None:
    values = np.append(np.arange(101.0), [np.nan, np.nan])
    assert bootstrap.interval(values, 0.9) == pytest.approx((5.0, 95.0))
    assert np.isnan(bootstrap.interval(np.array([np.nan]))).all()


def test_interval_of_services_covers_the_true_mean_and_that_of_rows_does_not() -> None:
    # 40 services of 50 equal rows each: a row adds nothing to what its service tells
    rng, covered, too_narrow = np.random.default_rng(0), 0, 0
    service = np.repeat(np.arange(40), 50)
    for seed in range(100):
        values = np.repeat(rng.normal(0.0, 1.0, 40), 50)
        counts = bootstrap.resample_services(service, 40, n_resamples=200, seed=seed)
        low, high = bootstrap.interval(bootstrap.weighted_means(service, values, counts))
        covered += low <= 0.0 <= high
        too_narrow += abs(values.mean()) > 1.96 * values.std() / np.sqrt(len(values))
    assert 87 <= covered <= 100
    assert too_narrow > 40


def test_interval_of_average_precision_covers_the_population() -> None:
    def fleet(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rate = rng.beta(2.0, 20.0, n)
        p = np.clip(np.repeat(rate, 60) * rng.uniform(0.2, 1.8, n * 60), 0, 1)
        return np.repeat(np.arange(n), 60), (rng.random(n * 60) < p).astype(float), p

    rng = np.random.default_rng(1)
    once = np.ones((1, 20_000), dtype=np.int32)
    truth = bootstrap.average_precisions(*fleet(rng, 20_000), once)[0]
    covered = 0
    for seed in range(40):
        service, y, p = fleet(rng, 200)
        counts = bootstrap.resample_services(service, 200, n_resamples=150, seed=seed)
        low, high = bootstrap.interval(bootstrap.average_precisions(service, y, p, counts))
        covered += low <= truth <= high
    assert covered >= 34


def test_average_precisions_of_many_rows_are_fast() -> None:
    rng = np.random.default_rng(2)
    service = np.repeat(np.arange(250), 2600)
    score = rng.random(len(service))
    y = (rng.random(len(service)) < 0.05 * score).astype(np.float32)
    counts = bootstrap.resample_services(service, 250, n_resamples=200, seed=1)
    begin = time.process_time()
    bootstrap.average_precisions(service, y, score, counts)
    assert time.process_time() - begin < 30.0
