"""Losses, sources and draws of the recurrent models against hand-computed numbers."""

from __future__ import annotations

import numpy as np
import pytest
from factories import event_task, tiny_panel, tiny_samples

from optimizer.core.panel import FloatArray
from optimizer.core.schema import CPU
from optimizer.models.imbalance.base import FocalLoss, ImbalanceStrategy
from optimizer.models.imbalance.class_weight import ClassWeight
from optimizer.models.recurrent.data import (
    draw_stratified,
    event_source,
    plain_source,
    prior_logit,
)
from optimizer.models.recurrent.windows import Windows, fit_channels

torch = pytest.importorskip("torch")


class Doubling(ImbalanceStrategy):
    """Repeat every positive, and remember what was handed in."""

    resamples = True  # type: ignore[assignment]

    def __init__(self) -> None:
        self.seen: FloatArray = np.empty(0, dtype=np.float32)

    def resample(
        self, X: FloatArray, y: FloatArray, seed: int
    ) -> tuple[FloatArray, FloatArray, str]:
        self.seen = X
        return np.concatenate([X, X[y > 0.5]]), np.concatenate([y, y[y > 0.5]]), "doubled"


def _numpy_focal(logits: FloatArray, y: FloatArray, loss: FocalLoss) -> FloatArray:
    p = 1.0 / (1.0 + np.exp(-logits.astype(np.float64)))
    p_t = np.where(y > 0.5, p, 1.0 - p)
    alpha = np.where(y > 0.5, loss.alpha, 1.0 - loss.alpha)
    return -alpha * (1.0 - p_t) ** loss.gamma * np.log(p_t)


@pytest.mark.parametrize("loss", [FocalLoss(), FocalLoss(0.0, 0.5), FocalLoss(0.7, 0.9)])
def test_focal_terms_equal_the_formula_in_numpy(loss: FocalLoss) -> None:
    from optimizer.models.recurrent.objectives import focal_terms

    logits = np.array([-4.0, -1.0, 0.0, 0.5, 3.0] * 2, dtype=np.float32)
    y = np.repeat([0.0, 1.0], 5).astype(np.float32)
    terms = focal_terms(torch.from_numpy(logits), torch.from_numpy(y), loss).numpy()
    np.testing.assert_allclose(terms, _numpy_focal(logits, y, loss), rtol=2e-5)


def test_focal_gradient_is_finite_at_extreme_logits() -> None:
    from optimizer.models.recurrent.objectives import focal_terms

    logits = torch.tensor([-200.0, 200.0, -200.0, 200.0], requires_grad=True)
    focal_terms(logits, torch.tensor([0.0, 1.0, 1.0, 0.0]), FocalLoss(0.5, 0.25)).sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_event_loss_is_the_weighted_log_loss() -> None:
    from optimizer.models.recurrent.objectives import event_loss

    logits, y = torch.zeros(2), torch.tensor([1.0, 0.0])
    loss = event_loss(logits, y, torch.tensor([3.0, 1.0]), None)
    assert float(loss) == pytest.approx((3.0 + 1.0) * np.log(2.0) / 2.0)


def test_pinball_loss_counts_observed_labels_only() -> None:
    from optimizer.models.recurrent.objectives import pinball_loss

    predicted = torch.tensor([[[0.0, 1.0]], [[5.0, 5.0]]])
    y, levels = torch.tensor([[2.0], [np.nan]]), torch.tensor([0.1, 0.9])
    # Short by 2 at level 0.1 and by 1 at 0.9: (0.2 + 0.9) / 2.
    assert float(pinball_loss(predicted, y, levels)) == pytest.approx(0.55)
    over = pinball_loss(predicted, torch.tensor([[-1.0], [np.nan]]), levels)
    # Over by 1 at level 0.1 and by 2 at 0.9: (0.9 + 0.2) / 2.
    assert float(over) == pytest.approx(0.55)


def test_pinball_loss_without_labels_is_zero_with_a_gradient() -> None:
    from optimizer.models.recurrent.objectives import pinball_loss

    predicted = torch.ones((2, 1, 1), requires_grad=True)
    loss = pinball_loss(predicted, torch.full((2, 1), float("nan")), torch.tensor([0.5]))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert predicted.grad is not None
    assert (predicted.grad == 0.0).all()


def test_draw_stratified_keeps_all_positives_and_is_seeded() -> None:
    y = (np.arange(1000) % 50 == 0).astype(np.float32)
    rows = draw_stratified(y, 100, seed=0)
    assert len(rows) == 100
    assert y[rows].sum() == 20
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(rows, draw_stratified(y, 100, seed=0))
    assert not np.array_equal(rows, draw_stratified(y, 100, seed=1))


def test_draw_stratified_bounds_positives_at_half() -> None:
    y = np.ones(100, dtype=np.float32)
    y[:60] = 0.0
    assert draw_stratified(y, 20, seed=3).shape == (20,)
    assert y[draw_stratified(y, 20, seed=3)].sum() == 10


def _windows() -> tuple[Windows, object]:
    panel = tiny_panel(4, 120)
    train = tiny_samples(event_task(panel), panel)
    return Windows(panel, fit_channels(train, CPU, 6, calendar=False)), train


def test_resampling_sees_flat_finite_windows_of_the_training_rows() -> None:
    windows, train = _windows()
    strategy = Doubling()
    source, line = event_source(windows, train, strategy, max_rows=10_000, seed=7)
    expected = windows.batch(train.service, train.step)
    np.testing.assert_array_equal(strategy.seen, expected.reshape(len(train), -1))
    assert np.isfinite(strategy.seen).all()
    assert len(source) == len(train) + int(train.y.sum())
    np.testing.assert_array_equal(source.gather(np.array([3])), expected[[3]])
    first_positive = np.flatnonzero(train.y)[0]
    np.testing.assert_array_equal(source.gather(np.array([len(train)])), expected[[first_positive]])
    assert line == "doubled"


def test_resampling_is_bounded_and_says_so() -> None:
    windows, train = _windows()
    strategy = Doubling()
    _, line = event_source(windows, train, strategy, max_rows=100, seed=7)
    assert len(strategy.seen) == 100
    assert line == f"doubled (from 100 of {len(train)} windows)"


def test_class_weights_keep_their_ratio_and_average_one() -> None:
    windows, train = _windows()
    given = ClassWeight().sample_weight(train.y)
    source, _ = event_source(windows, train, ClassWeight(), max_rows=100, seed=7)
    assert given is not None
    assert source.weight.mean() == pytest.approx(1.0, rel=1e-5)
    np.testing.assert_allclose(source.weight / source.weight[0], given / given[0], rtol=1e-5)
    assert len(source) == len(train)


def test_prior_logit_is_the_log_odds_of_the_weighted_share() -> None:
    windows, train = _windows()
    source = plain_source(windows, train)
    positives, n = float(train.y.sum()), len(train)
    odds = (positives + 0.5) / (n - positives + 0.5)
    assert prior_logit(source, None) == pytest.approx(np.log(odds), rel=1e-6)
    doubled, _ = event_source(windows, train, Doubling(), max_rows=10_000, seed=7)
    odds = (2.0 * positives + 0.5) / (n - positives + 0.5)
    assert prior_logit(doubled, None) == pytest.approx(np.log(odds), rel=1e-6)


def test_epochs_draw_anew_and_validation_once() -> None:
    from optimizer.models.recurrent.batches import RowBatches

    fresh = RowBatches(100, 30, 8, seed=0, fresh=True)
    first, second = np.concatenate(list(fresh)), np.concatenate(list(fresh))
    assert len(fresh) == 4
    assert len(set(first)) == 30
    assert not np.array_equal(first, second)
    fixed = RowBatches(100, 30, 8, seed=0, fresh=False)
    np.testing.assert_array_equal(np.concatenate(list(fixed)), np.concatenate(list(fixed)))
