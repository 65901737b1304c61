"""The bias loss: which weights, what limits, and that nothing but the logits learns from it."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from blockyard.training.bias_loss import BiasLoss


def batch(samples: int = 6, classes: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(samples, classes, generator=generator, dtype=torch.float64, requires_grad=True)
    target = torch.randint(classes, (samples,), generator=generator)
    spread = torch.arange(1, samples + 1)[:, None, None, None]
    return logits, target, torch.randn(samples, 3, 4, 4, generator=generator, dtype=torch.float64) * spread


def test_by_hand():
    """Variances 0, 1 and 4 are 0, 1/4 and 1 of their range."""
    features = torch.tensor([[5.0, 5.0], [1.0, -1.0], [-2.0, 2.0]], dtype=torch.float64)
    expected = [math.exp(0.3 * share) - 0.3 for share in (0, 1 / 4, 1)]
    torch.testing.assert_close(BiasLoss().weights(features), torch.tensor(expected, dtype=torch.float64))
    logits, target, _ = batch(samples=3)
    losses = F.cross_entropy(logits, target, reduction="none")
    mean = sum(weight * loss for weight, loss in zip(expected, losses, strict=True)) / 3
    torch.testing.assert_close(BiasLoss()(logits, target, features), mean)


def test_zero_alpha_and_beta_are_the_cross_entropy():
    logits, target, features = batch()
    loss = BiasLoss(alpha=0, beta=0)(logits, target, features)
    torch.testing.assert_close(loss, F.cross_entropy(logits, target))


@given(st.integers(1, 9), st.integers(0, 1000), st.floats(1e-20, 1e15), st.floats(-1e6, 1e6))
def test_weights_stay_in_their_bounds_whatever_the_features(samples, seed, scale, shift):
    features = batch(samples, seed=seed)[2].float() * scale + shift
    weights = BiasLoss().weights(features)
    slack = 1e-6  # exp and the subtraction, in float32
    assert 0.7 - slack <= weights.min() <= weights.max() <= math.exp(0.3) - 0.3 + slack


def test_the_least_and_the_greatest_variance_have_the_weights_of_the_bounds():
    weights = BiasLoss().weights(batch()[2])
    assert weights.min() == pytest.approx(0.7)
    assert weights.max() == pytest.approx(math.exp(0.3) - 0.3)


def test_weights_do_not_depend_on_scale_and_shift():
    features = batch()[2]
    torch.testing.assert_close(BiasLoss().weights(features), BiasLoss().weights(7 * features - 3))


@pytest.mark.parametrize("features", [torch.randn(1, 3, 4, 4), torch.ones(4, 3, 2, 2), torch.zeros(4, 8), "repeated"])
def test_one_sample_or_equal_variances_are_finite(features):
    features = torch.randn(1, 3, 2, 2).expand(4, -1, -1, -1) if isinstance(features, str) else features
    logits, target, _ = batch(len(features))
    loss = BiasLoss()(logits, target, features)
    torch.testing.assert_close(loss, 0.7 * F.cross_entropy(logits, target))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.isfinite().all()


def test_no_gradient_passes_through_the_variance():
    logits, target, features = batch()
    features.requires_grad_()
    loss = BiasLoss()(logits, target, features)
    assert torch.autograd.grad(loss, features, allow_unused=True) == (None,)
    (gradient,) = torch.autograd.grad(BiasLoss()(logits, target, features), logits)
    weights = BiasLoss().weights(features)[:, None]
    plain = (logits.softmax(1) - F.one_hot(target, 5)) / len(logits)
    torch.testing.assert_close(gradient, weights * plain)


@pytest.mark.parametrize("shape", [(4, 3, 9), (4, 3, 5, 5), (4, 3, 2, 5, 5), (4, 10, 8)], ids=str)
def test_maps_of_any_rank_and_tokens(shape):
    features = torch.randn(shape)
    torch.testing.assert_close(BiasLoss().weights(features), BiasLoss().weights(features.flatten(1)))


def test_half_precision_features_do_not_overflow():
    """The square of 400 is no float16."""
    features = torch.randn(4, 3, 8, 8) * torch.tensor([1.0, 100, 400, 800])[:, None, None, None]
    half = BiasLoss().weights(features.half())
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, BiasLoss().weights(features), rtol=1e-2, atol=0)  # float16 has three digits


def test_shares_of_classes_are_a_target():
    logits, target, features = batch()
    hard = BiasLoss(label_smoothing=0.1)(logits, target, features)
    soft = BiasLoss(label_smoothing=0.1)(logits, F.one_hot(target, 5).double(), features)
    torch.testing.assert_close(hard, soft)


def test_label_smoothing_is_that_of_the_cross_entropy():
    logits, target, features = batch()
    smoothed = BiasLoss(0, 0, label_smoothing=0.2)(logits, target, features)
    torch.testing.assert_close(smoothed, nn.CrossEntropyLoss(label_smoothing=0.2)(logits, target))


def test_compiles_to_one_graph():
    logits, target, features = batch()
    loss = BiasLoss()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(logits, target, features), loss(logits, target, features))


@pytest.mark.parametrize("options", [{"alpha": -0.1}, {"beta": 1.5}, {"beta": -0.1}])
def test_weights_that_could_be_negative_are_refused(options):
    with pytest.raises(ValueError, match="alpha must be at least 0 and beta in 0…1"):
        BiasLoss(**options)
