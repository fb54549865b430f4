"""Weights and resamplers: counts by hand, gaps, units, the draw, and clear refusals."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.core.errors import ConfigError, TargetError
from optimizer.core.panel import FloatArray
from optimizer.models.imbalance.base import ImbalanceStrategy, count_classes
from optimizer.models.imbalance.class_weight import ClassWeight
from optimizer.models.imbalance.random_undersample import RandomUndersample
from optimizer.models.imbalance.sampling import Resampler, draw_rows, encode
from optimizer.models.imbalance.smote import Smote
from optimizer.models.imbalance.smote_tomek import SmoteTomek

RESAMPLERS = [Smote, SmoteTomek, RandomUndersample]


def rows_of(n: int = 1000, positives: int = 40, seed: int = 1) -> tuple[FloatArray, FloatArray]:
    """Return five columns of very different units, 3 % gaps in two of them."""
    rng = np.random.default_rng(seed)
    y = np.zeros(n, dtype=np.float32)
    y[rng.choice(n, positives, replace=False)] = 1.0
    X = rng.normal(0.0, 1.0, (n, 5)) + 2.0 * y[:, None]
    X = X * np.array([1.0, 1e5, 1e-3, 1.0, 10.0])
    X[rng.random(n) < 0.03, 1] = np.nan
    X[rng.random(n) < 0.03, 3] = np.nan
    return X.astype(np.float32), y


def test_none_changes_nothing() -> None:
    X, y = rows_of()
    strategy = ImbalanceStrategy()
    out, labels, line = strategy.resample(X, y, 1)
    assert out is X
    assert labels is y
    assert line == ""
    assert strategy.sample_weight(y) is None
    assert not strategy.resamples


def test_class_weight_balanced_gives_each_class_half() -> None:
    y = np.array([1, 0, 0, 0], dtype=np.float32)
    np.testing.assert_allclose(ClassWeight().sample_weight(y), [2.0, 2 / 3, 2 / 3, 2 / 3])


def test_class_weight_given_keeps_the_ratio_and_a_mean_of_one() -> None:
    y = np.array([1, 0, 0, 0], dtype=np.float32)
    weight = ClassWeight(positive_weight=5.0).sample_weight(y)
    np.testing.assert_allclose(weight, [2.5, 0.5, 0.5, 0.5])


def test_class_weight_without_positives_says_so() -> None:
    with pytest.raises(TargetError, match="0 positive and 9 negative"):
        ClassWeight().sample_weight(np.zeros(9, dtype=np.float32))


def test_smote_adds_positives_up_to_the_ratio_and_keeps_measured_rows() -> None:
    X, y = rows_of(1000, 40)
    out, labels, line = Smote(sampling_strategy=0.25).resample(X, y, seed=3)
    assert count_classes(labels) == (960, 240)
    assert line == "smote: 1,000 -> 1,200 rows (20 % positive)"
    np.testing.assert_allclose(out[:1000], X, rtol=1e-6)
    np.testing.assert_array_equal(labels[:1000], y)
    assert out.dtype == np.float32


def test_smote_rows_lie_between_measured_positives() -> None:
    X, y = rows_of(1000, 40)
    out, _, _ = Smote().resample(X, y, seed=3)
    measured, made = X[y > 0.5], out[1000:]
    slack = 1e-5 * np.nanstd(X, axis=0)
    assert (np.nanmin(made, axis=0) >= np.nanmin(measured, axis=0) - slack).all()
    assert (np.nanmax(made, axis=0) <= np.nanmax(measured, axis=0) + slack).all()


def test_smote_windows_are_convex_combinations_of_two_measured_ones() -> None:
    rng = np.random.default_rng(0)
    ramps = np.linspace(0.2, 1.0, 12) * rng.uniform(0.5, 1.0, (8, 1))  # one direction only
    X = np.concatenate([rng.random((80, 12)), ramps]).astype(np.float32)
    y = np.repeat([0.0, 1.0], [80, 8]).astype(np.float32)
    out, labels, _ = Smote(sampling_strategy=0.5, k_neighbors=3).resample(X, y, seed=0)
    made = out[88:]
    assert labels[88:].min() == 1.0
    assert len(made) == 32
    # all measured positives are multiples of one ramp, hence so is each combination of two
    np.testing.assert_allclose(made / made[:, -1:], np.tile(X[80] / X[80, -1], (32, 1)), rtol=1e-4)


def test_smote_missingness_is_as_common_in_made_rows_as_in_measured_positives() -> None:
    rng = np.random.default_rng(2)
    X, y = rows_of(2000, 200)
    gap = (rng.random(2000) < 0.5) & (y > 0.5)
    X[gap, 0] = np.nan
    out, _, _ = Smote(sampling_strategy=1.0).resample(X, y, seed=2)
    made = np.isnan(out[2000:])
    assert made[:, 0].mean() == pytest.approx(0.5, abs=0.1)
    assert not made[:, 2].any()


def test_encode_column_of_gaps_only_survives_the_round_trip() -> None:
    X = np.array([[np.nan, 1.0], [np.nan, 3.0], [np.nan, np.nan]], dtype=np.float32)
    encoding = encode(X)
    assert not np.isnan(encoding.values).any()
    np.testing.assert_allclose(encoding.values[2, 1] * encoding.scale[1], 2.0)  # the median
    np.testing.assert_allclose(encoding.decode(encoding.values), X)


def test_smote_tomek_removes_both_rows_of_a_link() -> None:
    X = np.array([[0.0], [1.0], [2.0], [9.0], [10.0], [11.0], [8.9]], dtype=np.float32)
    y = np.array([0, 0, 0, 1, 1, 1, 0], dtype=np.float32)
    out, labels, _ = SmoteTomek(sampling_strategy=1.0, k_neighbors=2).resample(X, y, seed=0)
    assert 8.9 not in out[:, 0].round(3)  # linked with a positive near 9
    assert count_classes(labels)[0] == 3


def test_random_undersample_keeps_all_positives_whole() -> None:
    X, y = rows_of(1000, 40)
    out, labels, line = RandomUndersample(sampling_strategy=0.5).resample(X, y, seed=4)
    assert count_classes(labels) == (80, 40)
    assert line == "random_undersample: 1,000 -> 120 rows (33 % positive)"
    np.testing.assert_array_equal(out[labels > 0.5], X[y > 0.5])


@pytest.mark.parametrize("kind", RESAMPLERS)
def test_resampler_same_seed_gives_same_rows_and_input_is_untouched(kind: type[Resampler]) -> None:
    X, y = rows_of()
    before = X.copy()
    strategy = kind(sampling_strategy=0.3, max_rows=700)
    first, second, other = (strategy.resample(X, y, seed)[0] for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, second)
    assert first.shape != other.shape or not np.array_equal(first, other, equal_nan=True)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("kind", RESAMPLERS)
def test_resampler_large_fold_says_what_was_drawn(kind: type[Resampler]) -> None:
    X, y = rows_of(2000, 60)
    _, labels, line = kind(sampling_strategy=0.25, max_rows=800).resample(X, y, seed=5)
    assert "2,000 -> sample 800 rows -> " in line
    assert f"{len(labels):,} rows" in line


@pytest.mark.parametrize("kind", RESAMPLERS)
def test_resampler_already_balanced_returns_the_rows(kind: type[Resampler]) -> None:
    X, y = rows_of(100, 50)
    out, labels, _ = kind(sampling_strategy=0.25).resample(X, y, seed=5)
    np.testing.assert_array_equal(out, X)
    np.testing.assert_array_equal(labels, y)


@pytest.mark.parametrize(
    ("positives", "expected"),
    [(30, 30), (400, 80)],  # 80 / 400 negatives is the ratio of 0.2
)
def test_draw_rows_keeps_positives_up_to_the_ratio(positives: int, expected: int) -> None:
    y = np.zeros(1000, dtype=np.float32)
    y[:positives] = 1.0
    rows = draw_rows(y, max_rows=480, ratio=0.2, seed=0)
    assert len(rows) == 480
    assert y[rows].sum() == expected
    assert (np.diff(rows) > 0).all()


def test_draw_rows_small_fold_keeps_every_row() -> None:
    y = np.array([0, 1, 0], dtype=np.float32)
    np.testing.assert_array_equal(draw_rows(y, 3, 0.1, 0), [0, 1, 2])


@pytest.mark.parametrize("kind", RESAMPLERS)
def test_resampler_without_positives_says_how_many(kind: type[Resampler]) -> None:
    X, _ = rows_of(50, 5)
    with pytest.raises(TargetError, match="0 positive and 50 negative rows"):
        kind().resample(X, np.zeros(50, dtype=np.float32), seed=0)


@pytest.mark.parametrize("kind", [Smote, SmoteTomek])
def test_smote_fewer_positives_than_neighbours_names_the_way_out(kind: type[Smote]) -> None:
    X, y = rows_of(50, 5)
    with pytest.raises(TargetError, match=r"5 positive.*at least 6.*imbalance=class_weight"):
        kind(k_neighbors=5).resample(X, y, seed=0)


def test_smote_draw_too_small_names_max_rows() -> None:
    X, y = rows_of(500, 50)
    with pytest.raises(TargetError, match=r"raise imbalance\.max_rows above 20"):
        Smote(max_rows=20).resample(X, y, seed=0)


@pytest.mark.parametrize("kind", RESAMPLERS)
@pytest.mark.parametrize("value", [0.0, -1.0, 1.5, "auto"])
def test_resampler_wrong_ratio_names_the_key(kind: type[Resampler], value: object) -> None:
    with pytest.raises(ConfigError, match=r"imbalance\.sampling_strategy.*\(0, 1\]"):
        kind(sampling_strategy=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", RESAMPLERS)
@pytest.mark.parametrize("value", [0, -5, 1.5])
def test_resampler_wrong_max_rows_names_the_key(kind: type[Resampler], value: object) -> None:
    with pytest.raises(ConfigError, match=r"imbalance\.max_rows"):
        kind(max_rows=value)  # type: ignore[call-arg]


def test_smote_wrong_neighbours_names_the_key() -> None:
    with pytest.raises(ConfigError, match=r"imbalance\.k_neighbors"):
        Smote(k_neighbors=0)


def test_class_weight_wrong_weight_names_the_key() -> None:
    with pytest.raises(ConfigError, match=r"imbalance\.positive_weight"):
        ClassWeight(positive_weight=0.0)
