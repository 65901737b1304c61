"""A polynomial that is linear in each feature: values, differences, its start, and features taken together."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch import Tensor

from blockyard.poolings import ResidualTensorTrain
from blockyard.poolings.tensor_train import contracted


def made(channels: int, rank: int, bound: str = "none") -> ResidualTensorTrain:
    pooling = ResidualTensorTrain(channels, rank, bound).double()
    with torch.no_grad():
        pooling.start.normal_()
        pooling.cores.normal_(std=0.5)
    return pooling


def loop(features: Tensor, cores: Tensor, start: Tensor) -> Tensor:
    """One feature after another."""
    row = start.expand(len(features), -1)
    for x, core in zip(features.unbind(1), cores, strict=True):
        row = row + x[:, None] * (row @ core)
    return row


@pytest.mark.parametrize("channels", [1, 3, 4, 5, 8, 13])
def test_features_together_give_what_one_after_another_does_and_so_do_gradients(channels: int):
    parts = [torch.randn(2, channels), 0.4 * torch.randn(channels, 3, 3), torch.randn(3)]
    parts = [part.double().requires_grad_() for part in parts]
    found = [make(*parts) for make in (contracted, loop)]
    torch.testing.assert_close(*found)
    slopes = [torch.autograd.grad(row.sin().sum(), parts) for row in found]
    for together, alone in zip(*slopes, strict=True):
        torch.testing.assert_close(together, alone)


def test_of_rank_one_it_is_a_product_of_numbers():
    pooling, x = made(7, 1), torch.randn(4, 7, 1, dtype=torch.float64)
    expected = pooling.start * (1 + x[:, :, 0] * pooling.cores[:, 0, 0]).prod(1, keepdim=True)
    torch.testing.assert_close(pooling(x), expected)


def test_it_is_the_sum_of_interactions_of_every_order():
    pooling, x = made(5, 3), torch.randn(2, 5, 1, dtype=torch.float64)
    total = torch.zeros(2, 3, dtype=torch.float64)
    for order in range(6):
        for chosen in combinations(range(5), order):
            vector = pooling.start
            for k in chosen:
                vector = vector @ pooling.cores[k]
            total = total + x[:, list(chosen), 0].prod(1, keepdim=True) * vector
    torch.testing.assert_close(pooling(x), total)


def test_with_one_active_feature_it_is_an_affine_layer():
    pooling, x = made(6, 4), torch.zeros(9, 6, 1, dtype=torch.float64)
    x[:, 2, 0] = torch.linspace(-3, 3, 9)
    weight = pooling.start @ pooling.cores[2]
    torch.testing.assert_close(pooling(x), pooling.start + x[:, 2] * weight)


@pytest.mark.parametrize("k", range(6))
def test_the_second_difference_in_any_feature_is_zero(k: int):
    pooling, x = made(6, 3), torch.randn(2, 6, 1, dtype=torch.float64)
    step = torch.zeros_like(x)
    step[:, k] = 0.7
    before, here, after = (pooling(x + shift * step) for shift in (-1, 0, 1))
    torch.testing.assert_close(after + before, 2 * here)
    assert not torch.allclose(after, here)


def test_mean_squares_start_as_the_formula_says():
    """Over 400 starts of 16 numbers, whose mean square has a standard error of about 2 %; also of many features."""
    for channels in (8, 100):
        x = torch.rand(1, channels, 1) * 2 - 1
        starts = [ResidualTensorTrain(channels, bound="none").requires_grad_(False) for _ in range(400)]
        expected = (1 + x.square() / channels).prod()
        assert sum(start(x).square().mean() for start in starts) / 400 == pytest.approx(float(expected), rel=0.08)
        assert 1 < expected < torch.e


def test_bounded_features_are_those_of_tanh_of_the_mean():
    x = 5 * torch.randn(2, 6, 3, 4, dtype=torch.float64)
    bounded, plain = made(6, 3, "tanh"), ResidualTensorTrain(6, 3, "none").double()
    plain.load_state_dict(bounded.state_dict())
    torch.testing.assert_close(bounded(x), plain(x.mean((2, 3), keepdim=True).tanh()))


def test_without_a_number_it_is_refused():
    with pytest.raises(ValueError, match="ResidualTensorTrain: rank must be at least 1, got 0"):
        ResidualTensorTrain(8, 0)
