"""MixStyle: nothing in evaluation, another sample's statistics in training, no gradient through them."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor

from blockyard.blocks import MixStyle
from blockyard.blocks.channels.mixstyle import mix_style
from blockyard.plugging import plug

SIZES = {1: (40,), 2: (8, 9), 3: (4, 5, 6)}


def draw(rank: int, batch: int = 6) -> Tensor:
    offsets = torch.arange(batch).reshape(-1, 1, *(1,) * rank)
    return torch.randn(batch, 3, *SIZES[rank]) * (1 + offsets) + 10 * offsets


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_does_nothing_in_evaluation_and_at_probability_zero(rank: int):
    x = draw(rank)
    assert torch.equal(MixStyle(3, rank, probability=1.0).eval()(x), x)
    assert torch.equal(MixStyle(3, rank, probability=0.0).train()(x), x)


def test_has_nothing_to_learn_and_nothing_to_save():
    assert MixStyle(64).state_dict() == {}


def test_output_has_the_mixed_statistics():
    x = torch.randn(4, 3, 50).double() * torch.arange(1, 5).reshape(4, 1, 1) + torch.arange(4).reshape(4, 1, 1)
    share = torch.tensor([0.0, 0.3, 0.5, 1.0]).reshape(4, 1, 1).double()
    partners = torch.tensor([2, 0, 3, 1])
    y = mix_style(x, share, partners)
    mean, deviation = x.mean(2, keepdim=True), x.std(2, keepdim=True, correction=0)
    # 1e-6 in the variance
    tolerance = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(y.mean(2, True), share * mean + (1 - share) * mean[partners], **tolerance)
    torch.testing.assert_close(
        y.std(2, keepdim=True, correction=0), share * deviation + (1 - share) * deviation[partners], **tolerance
    )
    torch.testing.assert_close(y[3], x[3], **tolerance)


def test_the_shape_within_a_channel_is_the_samples_own():
    x = draw(2)
    y = MixStyle(3, probability=1.0)(x).flatten(2)
    x = x.flatten(2)

    def standardise(m: Tensor) -> Tensor:
        return (m - m.mean(2, keepdim=True)) / m.std(2, keepdim=True)

    torch.testing.assert_close(standardise(y), standardise(x), rtol=1e-3, atol=1e-3)
    assert not torch.allclose(y, x)


def test_statistics_carry_no_gradient():
    """So the derivative is σ_mix / σ at every entry, as if both were constants."""
    x = torch.randn(4, 3, 20, dtype=torch.float64, requires_grad=True)
    share, partners = torch.full((4, 1, 1), 0.4, dtype=torch.float64), torch.tensor([1, 0, 3, 2])
    mix_style(x, share, partners).sum().backward()
    deviation = (x.detach().var(2, keepdim=True, correction=0) + 1e-6).sqrt()
    expected = (0.4 * deviation + 0.6 * deviation[partners]) / deviation
    torch.testing.assert_close(x.grad, expected.expand_as(x))


@pytest.mark.parametrize("batch", [2, 5, 8])
def test_partners(batch: int):
    block = MixStyle(3)
    assert sorted(block._partners(batch, torch.device("cpu")).tolist()) == list(range(batch))
    crossed = MixStyle(3, partner="crossdomain")._partners(batch, torch.device("cpu")).tolist()
    half = batch // 2
    assert all(partner >= half for partner in crossed[:half])
    assert all(partner < half for partner in crossed[batch - half :])


def test_batches_are_mixed_as_often_as_asked():
    block, x = MixStyle(3, probability=0.25), draw(2)
    mixed = sum(not torch.equal(block(x), x) for _ in range(400))
    # four standard deviations of a binomial variable: 4 · √(400 · 0.25 · 0.75)
    assert abs(mixed - 100) < 35


def test_shares_follow_a_beta_distribution():
    """Pairs (0, 1) of two domains: both means move by 1 − λ, whose variance is 1 / (4 (2 α + 1))."""
    torch.manual_seed(0)
    block = MixStyle(1, 1, probability=1.0, alpha=0.3, partner="crossdomain")
    x = torch.tensor([-0.1, 0.1]).repeat(4000, 1, 1) + (torch.arange(4000) >= 2000).reshape(-1, 1, 1)
    moved = (block(x) - x).mean(2).abs().flatten()
    assert moved.min() >= 0
    assert moved.max() <= 1 + 1e-5
    # the standard errors of mean and variance of 4000 draws are 0.006 and 0.002
    assert abs(moved.mean() - 0.5) < 0.025
    assert abs(moved.var() - 1 / (4 * 1.6)) < 0.01


def test_draws_follow_the_seed():
    block, x = MixStyle(3, probability=1.0), draw(2)
    torch.manual_seed(5)
    first = block(x)
    torch.manual_seed(5)
    assert torch.equal(block(x), first)
    assert not torch.equal(block(x), first)


def test_a_plugged_network_is_the_stock_network_in_evaluation():
    stock = timm.create_model("resnet18").eval()
    x = torch.randn(2, 3, 64, 64)
    expected = stock(x)
    assert torch.equal(plug(stock, MixStyle, ["layer1", "layer2"])(x), expected)


@pytest.mark.parametrize(("option", "message"), [({"probability": 1.5}, "from 0 to 1"), ({"alpha": 0}, "positive")])
def test_options_that_do_not_fit_are_refused(option: dict[str, float], message: str):
    with pytest.raises(ValueError, match=message):
        MixStyle(3, **option)
