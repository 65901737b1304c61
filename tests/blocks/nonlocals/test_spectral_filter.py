"""The spectral filter as one function: what composed operators give, in value and in every derivative."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blockyard.blocks import SpectralNonlocal
from blockyard.blocks.nonlocals.kernel_operators import SymmetricProduct, spectral_normalisation
from blockyard.blocks.nonlocals.spectral_filter import spectral_filter


def drawn(batch: int = 2, c: int = 3, n: int = 9, seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    shapes = (batch, 2 * c, n), (3 * c, 2 * c), (2 * c, 2 * c)
    return tuple(torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_() for shape in shapes)


def composed(x, projections, coefficients):
    t, p, z = (projections @ x).chunk(3, 1)
    affinity = spectral_normalisation(SymmetricProduct(t.relu(), p.relu())).dense()
    return coefficients @ torch.cat([z, z @ affinity.transpose(1, 2)], 1)


@settings(max_examples=15, deadline=None)
@given(batch=st.integers(1, 3), c=st.integers(1, 4), n=st.integers(1, 12), seed=st.integers(0, 99))
def test_it_is_the_filter_of_the_dense_matrix(batch, c, n, seed):
    inputs = drawn(batch, c, n, seed)
    given_back = torch.randn_like(inputs[0])
    results = [f(*inputs) for f in (spectral_filter, composed)]
    torch.testing.assert_close(*results)
    torch.testing.assert_close(*[torch.autograd.grad(result, inputs, given_back) for result in results])


def test_its_first_and_second_derivatives_are_those_of_differences():
    assert torch.autograd.gradcheck(spectral_filter, drawn())
    assert torch.autograd.gradgradcheck(spectral_filter, drawn(n=4))


def test_isolated_vertices_stay_isolated_and_their_gradients_finite():
    x, projections, coefficients = drawn()
    with torch.no_grad():
        x[:, :, 2] = 0
        projections[:6].abs_()
        x[:, :, 4] = -x[:, :, 4].abs()  # neither of its embeddings is positive anywhere
    result = spectral_filter(x, projections, coefficients)
    alone = coefficients[:, :3] @ projections[6:] @ x
    torch.testing.assert_close(result[:, :, [2, 4]], alone[:, :, [2, 4]])
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(result.sum(), (x, projections)))


def both(channels: int = 8) -> list[SpectralNonlocal]:
    torch.manual_seed(0)
    blocks = [SpectralNonlocal(channels, evaluation=evaluation) for evaluation in ("auto", "associative")]
    blocks[1].load_state_dict(blocks[0].state_dict())
    for block in blocks:
        torch.nn.init.ones_(block.filters[0].norm.weight)
    return blocks


def outcome(block, x, autocast=False):
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        result = block(x)
    gradients = torch.autograd.grad(result.float().square().sum(), (x, *block.parameters()))
    return result.detach(), *gradients


def test_a_block_trains_by_it_as_by_operators():
    blocks, x = both(), torch.randn(2, 8, 5, 7)
    results = [outcome(block.double(), x.double()) for block in blocks]
    torch.testing.assert_close(*results)


def test_under_autocast_it_is_as_near_to_full_precision_as_operators_are():
    blocks, x = both(), torch.randn(4, 8, 8, 8)
    exact = outcome(blocks[0], x)
    errors = [
        [float((a - b).norm() / b.norm().clamp_min(1e-3)) for a, b in zip(outcome(block, x, True), exact, strict=True)]
        for block in blocks
    ]
    # Eight bits each: a hundredth or two a product, twice as far by another order of rounding.
    assert all(ours < max(0.03, 2 * theirs) for ours, theirs in zip(*errors, strict=True))


@pytest.mark.parametrize("frozen", ["affinity", "filters"])
def test_frozen_weights_have_no_gradient_and_change_none(frozen):
    blocks, x = both(), torch.randn(2, 8, 5, 7)
    getattr(blocks[0], frozen).requires_grad_(False)
    for block in blocks:
        block(x).square().sum().backward()
    for ours, theirs in zip(*(block.parameters() for block in blocks), strict=True):
        if ours.requires_grad:
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)  # float32, in another order
        else:
            assert ours.grad is None


def test_what_replaced_a_layer_is_used():
    """A wrapper of a convolution inside a block is no matrix that one function could take."""
    block, x = both()[0], torch.randn(2, 8, 5, 7)
    block.affinity.theta.conv = torch.nn.Sequential(block.affinity.theta.conv, torch.nn.Tanh())
    same = both()[1]
    same.affinity.theta.conv = block.affinity.theta.conv
    torch.testing.assert_close(outcome(block, x), outcome(same, x))


@pytest.mark.parametrize("frozen", ["affinity", "filters"])
def test_a_penalty_of_slopes_passes_frozen_weights(frozen):
    blocks, x = both(), torch.randn(2, 8, 5, 7, dtype=torch.float64, requires_grad=True)
    found = []
    for block in blocks:
        getattr(block.double(), frozen).requires_grad_(False)
        (slope,) = torch.autograd.grad(block(x).square().sum(), x, create_graph=True)
        learning = [parameter for parameter in block.parameters() if parameter.requires_grad]
        found.append(torch.autograd.grad(slope.square().sum(), learning, allow_unused=True))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_leaves_double_precision_alone(dtype):
    inputs = drawn()
    with torch.autocast("cpu", dtype):
        result = spectral_filter(*inputs)
    torch.testing.assert_close(result, composed(*inputs))
