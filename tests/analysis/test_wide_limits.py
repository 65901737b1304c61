"""Kernels in closed form are what wide random networks have, and what they say of extrapolation and frequencies."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from blockyard.analysis.tangent_kernel import tangent_kernel
from blockyard.analysis.wide_limits import (
    HadamardNetwork,
    HierarchicalNetwork,
    hadamard_kernel,
    hierarchical_kernels,
    relu_moments,
)
from blockyard.blocks import PolynomialBranch

DRAWS = 4


def mean_error(make, x, expected):
    """How far tangent kernels of random networks are off, as a part of the expected one, in the mean."""
    errors = []
    for seed in range(DRAWS):
        torch.manual_seed(seed)
        found = tangent_kernel(make(), list(x[:, None])).mean(0)
        errors.append(float((found - expected).norm() / expected.norm()))
    return sum(errors) / DRAWS


def falls(make, x, expected, narrow, wide):
    """The error is that of a mean over units: 1 / √width, a factor of 4 for 16 times as many."""
    assert wide == 16 * narrow
    few, many = (mean_error(lambda width=width: make(width), x, expected) for width in (narrow, wide))
    assert many < few / 2, (few, many)  # 4 in the mean over draws, of which there are few
    return many


def vectors(n, d):
    return torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) / math.sqrt(d)


@pytest.mark.parametrize("cosine", [-1.0, -0.3, 0.0, 0.8, 1.0])
def test_moments_are_those_of_gaussian_numbers(cosine):
    """By draws, 10⁶: a mean of squares of variance below 20 errs by 5e-3; at ±1 the angle is exact."""
    u, v = torch.randn(2, 1_000_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    u, v = 2 * u, cosine * u + math.sqrt(1 - cosine**2) * v
    found = relu_moments(*(torch.tensor(value, dtype=torch.float64) for value in (4.0, 1.0, 2 * cosine)))
    assert float(found.values) == pytest.approx(float(2 * (u.relu() * v.relu()).mean()), abs=2e-2)
    assert float(found.slopes) == pytest.approx(float(2 * ((u > 0) & (v > 0)).double().mean()), abs=5e-3)


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_products_of_layers_tend_to_their_kernel(degree):
    x = vectors(5, 6)
    falls(lambda width: HadamardNetwork(6, width, degree), x, hadamard_kernel(x, x, degree), 256, 4096)


def test_a_polynomial_branch_tends_to_the_kernel_of_two_layers_without_activations():
    """W (U₁x ⊙ U₂x) / √m of Gaussian weights, its factor 1 / √m held: 3 ⟨x, x'⟩²."""

    def make(width):
        branch = PolynomialBranch(4, 1, inner=width, norm=False)
        for parameter in branch.parameters():
            nn.init.normal_(parameter)
        branch.alpha.requires_grad_(False).fill_(width**-0.5)
        return nn.Sequential(nn.Unflatten(1, (4, 1)), branch, nn.Flatten())

    x = vectors(5, 4)
    expected = hadamard_kernel(x, x, 2, relu=False)
    torch.testing.assert_close(expected, 3 * (x @ x.T) ** 2)
    falls(make, x, expected, 128, 2048)


@pytest.mark.parametrize("size", [(8,), (8, 8)])
def test_trees_of_patches_tend_to_their_kernel(size):
    x = vectors(4, 2 * math.prod(size)).view(4, 2, *size) * math.prod(size) ** 0.5
    expected = hierarchical_kernels(x, x, (2, 2, 2)).tangent
    falls(lambda width: HierarchicalNetwork(2, size, width, (2, 2, 2)), x, expected, 16, 256)


def test_a_tree_of_one_patch_is_the_network_with_one_hidden_layer():
    x, y = vectors(3, 8), vectors(8, 8)[3:]
    found = hierarchical_kernels(x[:, None], y[:, None], (8,))
    torch.testing.assert_close(found.tangent, hadamard_kernel(x, y, 1) / 8)


def test_the_kernel_of_features_is_the_covariance_of_outputs():
    x = vectors(3, 16).view(3, 2, 8) * 4
    torch.manual_seed(0)
    with torch.no_grad():
        outputs = torch.stack([HierarchicalNetwork(2, (8,), 64, (2, 4)).double()(x)[:, 0] for _ in range(400)])
    found = outputs.T @ outputs / len(outputs)
    expected = hierarchical_kernels(x, x, (2, 4)).features
    # 400 draws: a variance errs by √(2 / 400), 7 %
    torch.testing.assert_close(found, expected, rtol=0, atol=0.2 * expected.max().item())


def test_patches_must_fill_the_input():
    with pytest.raises(ValueError, match=r"patches of 2 · 3 do not fill an input of \(8,\)"):
        HierarchicalNetwork(1, (8,), 4, (2, 3))


def regress(kernel, x, targets, asked):
    """Kernel regression: what an infinitely wide network is after training."""
    weights = torch.linalg.lstsq(kernel(x, x), targets[:, None], driver="gelsd").solution
    return (kernel(asked, x) @ weights)[:, 0]


def test_a_polynomial_goes_on_as_a_square_where_a_relu_network_goes_on_straight():
    """x² is learnt from -1 to 1, with a constant as a second input, and asked for outside."""
    places = torch.linspace(-1, 1, 21, dtype=torch.float64), torch.tensor([2.0, 4, 6], dtype=torch.float64)
    x, asked = (torch.stack([at, torch.ones_like(at)], 1) for at in places)
    square = x[:, 0].square()
    polynomial = regress(lambda a, b: hadamard_kernel(a, b, 2, relu=False), x, square, asked)
    torch.testing.assert_close(polynomial, asked[:, 0].square(), rtol=1e-9, atol=0)
    straight = regress(lambda a, b: hadamard_kernel(a, b, 1), x, square, asked)
    slopes = straight.diff() / 2
    assert slopes[1] == pytest.approx(float(slopes[0]), rel=0.01)
    assert straight[2] < 0.2 * 36


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_a_product_of_layers_grows_by_its_degree(degree):
    network, x = HadamardNetwork(3, 8, degree).double(), vectors(4, 3)
    torch.testing.assert_close(network(5 * x), 5**degree * network(x))


def circle(degree, positions=1024):
    """Fourier coefficients of a kernel on the circle, its eigenvalues, as shares of their sum."""
    angle = torch.arange(positions, dtype=torch.float64) * (2 * math.pi / positions)
    points = torch.stack([angle.cos(), angle.sin()], 1)
    kernel = hadamard_kernel(points[:1], points, degree)[0]
    return torch.fft.rfft(kernel).real / positions / kernel[0]


def test_products_know_odd_frequencies_that_a_hidden_layer_does_not():
    """κ' bends by 1 / π at angle 0, and at π too, where κ is 0: shares tend to N / (N + 1) π⁻² k⁻², even ones of N = 1
    to twice that, odd ones to nothing.
    """
    one, two = circle(1), circle(2)
    assert (one[3:65:2].abs() < 1e-12).all()
    assert 64**2 * float(one[64]) == pytest.approx(1 / math.pi**2, rel=0.05)
    for k in (63, 64):
        assert k**2 * float(two[k]) == pytest.approx(2 / 3 / math.pi**2, rel=0.05)


def test_the_spectrum_of_a_product_falls_slower_with_its_degree():
    shares = torch.stack([circle(degree)[8:65].sum() for degree in (1, 2, 4, 8)])
    assert (shares.diff() > 0).all()


def test_a_tree_knows_what_is_in_one_patch_best():
    """Eigenvalues at frequency k in one patch fall as 1 / k², across a pair of patches as 1 / k³."""
    count = 128
    angle = torch.arange(count, dtype=torch.float64) * (2 * math.pi / count)
    grid = torch.cartesian_prod(angle, angle)
    points = torch.stack([grid.cos(), grid.sin()], 2).flatten(1)[:, None]
    kernel = hierarchical_kernels(points[:1], points, (2, 2)).tangent.view(count, count)
    found = torch.fft.fft2(kernel).real / count**2
    one, pair = ([float(found[k, k * across]) for k in (8, 16)] for across in (0, 1))
    # at half of the highest frequency that a grid has, what it folds back is a tenth of an eigenvalue
    assert math.log2(one[0] / one[1]) == pytest.approx(2, abs=0.2)
    assert math.log2(pair[0] / pair[1]) == pytest.approx(3, abs=0.2)
    assert one[1] > 10 * pair[1]
