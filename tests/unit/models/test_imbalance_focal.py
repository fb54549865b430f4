"""The focal loss: values by hand, derivatives by finite differences, the start of boosting."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.core.errors import ConfigError
from optimizer.models.imbalance.base import FocalLoss
from optimizer.models.imbalance.focal import (
    Focal,
    focal_curvature,
    focal_gradient_hessian,
    focal_newton,
    focal_prior,
    focal_value,
    sigmoid,
)

MARGIN = np.linspace(-8.0, 8.0, 161)
LOSSES = [FocalLoss(gamma, alpha) for gamma in (0.0, 0.5, 2.0, 5.0) for alpha in (0.1, 0.25, 0.9)]


def test_focal_value_at_even_odds_equals_hand_computed() -> None:
    loss = FocalLoss(gamma=2.0, alpha=0.25)
    value = focal_value(np.zeros(2), np.array([1.0, 0.0]), loss)
    # p = 0.5: a * 0.5^2 * ln 2
    np.testing.assert_allclose(value, [0.25 * 0.25 * np.log(2), 0.75 * 0.25 * np.log(2)])


def test_focal_value_without_focus_equals_weighted_log_loss() -> None:
    value = focal_value(MARGIN, np.ones(len(MARGIN)), FocalLoss(gamma=0.0, alpha=0.3))
    np.testing.assert_allclose(value, 0.3 * np.log1p(np.exp(-MARGIN)), rtol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_focal_derivatives_equal_finite_differences(loss: FocalLoss, label: float) -> None:
    y, step = np.full(len(MARGIN), label), 1e-5
    gradient, hessian = focal_gradient_hessian(MARGIN, y, loss)
    up, down = focal_value(MARGIN + step, y, loss), focal_value(MARGIN - step, y, loss)
    np.testing.assert_allclose(gradient, (up - down) / (2 * step), rtol=1e-5, atol=1e-9)
    up, _ = focal_gradient_hessian(MARGIN + step, y, loss)
    down, _ = focal_gradient_hessian(MARGIN - step, y, loss)
    np.testing.assert_allclose(hessian, (up - down) / (2 * step), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_focal_derivatives_equal_autograd(label: float) -> None:
    import torch

    loss = FocalLoss(gamma=2.0, alpha=0.25)
    z = torch.tensor(MARGIN if label else -MARGIN, requires_grad=True)
    weight = loss.alpha if label else 1.0 - loss.alpha
    log_p = torch.nn.functional.logsigmoid(z)
    value = -(weight * (1.0 - log_p.exp()) ** loss.gamma * log_p).sum()
    (first,) = torch.autograd.grad(value, z, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), z)
    gradient, hessian = focal_gradient_hessian(MARGIN, np.full(len(MARGIN), label), loss)
    sign = 1.0 if label else -1.0
    np.testing.assert_allclose(gradient, sign * first.detach().numpy(), rtol=1e-6, atol=1e-10)
    np.testing.assert_allclose(hessian, second.numpy(), rtol=1e-6, atol=1e-10)


def test_focal_newton_where_the_loss_is_concave_has_a_positive_hessian() -> None:
    loss, y = FocalLoss(), np.ones(len(MARGIN))
    _, exact = focal_gradient_hessian(MARGIN, y, loss)
    gradient, safe = focal_newton(MARGIN, y, loss)
    assert (exact < 0).any()
    assert (safe > 0).all()
    # no step is longer than the log loss's own, 1 / p, by more than the focal factor
    steps = np.abs(gradient / safe)[MARGIN > -5]
    assert steps.max() < 6.0 / sigmoid(np.array([-5.0]))[0]


def test_focal_newton_at_extreme_margins_is_finite() -> None:
    margin = np.array([-800.0, 800.0, -800.0, 800.0])
    gradient, hessian = focal_newton(margin, np.array([1.0, 1.0, 0.0, 0.0]), FocalLoss())
    assert np.isfinite(gradient).all()
    assert (hessian > 0).all()
    assert np.isfinite(focal_value(margin, np.ones(4), FocalLoss())).all()


def test_focal_prior_without_focus_is_the_log_odds_of_the_rate() -> None:
    assert focal_prior(0.02, FocalLoss(0.0, 0.5)) == pytest.approx(np.log(0.02 / 0.98), abs=1e-6)


@pytest.mark.parametrize("rate", [0.001, 0.02, 0.3])
def test_focal_prior_is_a_constant_of_no_gradient(rate: float) -> None:
    loss = FocalLoss()
    start = focal_prior(rate, loss)
    gradient, _ = focal_gradient_hessian(np.full(2, start), np.array([1.0, 0.0]), loss)
    assert rate * gradient[0] + (1 - rate) * gradient[1] == pytest.approx(0.0, abs=1e-9)


def test_focal_curvature_without_focus_is_half_that_of_the_log_loss() -> None:
    assert focal_curvature(0.1, FocalLoss(0.0, 0.5)) == pytest.approx(0.5 * 0.1 * 0.9)


def test_focal_strategy_carries_its_loss() -> None:
    strategy = Focal(gamma=1.5, alpha=0.4)
    assert strategy.loss == FocalLoss(gamma=1.5, alpha=0.4)
    assert not strategy.resamples
    assert strategy.sample_weight(np.array([0, 1], dtype=np.float32)) is None


@pytest.mark.parametrize(
    ("key", "value"), [("gamma", -0.1), ("alpha", 0.0), ("alpha", 1.0), ("gamma", "high")]
)
def test_focal_strategy_out_of_range_names_the_key(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"imbalance.{key}"):
        Focal(**{key: value})  # type: ignore[arg-type]


def test_sigmoid_at_extreme_margins_does_not_overflow() -> None:
    np.testing.assert_allclose(sigmoid(np.array([-1000.0, 0.0, 1000.0])), [0.0, 0.5, 1.0])
