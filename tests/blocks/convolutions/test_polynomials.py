"""Polynomials: differences above the degree vanish, and below it are what they should be."""

from __future__ import annotations

import math

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.blocks import PolynomialBranch, PolynomialConvolution
from blockyard.plugging import plug


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def difference(function, x: Tensor, direction: Tensor, order: int) -> Tensor:
    """Σ (−1)^(n − i) (n over i) f(x + i v): zero for every polynomial of degree below n."""
    return sum((-1) ** (order - i) * math.comb(order, i) * function(x + i * direction) for i in range(order + 1))


def test_degree_one_is_a_convolution():
    host = nn.Conv2d(4, 6, 3, 2, 1).double()
    block = PolynomialConvolution(4, degree=1, bound="none", host=host).double()
    block.load_state_dict({"weights.0": host.weight, "bias": host.bias})
    x = draw(2, 4, 9, 9)
    assert torch.equal(block(x), host(x))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("degree", [2, 3])
def test_differences_above_the_degree_vanish(degree: int, rank: int):
    block = PolynomialConvolution(4, rank, degree=degree, bound="none").double()
    x, v = draw(2, 2, 4, *(5, 4, 3)[:rank])
    torch.testing.assert_close(difference(block, x, v, degree + 1), torch.zeros_like(x), rtol=0, atol=1e-11)
    assert difference(block, x, v, degree).abs().max() > 1e-2


def test_is_the_sum_over_the_powers():
    block = PolynomialConvolution(4, degree=3, host=nn.Conv2d(4, 5, 3, padding=1)).double()
    x = draw(2, 4, 6, 6)
    bounded = x.tanh()
    expected = sum(F.conv2d(bounded ** (d + 1), weight, padding=1) for d, weight in enumerate(block.weights))
    torch.testing.assert_close(block(x), expected + block.bias[:, None, None])


def test_tanh_keeps_the_powers_of_large_input_finite():
    x = torch.full((1, 4, 5, 5), 1e30)
    assert PolynomialConvolution(4, degree=4)(x).isfinite().all()
    assert not PolynomialConvolution(4, degree=4, bound="none")(x).isfinite().all()


def test_degrees_without_weight_are_dropped_and_nothing_changes():
    block, x = PolynomialConvolution(4, degree=4).double(), draw(2, 4, 6, 6)
    for weight in list(block.weights)[2:]:
        nn.init.constant_(weight, 1e-9)
    nn.init.zeros_(block.weights[3])
    before = block(x)
    assert block.reduce_degree() == 3
    assert torch.equal(block(x), before)
    assert block.reduce_degree(tolerance=1e-8) == 2
    torch.testing.assert_close(block(x), before)
    for weight in block.weights:
        nn.init.zeros_(weight)
    assert block.reduce_degree() == 1, "the first power stays"


def test_the_branch_without_norm_is_a_polynomial_of_degree_two():
    block = PolynomialBranch(8, norm=False).double()
    nn.init.constant_(block.alpha, 0.7)
    x, v = draw(2, 2, 8, 5, 5)
    torch.testing.assert_close(difference(block, x, v, 3), torch.zeros_like(x), rtol=0, atol=1e-11)
    assert difference(block, x, v, 2).abs().max() > 1e-2
    with_norm = PolynomialBranch(8).double()
    nn.init.constant_(with_norm.alpha, 0.7)
    assert difference(with_norm, x, v, 3).abs().max() > 1e-2


def test_the_branch_written_out():
    block, x = PolynomialBranch(8).double(), draw(2, 8, 5, 6)
    nn.init.constant_(block.alpha, 0.7)
    first, second, out = (p.conv.weight.unsqueeze(-1) for p in (block.first, block.second, block.out))
    product = F.instance_norm(F.conv2d(x, first) * F.conv2d(x, second))
    torch.testing.assert_close(block(x), x + 0.7 * F.conv2d(product, out))


def test_a_network_with_fresh_branches_is_the_plain_network():
    stock = timm.create_model("resnet18").eval()
    x = torch.randn(2, 3, 64, 64)
    expected = stock(x)
    assert torch.equal(plug(stock, PolynomialBranch, "layer*.*")(x), expected)


def test_one_position_is_enough():
    block = PolynomialBranch(8)
    nn.init.constant_(block.alpha, 1.0)
    x = torch.randn(2, 8, 1, 1)
    assert torch.equal(block(x), x), "a single position deviates from nothing"


def test_the_branch_of_convolutions_written_out():
    block, x = PolynomialBranch(8, inner=3, kernel_size=3, negative_slope=0.2).double().eval(), draw(2, 8, 5, 6)
    nn.init.constant_(block.alpha, 0.7)
    for norm in (module for module in block.modules() if isinstance(module, nn.BatchNorm2d)):
        for tensor in norm.weight, norm.bias, norm.running_mean:
            nn.init.normal_(tensor)
        nn.init.uniform_(norm.running_var, 0.5, 2)
    u, v, w = block.first[0].weight, block.second[0].weight, block.out[0].weight
    assert (u.shape, v.shape, w.shape) == ((3, 8, 3, 3), (3, 8, 3, 3), (8, 3, 3, 3))
    entered = block.entry(x)
    first = F.leaky_relu(block.first[1](F.conv2d(entered, u, padding=1)), 0.2)
    second = F.leaky_relu(block.second[1](F.conv2d(entered, v, padding=1)), 0.2)
    term = F.leaky_relu(F.instance_norm(F.conv2d(first * second, w, padding=1)), 0.2)
    torch.testing.assert_close(block(x), x + 0.7 * term)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_the_branch_of_convolutions_without_norm_is_a_polynomial_of_degree_two(rank: int):
    block = PolynomialBranch(8, rank, kernel_size=3, norm=False).double()
    nn.init.constant_(block.alpha, 0.7)
    x, v = draw(2, 2, 8, *(5, 4, 3)[:rank])
    torch.testing.assert_close(difference(block, x, v, 3), torch.zeros_like(x), rtol=0, atol=1e-11)
    assert difference(block, x, v, 2).abs().max() > 1e-2
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in block.modules())


def test_options_of_the_branch_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match="PolynomialBranch: inner must be at least 1, got 0"):
        PolynomialBranch(8, inner=0)
    with pytest.raises(ValueError, match="PolynomialBranch: kernel_size must be odd, got 2"):
        PolynomialBranch(8, kernel_size=2)
    assert PolynomialBranch(30, inner=7)(torch.randn(1, 30, 4, 4)).shape == (1, 30, 4, 4), "inner need not divide"
